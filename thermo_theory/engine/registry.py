"""Where derivations are registered and found by name: who wrote one, for which protocol, checked in which worlds."""

from __future__ import annotations

import difflib
import re
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import sympy as sp

from thermo_theory.engine import library
from thermo_theory.engine.world import WorldMaker
from thermo_theory.renamed import NAMES, newer

__all__ = ["KINDS", "Entry", "Registered", "check_protocol", "derivation", "find", "is_of", "registered"]

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

#: Called when a derivation is registered again: what was built from the old one is to be forgotten.
on_replacement: list[Callable[[], None]] = []


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
        If another module has taken the pair of name and protocol, or the kind is unknown. The same function, or a cell
        of a notebook, may be run again.
    """
    if kind not in (None, *KINDS):
        raise ValueError(f"kind {kind!r} of {name} is none of {', '.join(KINDS)}")
    if kind not in (None, "definition"):
        warnings.warn(f"{name}: the kind is computed from needs(); leave it out", DeprecationWarning, stacklevel=2)
        kind = None

    def register(build: Callable[..., None]) -> Callable[..., None]:
        key = (name, str(protocol))
        if key in _REGISTRY:
            _replace(_REGISTRY[key], build)
        _REGISTRY[key] = Entry(
            name, protocol, kind, source, summary, tuple(worlds), kernel, arguments, tuple(domain), build=build
        )
        return build

    return register


def _replace(before: Entry, build: Callable[..., None]) -> None:
    """Let a cell of a notebook or a reloaded module register its derivation again, and nobody else's.

    Raises
    ------
    ValueError
        If the derivation comes from elsewhere.
    """
    here, there = build.__module__, before.build.__module__
    same = here == "__main__" or build.__qualname__ == before.build.__qualname__
    if here != there or not same or str(here).startswith("thermo_theory."):  # ours are registered once
        raise ValueError(f"{before.title} is registered twice: by {there} and by {here}; choose another name")
    for forget in on_replacement:
        forget()


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
        near = difflib.get_close_matches(str(name), {entry.name for entry in known}, n=3, cutoff=0.5)
        hint = f"; did you mean {' or '.join(map(repr, near))}?" if near else "; derivations() lists them"
        raise LookupError(f"no derivation is called {name!r}{hint}")
    for entry in wanted:
        if is_of(entry, protocol):
            return entry
    if protocol is None and len(wanted) == 1:
        return wanted[0]
    check_protocol(protocol)
    protocols = "; ".join(str(entry.protocol) for entry in wanted)
    raise LookupError(f"{name!r} is derived for: {protocols}; not for {protocol}")


def is_of(entry: Entry, protocol: Any) -> bool:
    """Whether a derivation belongs to a protocol, given by itself, its title or its key."""
    return protocol in (entry.protocol, str(entry.protocol), getattr(entry.protocol, "key", None))


def check_protocol(protocol: Any) -> None:
    """Refuse what names no protocol.

    Raises
    ------
    LookupError
        With what was probably meant.
    """
    entries = registered().values()
    if any(is_of(entry, protocol) for entry in entries):
        return
    keys = dict.fromkeys(entry.protocol.key for entry in entries if entry.protocol is not None)
    bare = {re.sub("[^a-z0-9]", "", key): key for key in sorted(keys, key=len)}
    said = re.sub("[^a-z0-9]", "", str(protocol).lower())
    near = [key for key in bare if said and said in key] or difflib.get_close_matches(said, bare, n=1)
    hint = f"did you mean {bare[near[0]]!r}?" if near else f"known: {', '.join(keys)}"
    raise LookupError(f"no protocol is called {str(protocol)!r}; {hint}")
