"""The interactive page: one HTML file with the theory in it, for a browser without a server or a network.

``python -m thermo_theory.interactive FILE.html`` writes it; the documentation site does so at every build. Its formulas
are printed from the derivations and traced from the kernels of the exact gas (`thermo_theory.interactive.model`).
"""

from thermo_theory.interactive.document import gas, page, panel

__all__ = ["gas", "page", "panel"]
