"""What a claim stands on: the derivation it is compared with, what that needs, and the kind of claim this makes it."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from thermo_theory import ASSUMPTIONS, Derivation, derive
from thermo_theory.engine.needs import EXACT, stored
from thermo_theory.engine.registry import Entry, find
from thermo_theory.protocols import PROTOCOLS

if TYPE_CHECKING:
    from empirics.claims.table import Table

__all__ = ["Ground", "derived", "entries", "ground_of"]

#: Derivations that are made once for all protocols under other optimisers, and have names of their own there.
OWN_NAMES = {"scaling-symmetry": "{}-symmetry", "ideal-gas-law": "{}-gas"}


@dataclass(frozen=True)
class Ground:
    """What a form of a claim stands on.

    Examples
    --------
    >>> ground = Ground.of(find("scaling-symmetry", "fixed-lr"))
    >>> ground.kind, ground.needs, ground.also("small steps").kind
    ('symmetry', (('scale invariance',),), 'physics')
    """

    kind: str  # "identity", "symmetry" or "physics"
    derivation: str = ""  # name of the derivation that it is compared with; empty for a kind that is stated without one
    needs: tuple[tuple[str, ...], ...] = ()  # the smallest sets of assumptions under which that holds
    source: str = ""  # where it comes from

    @classmethod
    def of(cls, law: Derivation | Entry) -> Ground:
        """Read off a derivation, from what is stored of it: so it need not be built."""
        known = stored().get(law.title)
        if known is None:
            built = law if isinstance(law, Derivation) else derive(law.name, law.protocol)
            known = {"kind": built.kind, "needs": sorted(map(sorted, built.needs()))}
        return cls(known["kind"], law.name, tuple(map(tuple, known["needs"])), law.source)

    def also(self, *assumptions: str) -> Ground:
        """The same for a consequence that needs these too.

        Raises
        ------
        ValueError
            If one of them is no assumption.
        """
        if unknown := set(assumptions) - set(ASSUMPTIONS):
            raise ValueError(f"{', '.join(unknown)}: no assumption")
        needs = tuple(tuple(sorted({*one, *assumptions})) for one in self.needs)
        return replace(self, kind=self.kind if EXACT.issuperset(assumptions) else "physics", needs=needs)


def ground_of(table: Table, name: str) -> Ground:
    """Return what a claim stands on that is compared with the derivation of this name for the runs of a table.

    Raises
    ------
    LookupError
        If there is none for their protocol and optimiser.
    """
    for one in entries((name,), table.protocol, table.optimizer):
        return Ground.of(one)
    raise LookupError(f"{name!r} is not derived for {table.protocol} with {table.optimizer}")


def entries(names: tuple[str, ...], protocol: str, optimizer: str = "sgd") -> tuple[Entry, ...]:
    """Find derivations by name, without building them: of those made for each protocol or optimiser, that of the runs.

    Parameters
    ----------
    names : tuple of str
        Names of derivations.
    protocol, optimizer : str
        Of the runs, as "fixed-lr" and "sgd".

    Returns
    -------
    tuple of Entry
        Without those derived for SGD alone, if the runs are by another optimiser.

    Raises
    ------
    LookupError
        If there is no such derivation.
    """
    of, other = PROTOCOLS.get(protocol), optimizer != "sgd"
    if of is not None and other:
        # Under other protocols nothing is derived for other optimisers than SGD.
        with suppress(ValueError):
            of = of.with_optimizer(optimizer)
    found = []
    for name in names:
        own = OWN_NAMES.get(name, "").format(optimizer)
        for pair in (*(((own, None),) if own and other else ()), (name, of), (name, None)):
            with suppress(LookupError):
                found.append(find(*pair))
                break
        else:
            find(name, PROTOCOLS["fixed-lr"] if other else of)  # so that a name that is not there is said to be wrong
    return tuple(found)


def derived(names: tuple[str, ...], protocol: str, optimizer: str = "sgd") -> tuple[Derivation, ...]:
    """Build the derivations that `entries` finds."""
    return tuple(derive(one.name, one.protocol) for one in entries(names, protocol, optimizer))
