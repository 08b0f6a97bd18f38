"""The book: a page for each derivation, generated from the derivations themselves.

``python -m thermo_theory.book docs/book`` (``make book``) writes it. A page has the claim, what its symbols are, what
it needs and where it is from, what it rests on and where it is used, a number, a plot where one helps, and all steps.
What is derived for more than three protocols has a page for each of them, behind one that compares them. The index and
the dictionary are kept with the source, the other pages are made whenever the site is.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import sympy as sp
from sympy.core.function import AppliedUndef

from thermo_theory.book.dictionary import dictionary
from thermo_theory.book.gases import gases
from thermo_theory.book.introductions import INTRODUCTIONS
from thermo_theory.book.numbers import number
from thermo_theory.book.plots import PLOTS, to_svg
from thermo_theory.book.titles import in_words
from thermo_theory.book.wording import cited, needs_in_words, typeset
from thermo_theory.chapters import CHAPTERS
from thermo_theory.engine.assumptions import ASSUMPTIONS, OURS
from thermo_theory.engine.derivation import Derivation, derivations
from thermo_theory.engine.printing import to_latex
from thermo_theory.protocols import OPTIMIZERS, FixedLR
from thermo_theory.symbols import SymbolInfo, glossary

__all__ = ["names", "pages", "pages_of", "write"]

#: Derivations of one name that stand on one page.
TOGETHER = 3

#: What stands above the table of gases.
_GASES = """## The gas of each optimiser

At fixed learning rate p V = R T holds with these p, V and R; k is the degree of the step in the gradient, and a its
mean gain at unit norm. γ and the adiabat hold at low temperature, where the heat capacity is (d − 1)/2. Every cell is
computed from the derivation named in its last column.
"""

#: How to read a page; kinds are explained once.
_READING = """## How to read a page

A page opens with its claim and the symbols in it. *Needs* are the smallest sets of assumptions under which the claim
holds; they are found by putting the claim into examples that break one assumption at a time, and the page shows such a
counterexample for each. Steps say what was done to which earlier lines; a line from another derivation links to it.
*Kind* is computed from what the claim needs:

definition
: names something, and claims nothing.

identity
: holds in any stationary run, whatever the noise. A run that fails it is not used; passing it is no evidence.

symmetry
: follows from scale invariance and stationarity alone. Agreement does not test thermodynamics.

physics
: needs assumptions that a network can break, such as isotropic noise, small steps or the Gibbs law.
"""


def names() -> dict[str, list[Derivation]]:
    """Collect the derivations of each name, in the order of the book."""
    found: dict[str, list[Derivation]] = {}
    for one in derivations():
        found.setdefault(one.name, []).append(one)
    return found


# Where a page is ---------------------------------------------------------------------------------


def _chapter_file(chapter: str) -> str:
    return f"chapter-{re.sub('[^a-z]+', '-', chapter.lower()).strip('-')}"


def _own_file(found: Derivation) -> str:
    """The page of a derivation that has one for itself; what is of no protocol is of plain SGD."""
    return f"{found.name}-{getattr(found.protocol, 'key', 'sgd').replace('/', '-')}"


def _protocol(found: Derivation) -> str:
    return "SGD" if found.protocol is None else str(found.protocol)


@cache
def _files() -> dict[str, tuple[str, str]]:
    """The title in words and the page of each derivation, by its title."""
    places = {}
    for name, same_name in names().items():
        for found in same_name:
            words = in_words(name) + (f", {found.protocol}" if found.protocol is not None else "")
            places[found.title] = (words, _own_file(found) if len(same_name) > TOGETHER else name)
    return places


def _linked(title: str) -> str:
    """Lead to the page of a derivation."""
    words, file = _files()[title]
    return f"[{words}]({file}.md)"


def _sources(found: Derivation) -> list[str]:
    """Titles of the derivations whose claims are steps of this one."""
    return list(dict.fromkeys(step.done.removeprefix("from ") for step in found.steps if step.operation == "claim"))


@cache
def _uses() -> dict[str, list[str]]:
    """Names of the derivations that use the claim of a name."""
    found: dict[str, dict[str, None]] = {}
    for name, same_name in names().items():
        for title in (title for one in same_name for title in _sources(one)):
            if (used := title.split(",")[0]) != name:
                found.setdefault(used, {})[name] = None
    return {used: list(users) for used, users in found.items()}


def _toctree(entries: Sequence[str]) -> str:
    return "\n".join(["```{toctree}", ":hidden:", "", *entries, "```\n"])


# A derivation ------------------------------------------------------------------------------------


def pages_of(name: str, same_name: list[Derivation]) -> Iterator[tuple[str, str]]:
    """Write the page of a name, and of each of its derivations if they are many.

    Parameters
    ----------
    name : str
        Its name.
    same_name : list of Derivation
        One for each protocol it is derived for.

    Yields
    ------
    str, str
        A file's name in the folder of the book, and its text in Markdown.
    """
    chapter = next((title for title, members in CHAPTERS.items() if name in members), "")
    above = ["[The book](README.md)"] + ([f"[{chapter}]({_chapter_file(chapter)}.md)"] if chapter else [])
    parts = [f"# {in_words(name)}\n", " · ".join(above) + f" · `{name}`\n"]
    if name in PLOTS:
        plot = PLOTS[name]()
        parts.append(f"![{plot.alt}](plots/{name}.svg)\n\n*{plot.says}*\n")
    beside = [f"<!-- measured by: {name} -->\n"]
    if users := _uses().get(name):
        beside.append(f"**Used in** {', '.join(f'[{in_words(one)}]({one}.md)' for one in users)}.\n")
    if len(same_name) == 1:
        yield f"{name}.md", "\n".join([*parts, *_section(same_name[0], beside)])
        return
    if len(same_name) <= TOGETHER:
        for found in same_name:
            parts += [f"## {_protocol(found)[:1].upper()}{_protocol(found)[1:]}\n", *_section(found)]
        yield f"{name}.md", "\n".join([*parts[:2], *beside, *parts[2:]])
        return
    shown = next((found for found in same_name if found.protocol is FixedLR), same_name[0])
    parts += [f"{_prose(shown.summary)} ({_protocol(shown)}).\n", *beside]
    parts += ["| protocol | claim | kind |", "|---|---|---|"]
    for found in same_name:
        formula = to_latex(found.claim.equation).replace("|", r"\vert ")
        parts.append(f"| [{_protocol(found)}]({_own_file(found)}.md) | ${formula}$ | {found.kind} |")
    entries = [f"{_protocol(found)} <{_own_file(found)}>" for found in same_name]
    yield f"{name}.md", "\n".join([*parts, "", _toctree(entries)])
    for found in same_name:
        head = [
            f"# {in_words(name)}: {_protocol(found)}\n",
            " · ".join([*above, f"[{in_words(name)}]({name}.md)"]) + "\n",
        ]
        yield f"{_own_file(found)}.md", "\n".join([*head, *_section(found)])


def _section(found: Derivation, beside: Sequence[str] = ()) -> Iterator[str]:
    """A claim, what is known of it and of others beside it, and its steps."""
    steps = found.to_markdown().split("\n\n(1) ", 1)[1]
    checked = "\n".join(f"- {_sentence(maker)}" for maker in found.worlds)
    yield f"{_prose(found.summary)}.\n"
    yield f"$$ {to_latex(found.claim.equation)} $$\n"
    if known := _symbols(found.claim.equation):
        yield f"**Symbols.** {'; '.join(f'${to_latex(info.symbol)}$ {_shown(info.meaning)}' for info in known)}.\n"
    yield from _needed(found, beside)
    yield f"**A number.**\n\n{number(found)}\n"
    yield f"**Steps.**\n\n(1) {_with_links(found, steps)}"
    yield f"**Each step is checked** by `verify()` in examples that do not use these formulas:\n\n{checked}\n"


def _symbols(equation: sp.Basic) -> list[SymbolInfo]:
    """What the glossary says of the symbols of an equation, and of those that stand in it as functions."""
    functions = {call.func.__name__ for call in equation.atoms(AppliedUndef)}
    known = [info for symbol, info in glossary.items() if symbol in equation.free_symbols or str(symbol) in functions]
    return sorted(known, key=lambda info: info.argument.lower())


def _needed(found: Derivation, beside: Sequence[str]) -> Iterator[str]:
    """What the claim needs with an example against it without each, and what it rests on without proof."""
    needs = needs_in_words(found.needs(), found.assumptions) if found.kind != "definition" else ""
    source = "".join(f"[{text}]({address})" if address else text for text, address in cited(found.source))
    yield (
        f"**Needs** {needs or ', '.join(found.assumptions) or 'nothing'}. "
        f"**Kind:** [{found.kind}](README.md#how-to-read-a-page). **Source:** {source}.\n"
    )
    yield from beside
    if sources := _sources(found):
        yield f"**Starts from** {', '.join(map(_linked, sources))}.\n"
    if against := found.counterexamples:
        lines = [f"- without *{name}*: `{_FALSE.sub('', why)}`" for name, why in against.items()]
        yield _folded("Counterexamples: without one of these assumptions it is false", lines)
    if taken := found.roots():
        lines = [
            f"- {root.kind}: ${to_latex(root.step.equation)}$, {_linked(root.step.chain.title)} ({root.step.number})"
            for root in taken
        ]
        yield _folded("Taken without proof", lines)


#: How a counterexample begins: which statement it is about, which here is the claim of the page.
_FALSE = re.compile(r"^step \d+, .*, is false: ", re.DOTALL)


def _folded(title: str, lines: list[str]) -> str:
    return "\n".join([f"<details><summary>{title}</summary>\n", *lines, "\n</details>\n"])


def _with_links(found: Derivation, steps: str) -> str:
    """Show what was done in each step, and lead from other derivations' claims to their pages."""
    steps = re.sub(r"^(?:\(\d+\) )?(?!\$\$).+$", lambda line: _shown(line[0]), steps, flags=re.M)
    for title in _sources(found):
        steps = re.sub(rf"from {re.escape(title)}$", lambda _: f"from {_linked(title)}", steps, flags=re.M)  # noqa: B023
    return steps


def _shown(text: str) -> str:
    """Words for Markdown, their formulas as they are shown."""
    return re.sub(r"([*<|])", r"\\\1", typeset(text))


def _prose(text: str) -> str:
    """The same as the beginning of a sentence."""
    shown = _shown(text)
    return shown[:1].upper() + shown[1:] if shown[1:2].islower() else shown


def _sentence(maker: Any) -> str:
    """The first sentence on an example, on one line, with protocols and optimisers by their names."""
    text = " ".join((maker.__doc__ or "an explicit example").split("\n\n")[0].split()).rstrip(".")
    text = re.sub(r"\bfixed (e?lr)\b", lambda key: f"fixed {key[1].upper()}", text)
    first, space, rest = text.partition(" ")
    title, _ = OPTIMIZERS.get(first, ("SGD" if first == "sgd" else first, ""))
    return _prose(title + space + rest)


# Contents ----------------------------------------------------------------------------------------


def _members(chapter: str) -> list[str]:
    known = names()
    return [name for name in CHAPTERS[chapter] if name in known]


def _contents() -> str:
    """The first page: how to read the others, the chapters with their derivations, the assumptions."""
    known = names()
    count = sum(len(same_name) for same_name in known.values())
    lines = [
        "# The book of derivations\n",
        f"{count} derivations under {len(known)} names, generated by `make book` from the derivations themselves: "
        "every step is computed, and checked in explicit examples that do not use the theory's formulas. "
        "The pages are on the site; `make book` writes them here, `thermo-theory derive NAME` prints one. "
        "The words of optimisation and those of thermodynamics are in the [dictionary](dictionary.md).\n",
    ]
    for title in CHAPTERS:
        opening = INTRODUCTIONS[title].partition(". ")[0].rstrip(".")
        listed = " · ".join(f"[{in_words(name)}]({name}.md)" for name in _members(title))
        lines.append(f"## [{title}]({_chapter_file(title)}.md)\n\n{opening}.\n\n{listed}\n")
    lines += [_READING, "## Assumptions\n", "| assumption | what it allows |", "|---|---|"]
    lines += [f"| {name} | {_prose(says)} |" for name, says in ASSUMPTIONS.items() if name in OURS]
    return "\n".join([*lines, "", _toctree([_chapter_file(title) for title in CHAPTERS])])


def _chapter(title: str) -> str:
    """The page of a chapter: what it derives and from what, and a line for each derivation."""
    known = names()
    uses = {used: users for used, users in _uses().items() if used in CHAPTERS[title]}
    users = {user for every in uses.values() for user in every}
    needed = {title.split(",")[0] for name in _members(title) for one in known[name] for title in _sources(one)}
    parts = [f"# {title}\n", "[The book](README.md)\n", INTRODUCTIONS[title] + "\n"]
    for words, of in (("Starts from", needed), ("Used in", users)):
        others = [other for other in CHAPTERS if other != title and of & {*CHAPTERS[other]}]
        listed = ", ".join(f"[{other}]({_chapter_file(other)}.md)" for other in others)
        parts += [f"**{words}** {listed}.\n"] * bool(others)
    parts += [f"<!-- measured by: {', '.join(_members(title))} -->\n"]
    parts += ["| derivation | claim | protocols | kind |", "|---|---|---|---|"]
    for name in _members(title):
        protocols = "; ".join(str(found.protocol) for found in known[name] if found.protocol is not None)
        kinds = ", ".join(dict.fromkeys(found.kind for found in known[name]))
        shown = next((found for found in known[name] if found.protocol is FixedLR), known[name][0])
        parts.append(f"| [{in_words(name)}]({name}.md) | {_prose(shown.summary)} | {protocols} | {kinds} |")
    return "\n".join([*parts, "", _toctree(_members(title))])


def _to_pages(cell: re.Match[str]) -> str:
    """The last cell of a row, its names of derivations as links."""
    listed = cell[0].strip().split(", ")
    return f" {', '.join(f'[{in_words(one)}]({one}.md)' if one in names() else one for one in listed)}"


def pages() -> Iterator[tuple[str, str]]:
    """Write all pages.

    Yields
    ------
    str, str
        A file's name in the folder of the book, and its text.
    """
    yield "README.md", _contents()
    tables = f"{dictionary().to_markdown()}\n{_GASES}\n{gases().to_markdown()}"
    linked = re.sub(r"[^|]+(?= \|$)", _to_pages, tables, flags=re.M)
    yield "dictionary.md", f"# Optimisation and thermodynamics\n\n[The book](README.md)\n\n{linked}"
    for title in CHAPTERS:
        yield f"{_chapter_file(title)}.md", _chapter(title)
    for name, same_name in names().items():
        yield from pages_of(name, same_name)
        if name in PLOTS:
            yield f"plots/{name}.svg", to_svg(PLOTS[name]())


def write(folder: Path) -> int:
    """Write the book into a folder: pages that have not changed are left alone, those of an earlier book removed.

    Parameters
    ----------
    folder : Path
        Where to.

    Returns
    -------
    int
        The number of files.
    """
    kept = set()
    for name, text in pages():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        kept.add(path)
        if path.exists() and path.read_text(encoding="utf-8") == text:
            continue
        # Never half a page: the site may be read by another process at the same moment.
        fresh = path.with_name(f"{path.name}.{os.getpid()}")
        fresh.write_text(text, encoding="utf-8")
        fresh.replace(path)
    for path in [*folder.glob("*.md"), *folder.glob("plots/*.svg")]:
        if path not in kept:
            path.unlink()
    return len(kept)
