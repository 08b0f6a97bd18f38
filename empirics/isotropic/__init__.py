"""The exactly solvable gas, ``L = 1 − mu·w/|w|`` with isotropic gradient noise, simulated over whole grids at once.

For SGD only two numbers of a run matter, mu·w and ``|w_perp|``: they are advanced exactly in law, at a cost that does
not depend on the dimension. Other optimisers, and noise that breaks the symmetry about mu, advance full vectors.
"""

from empirics.isotropic.simulate import simulate, simulate_experiment

__all__ = ["simulate", "simulate_experiment"]
