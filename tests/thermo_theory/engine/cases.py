"""All registered derivations as cases; of those under optimisers `make test` takes some by turns, CI and `long` all."""

from collections.abc import Sequence

import pytest

from thermo_theory import Derivation, derive
from thermo_theory.engine.derivation import registered

KEYS = sorted(registered())


def turns(keys: Sequence[tuple[str, str]] = KEYS) -> list[tuple[str, str]]:
    """Of the derivations of one name one, the first, the second and so on by turns: they differ in the rule."""
    names: dict[str, list[tuple[str, str]]] = {}
    for key in keys:
        names.setdefault(key[0], []).append(key)
    return [group[place % len(group)] for place, group in enumerate(names.values())]


TURNS = turns()
_OPTIMIZERS = [key for key in KEYS if "," in key[1]]  # the protocol's name goes on with the optimiser's
_REST = {*_OPTIMIZERS} - {*TURNS, *turns(_OPTIMIZERS)}  # half of all the time

ALL = [
    pytest.param(*key, id="-".join(key), marks=[pytest.mark.long] if key in _REST else [])
    for key in KEYS
]  # fmt: skip


def derived(name: str, protocol: str) -> Derivation:
    """The derivation of a case."""
    return derive(name, registered()[name, protocol].protocol)
