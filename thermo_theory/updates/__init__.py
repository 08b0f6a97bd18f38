"""The update of an optimiser, read from a text: its scaling, its equations, and one step with numbers.

A text has one statement for each thing that a step changes: ``v = beta*v + g; w = w - eta*(sign(v) + lam*w)``. ``w`` is
the vector of weights and ``g`` the gradient of the minibatch at the weights before the step; what is used before it is
assigned is a buffer, everything else is a number. Functions of vectors act coordinate by coordinate, but for ``norm``
(the Euclidean norm), ``dot`` and ``msign`` (the polar factor ``U V^T`` of a vector written as a matrix ``U S V^T``).

>>> from thermo_theory.symbols import lam
>>> update = Update.read("v = beta*v + g; w = w - eta*(v/norm(v) + lam*w)")
>>> update.buffers, update.parameters
(('v',), ('beta', 'eta', 'lam'))
>>> update.scaling[lam]  # the direction is of degree 0 in the gradient: lambda -> lambda/c
lambda/c
"""

from thermo_theory.updates.terms import Term, UpdateError
from thermo_theory.updates.update import RATES, Update

__all__ = ["RATES", "Term", "Update", "UpdateError"]
