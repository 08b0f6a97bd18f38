"""The exactly solvable gas, ``L = 1 − mu·w/|w|`` with isotropic gradient noise, simulated over whole grids at once.

For SGD two numbers per run suffice, mu·w and ``|w_perp|``: they are advanced exactly in distribution, at a cost that
does not depend on the dimension. Other optimisers, and noise that breaks the symmetry about mu, need full vectors.
"""

from empirics.isotropic.simulate import simulate, simulate_experiment

__all__ = ["simulate", "simulate_experiment"]
