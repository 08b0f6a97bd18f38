"""What of the site is made from the code at every build: the table of symbols, and the live gas."""

import re
from collections.abc import Iterator
from contextlib import suppress
from functools import cache
from pathlib import Path

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from empirics.claims import CLAIMS
from empirics.claims.ground import entries
from thermo_theory import FixedELR, FixedLR, FixedSphere, interactive
from thermo_theory.engine.printing import to_latex
from thermo_theory.palette import alt_of
from thermo_theory.protocols import OPTIMIZERS, Protocol
from thermo_theory.symbols import REAL, glossary

#: Formulas of the cheat sheet: attributes of a protocol.
CENTRAL = ("radius", "temperature", "ideal_gas_law", "relaxation_time", "maxwell", "angle")
HEAD = ("symbol", "argument", "meaning", "unit", "domain", "twin")


class Symbols(SphinxDirective):
    """``{symbols}``: the glossary of `thermo_theory.symbols` as a table."""

    def run(self) -> list[nodes.Node]:
        """Return the table."""
        lines = [f"| {' | '.join(HEAD)} |", "|" + "---|" * len(HEAD)]
        for symbol, info in glossary.items():
            domain = "" if info.domain is REAL else str(info.domain)
            cells = [f"${to_latex(symbol)}$", f"`{info.argument}`", info.meaning, info.unit, domain, info.twin]
            lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
        return self.parse_text_to_nodes("\n".join(lines))


class Claims(SphinxDirective):
    """``{claims}``: the claims with their names and what each says, the first sentence of its description."""

    def run(self) -> list[nodes.Node]:
        """Return the table."""
        lines = ["| claim | what it says |", "|---|---|"]
        for one in CLAIMS:
            first = (type(one).__doc__ or "").split("\n\n")[0].replace("``", "`").replace("\n", " ").replace("|", "\\|")
            lines.append(f"| {one.label} | {' '.join(first.split())} |")
        return self.parse_text_to_nodes("\n".join(lines))


class Formulas(SphinxDirective):
    """``{formulas}``: the central formulas of every protocol, and under every optimiser, each with what it assumes."""

    def run(self) -> list[nodes.Node]:
        """Return a table for every formula."""
        lines = []
        for name in CENTRAL:
            lines += [f"## {name.replace('_', ' ').capitalize()}", "", "| | formula | assumes |", "|---|---|---|"]
            for title, protocol in self.protocols():
                try:
                    formula = getattr(protocol, name)
                except LookupError:  # not derived for it
                    continue
                lines.append(f"| {title} | ${formula.latex()}$ | {', '.join(formula.assumptions)} |")
            lines.append("")
        return self.parse_text_to_nodes("\n".join(lines), allow_section_headings=True)

    def protocols(self) -> Iterator[tuple[str, Protocol]]:
        """Yield the three protocols, then fixed LR under every other optimiser."""
        yield from ((str(one), one) for one in (FixedLR, FixedELR, FixedSphere))
        for key, (title, _) in OPTIMIZERS.items():
            yield f"fixed LR, {title}", FixedLR.with_optimizer(key)


class LiveGas(SphinxDirective):
    """``{live-gas}``: the gas that moves; ``{gas-panel}``: the gas with its sliders and tables. One of them a page."""

    def run(self) -> list[nodes.Node]:
        """Return the part of the page."""
        part = interactive.gas() if self.name == "live-gas" else interactive.panel()
        return [nodes.raw("", part, format="html")]


#: Pages of the site for the files at the top of the repository, to which pages in docs/ link as a code host has them.
ABOVE = {"README.md": "/index.md", "CHANGELOG.md": "/changelog.md", "CONTRIBUTING.md": "/contributing.md"}


def links_above(app: Sphinx, name: str, source: list[str]) -> None:
    """Let links to those files lead to their pages."""
    for file, page_of in ABOVE.items():
        source[0] = re.sub(rf"\]\((?:\.\./)+{re.escape(file)}(?=[)#])", f"]({page_of}", source[0])


@cache
def measured_by() -> dict[str, list[str]]:
    """Return the claims that compare with each derivation, by its name."""
    found: dict[str, dict[str, None]] = {}
    for claim in CLAIMS:
        for said in claim.statements:
            for protocol in said.protocols or claim.protocols:
                for optimizer in said.optimizers or ("sgd", *OPTIMIZERS):
                    with suppress(LookupError):  # not derived for it
                        for law in entries(said.derivations, protocol, optimizer):
                            found.setdefault(law.name, {})[claim.label] = None
    return {name: list(labels) for name, labels in found.items()}


def claims_of_the_book(app: Sphinx, name: str, source: list[str]) -> None:
    """Say on pages of the book which claims measure what is derived there."""

    def said(found: re.Match[str]) -> str:
        labels = dict.fromkeys(label for one in found[1].split(", ") for label in measured_by().get(one, ()))
        listed = ", ".join(sorted(labels, key=[claim.label for claim in CLAIMS].index))
        return f"**Measured by** [{listed}](../glossary.md#the-claims-v0-to-v11)." if labels else ""

    source[0] = re.sub(r"<!-- measured by: (.*?) -->", said, source[0])


def write_page(app: Sphinx, error: Exception | None) -> None:
    """Put the gas as one file beside the others."""
    if error is None and app.builder.format == "html":
        Path(app.outdir, "gas.html").write_text(interactive.page(), encoding="utf-8")


def describe(app: Sphinx, doctree: nodes.document) -> None:
    """Give every figure the sentence that it carries for a reader who does not see it, made when it was drawn."""
    for image in doctree.findall(nodes.image):
        path = Path(app.srcdir) / image["uri"]
        if path.suffix == ".svg" and path.exists():
            image["alt"] = alt_of(path.read_text(encoding="utf-8")) or image.get("alt", "")


def setup(app: Sphinx) -> dict[str, bool]:
    """Register them."""
    app.add_directive("symbols", Symbols)
    app.add_directive("claims", Claims)
    app.add_directive("formulas", Formulas)
    app.add_directive("live-gas", LiveGas)
    app.add_directive("gas-panel", LiveGas)
    app.connect("source-read", links_above)
    app.connect("source-read", claims_of_the_book)
    app.connect("doctree-read", describe)
    app.connect("build-finished", write_page)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
