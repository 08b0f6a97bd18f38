"""The arguments of the ordinary formulas for type checkers and editors, read off the formulas themselves.

``thermo_theory/typed.pyi`` is what `stub` returns; ``python -m thermo_theory.theory`` writes it again.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import get_type_hints

from thermo_theory.engine.formula import Formula
from thermo_theory.protocols import OPTIMIZERS, FixedELR, FixedLR, FixedSphere, Protocol
from thermo_theory.theory.gases import vmf

__all__ = ["PATH", "stub"]

#: Where the stub stands.
PATH = Path(__file__).parents[1] / "typed.pyi"

_HEAD = '''"""Formulas with the names of their arguments; written by `python -m thermo_theory.theory`."""

from typing import Any, Literal, overload

from numpy.typing import ArrayLike

from thermo_theory.engine.formula import Formula
from thermo_theory.numeric.domain import Invalid
from thermo_theory.protocols import Protocol
'''

_PROTOCOLS = {"FixedSphere": FixedSphere, "FixedELR": FixedELR, "FixedLR": FixedLR}


def stub() -> str:
    """Return the text of the stub."""
    runs = {f"_{name}": FixedLR.with_optimizer(name) for name in OPTIMIZERS}
    runs |= {f"_{name}": protocol for name, protocol in _PROTOCOLS.items()}
    formulas = {name: dict(_formulas(protocol)) for name, protocol in runs.items()}
    gas = {name: getattr(vmf, name) for name in vmf.FORMULAS}
    every = [formula for one in (*formulas.values(), gas) for formula in one.values()]
    lines = [_HEAD]
    for kind, arguments in sorted(
        {_kind(formula): formula.arguments for formula in every if formula.has_numbers}.items()
    ):
        taken = "".join(f"{name}: ArrayLike, " for name in arguments)
        lines += [f"class {kind}(Formula):"]
        lines += [f"    def __call__(self, *, {taken}invalid: Invalid = ...) -> Any: ...  # type: ignore[override]", ""]
    for name, known in formulas.items():
        lines += [f"class {_identifier(name)}(Protocol):"]
        lines += [f"    @property\n    def {word}(self) -> {_kind(formula)}: ..." for word, formula in known.items()]
        if name == "_FixedLR":
            chosen = {f'Literal["{key}"]': _identifier(f"_{key}") for key in OPTIMIZERS} | {"str": "Protocol"}
            lines += [
                f"    @overload\n    def with_optimizer(self, name: {key}) -> {made}: ..."
                for key, made in chosen.items()
            ]
        lines.append("")
    lines += [f"{name}: _{name}" for name in _PROTOCOLS]
    return "\n".join([*lines, *(f"{name}: {_kind(formula)}" for name, formula in gas.items()), ""])


def _formulas(protocol: Protocol) -> Iterator[tuple[str, Formula]]:
    """Those properties of a protocol that are formulas, where they are derived."""
    for name, member in vars(Protocol).items():
        if isinstance(member, property) and get_type_hints(member.fget)["return"] is Formula:
            try:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore", DeprecationWarning)  # older names are typed too
                    yield name, getattr(protocol, name)
            except LookupError:
                continue


def _kind(formula: Formula) -> str:
    """Name of the class of formulas with these arguments."""
    return "_".join(["_Of", *formula.arguments]) if formula.has_numbers else "Formula"


def _identifier(name: str) -> str:
    return name.replace("-", "_")
