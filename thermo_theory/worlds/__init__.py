"""Worlds: concrete models in which the statements of the theory are true or false.

A derivation is checked a second way in *worlds*. A world is one small, fully explicit example (a loss written out in
two to five coordinates, a noise matrix, numbers for every symbol) in which each symbol has a meaning of its own,
computed without the theory's formulas: the radius is where the process stops growing, the temperature is read off the
stationary density, entropies are integrals. A step of a derivation is true if both of its sides have the same value in
every world that satisfies the assumptions.

Worlds are general unless an assumption makes them special: noise is anisotropic unless `isotropic noise` is granted.
So an assumption that a derivation does not list is not granted (none can be hidden), and one that is withdrawn makes
the check fail by itself.
"""

from thermo_theory.worlds import elementwise

__all__ = ["elementwise"]
