"""Where derivations are registered and found by name: who wrote one, for which protocol, checked in which worlds."""

from __future__ import annotations

import difflib
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import sympy as sp

from thermo_theory.engine import library
from thermo_theory.engine.world import WorldMaker
from thermo_theory.renamed import NAMES, newer

__all__ = ["KINDS", "Entry", "Registered", "derivation", "find", "registered"]

#: The kinds of claims.
KINDS = ("definition", "identity", "symmetry", "physics")


@dataclass(frozen=True)
class Registered:
    """What `derivation` was given; `Derivation` has what each is."""

    name: str
    protocol: Any
    declared: str | None
    source: str
    summary: str
    worlds: tuple[WorldMaker, ...] = field(repr=False)
    kernel: Callable[..., Any] | None = field(default=None, repr=False)
    kernel_arguments: tuple[str, ...] | None = field(default=None, repr=False)
    domain: tuple[sp.Basic, ...] = ()

    @property
    def title(self) -> str:
        """Name and protocol."""
        return self.name if self.protocol is None else f"{self.name}, {self.protocol}"


@dataclass(frozen=True)
class Entry(Registered):
    """The same with the function that writes the steps."""

    build: Callable[..., None] = field(kw_only=True)


_REGISTRY: dict[tuple[str, str], Entry] = {}


def registered() -> Mapping[tuple[str, str], Entry]:
    """Every registered derivation by name and protocol, once the modules that hold them are loaded."""
    library.load()
    return _REGISTRY


def derivation(
    name: str,
    *,
    kind: str | None = None,
    source: str,
    summary: str,
    worlds: Sequence[WorldMaker],
    protocol: Any = None,
    kernel: Callable[..., Any] | None = None,
    arguments: tuple[str, ...] | None = None,
    domain: Sequence[sp.Basic] = (),
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Register a function that writes a derivation.

    The function takes the `Chain` and, if it has a protocol, the protocol.

    Parameters
    ----------
    name : str
        The name `derive` takes, in words joined by hyphens.
    kind : str, optional
        "definition" for what only names things; every other kind is computed from what the claim needs.
    source : str
        Paper and section or equation.
    summary : str
        The claim in words.
    worlds : sequence of callables
        Makers of the worlds its steps are checked in.
    protocol : Protocol, optional
        The training protocol it belongs to.
    kernel : callable, optional
        A numerically better way to evaluate the claim.
    arguments : tuple of str, optional
        The kernel's arguments.
    domain : sequence of sympy relations, optional
        Where the claim holds, as relations of its arguments; see `Formula`.

    Returns
    -------
    callable
        A decorator.

    Raises
    ------
    ValueError
        If the pair of name and protocol is taken, or the kind is unknown.
    """
    if kind not in (None, *KINDS):
        raise ValueError(f"kind {kind!r} of {name} is none of {', '.join(KINDS)}")
    if kind not in (None, "definition"):
        warnings.warn(f"{name}: the kind is computed from needs(); leave it out", DeprecationWarning, stacklevel=2)
        kind = None

    def register(build: Callable[..., None]) -> Callable[..., None]:
        key = (name, str(protocol))
        if key in _REGISTRY and build.__module__ != "__main__":  # a cell of a notebook may run again
            raise ValueError(f"{name} for {protocol} is registered twice")
        _REGISTRY[key] = Entry(
            name, protocol, kind, source, summary, tuple(worlds), kernel, arguments, tuple(domain), build=build
        )
        return build

    return register


def find(name: str, protocol: Any = None) -> Entry:
    """Return the entry of a name and protocol; the name alone will do if there is only one.

    Raises
    ------
    LookupError
        If there is no such derivation; the message suggests the nearest names.
    """
    name = newer(name, 4) if name in NAMES else name
    known = registered().values()
    wanted = [entry for entry in known if entry.name == name]
    if not wanted:
        near = difflib.get_close_matches(name, {entry.name for entry in known}, n=3, cutoff=0.5)
        hint = f"; did you mean {' or '.join(map(repr, near))}?" if near else "; derivations() lists them"
        raise LookupError(f"no derivation is called {name!r}{hint}")
    for entry in wanted:
        if protocol in (entry.protocol, str(entry.protocol), getattr(entry.protocol, "key", None)):
            return entry
    if protocol is None and len(wanted) == 1:
        return wanted[0]
    protocols = "; ".join(str(entry.protocol) for entry in wanted)
    raise LookupError(f"{name!r} is derived for: {protocols}; not for {protocol}")
