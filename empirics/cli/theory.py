"""Verbs without runs: `list` and `derive`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from empirics.cli.app import (
    PROGRAM,
    ClaimFiles,
    ProtocolName,
    RequestError,
    app,
    examples,
    missing,
    shipped,
)


@app.command(
    "list",
    help="List derivations, claims, networks, data sets and experiments.",
    epilog=examples("list", "list --claims mine.py"),
)
def list_everything(claims: ClaimFiles = None) -> None:
    """Print everything that has a name, one per line."""
    from empirics.data import DATASETS
    from empirics.models.registry import MODELS
    from thermo_theory import derivations

    def block(title: str, lines: Sequence[str]) -> None:
        print(title, *(f"  {line}" for line in lines), "", sep="\n")

    known = _claims(claims or ())  # before anything is printed: a wrong file is refused at once
    block(f"derivations ({PROGRAM} derive NAME --protocol PROTOCOL)", repr(derivations()).splitlines())
    block(f"claims ({PROGRAM} compare DIR)", known)
    block("networks ([model] name)", MODELS.names)
    block("data sets ([data] name)", DATASETS.names)
    block(f"experiments ({PROGRAM} run FILE)", [f"{name}  {path}" for name, path in shipped().items()])


def _claims(files: Sequence[Path]) -> list[str]:
    """List the claims with their origin, or the package that has to be installed for them."""
    try:
        from empirics import claims
    except ModuleNotFoundError as error:
        return [missing(error)]
    try:
        known = claims.claims(files).values()
    except claims.ClaimError as error:
        raise RequestError(f"list: {error}") from None
    return [f"{one.name}  {one.title} ({', '.join(one.protocols)})  from {one.origin}" for one in known]


@app.command(
    help="Print a derivation. Every step has its operation, its reason and its check.",
    epilog=examples(
        "derive radius",
        "derive maxwell --protocol fixed-elr",
        "derive temperature --optimizer adamw",
        "derive adiabatic-index --latex",
    ),
)
def derive(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Its name, as in `list`.", show_default=False)],
    protocol: Annotated[
        ProtocolName | None, typer.Option(help="The training protocol; default: fixed-lr where there are several.")
    ] = None,
    optimizer: Annotated[
        str,
        typer.Option(
            help="sgd; at fixed-lr also momentum, nesterov, adamw, adam-l2, signsgd, lion, normalised-sgd, muon, lars "
            "or lamb."
        ),
    ] = "sgd",
    latex: Annotated[bool, typer.Option("--latex", help="Print LaTeX.")] = False,
    markdown: Annotated[bool, typer.Option("--markdown", help="Print Markdown.")] = False,
) -> None:
    """Print a derivation."""
    import thermo_theory

    if latex and markdown:
        raise RequestError("derive: give one of --latex and --markdown, not both")
    refusals = []
    for candidate, held in _candidates(name, protocol, optimizer):
        try:
            found = thermo_theory.derive(candidate, held)
        except LookupError as error:
            refusals.append(str(error.args[0]).replace("derivations() lists them", f"`{PROGRAM} list` shows them"))
            continue
        print(found.to_latex() if latex else found.to_markdown() if markdown else found)
        return
    raise RequestError(f"derive: {refusals[0]}")


def _candidates(name: str, protocol: ProtocolName | None, optimizer: str) -> list[tuple[str, str | None]]:
    """List the derivations a name may mean, most likely first: pairs of name and protocol for `derive`."""
    from thermo_theory import PROTOCOLS

    # Without a protocol: the only derivation of that name, or that at fixed LR if there are several.
    chosen = PROTOCOLS[protocol or "fixed-lr"]
    if optimizer == "sgd":
        return [(name, None), (name, chosen.key)] if protocol is None else [(name, chosen.key)]
    try:
        key = chosen.with_optimizer(optimizer).key
    except ValueError as error:
        raise RequestError(f"derive: {error}") from None
    return [(name, key), (f"{name}-{optimizer}", None)]
