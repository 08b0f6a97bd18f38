"""The book: a page for each derivation, generated from the derivations themselves.

``python -m thermo_theory.book docs/book`` (``make book``) writes it. A page has the claim, what it assumes and needs,
what it rests on and where it is from, a number, a plot where one helps, and all steps; nothing in it is written by
hand. The index and the dictionary are kept with the source, the other pages are made whenever the site is.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import mpmath as mp
import sympy as sp

from thermo_theory.book.dictionary import dictionary
from thermo_theory.book.gases import gases
from thermo_theory.book.plots import PLOTS, to_svg
from thermo_theory.book.wording import needs_in_words
from thermo_theory.chapters import CHAPTERS
from thermo_theory.engine.derivation import Derivation, derivations
from thermo_theory.engine.evaluate import evaluate
from thermo_theory.engine.printing import to_latex
from thermo_theory.engine.world import DIGITS, NotInterpreted
from thermo_theory.protocols import OPTIMIZERS, FixedLR

__all__ = ["files", "names", "number", "page", "pages", "write"]

#: Names under which each optimiser has a page of its own: on one page their steps are up to 500 kB.
_LONG = ("temperature", "maxwell-from-symmetry")

#: What numbers are put into claims that can be called, by argument.
_EXAMPLES: dict[str, float] = {
    "B": 32,
    "C_V": 60.0,
    "D_hat": 101,
    "N": 4,
    "R": 50.0,
    "R1": 20.0,
    "R2": 30.0,
    "Sigma1_ij": 3.0,
    "Sigma_ii": 3.0,
    "T": 0.002,
    "T1": 0.004,
    "T2": 0.002,
    "V": 1.5,
    "V0": 1.0,
    "V_trial": 1.8,
    "Z": 2.5,
    "beta": 0.9,
    "beta1": 0.9,
    "coupling": 0.3,
    "d": 101,
    "eps": 0.1,
    "eta": 0.1,
    "eta0": 0.2,
    "eta1": 0.1,
    "eta2": 0.05,
    "eta_eff": 0.01,
    "gamma": 2.0,
    "h": 1.0,
    "h_i": 0.5,
    "h_j": 1.5,
    "lam": 0.001,
    "lam0": 0.001,
    "p": 0.001,
    "p0": 0.001,
    "r": 1.2,
    "r0": 3.0,
    "ramp": 0.0001,
    "sigma": 2.0,
    "sigma1": 8.0,
    "stretch": -0.2,
    "t": 1000.0,
    "tr_Sigma": 400.0,
}


#: What stands above the table of gases.
_GASES = """## The gas of each optimiser

At fixed learning rate p V = R T holds with these p, V and R; k is the degree of the step in the gradient, and a its
mean gain at unit norm. γ and the adiabat hold at low temperature, where the heat capacity is (d − 1)/2. Every cell is
computed from the derivation named in its last column.
"""


def names() -> dict[str, list[Derivation]]:
    """Collect the derivations of each name, in the order of the book."""
    found: dict[str, list[Derivation]] = {}
    for one in derivations():
        found.setdefault(one.name, []).append(one)
    return found


def files(same_name: list[Derivation]) -> dict[str, list[Derivation]]:
    """Distribute the derivations of a name over pages, by file without its ending."""
    found: dict[str, list[Derivation]] = {}
    for one in same_name:
        found.setdefault(_file(one.title), []).append(one)
    return found


def _file(title: str) -> str:
    """The page of a derivation, by its title."""
    name, *rest = title.split(", ")
    own = [key for key, (optimizer, _) in OPTIMIZERS.items() if name in _LONG and rest[1:] == [optimizer]]
    return "-".join([name, *own])


def number(found: Derivation) -> str:
    """Give a number to a claim: call it, or evaluate both of its sides in an example it is checked in.

    Parameters
    ----------
    found : Derivation
        Whose claim.

    Returns
    -------
    str
        One or a few lines of Markdown.

    Raises
    ------
    ValueError
        If no example knows it.
    """
    arguments = found.claim.arguments
    if arguments and set(arguments) <= set(_EXAMPLES):
        values: dict[str, Any] = {name: _EXAMPLES[name] for name in arguments}
        try:
            result = found.claim(**values)
        except TypeError:  # functions, series and inequalities have nothing to put numbers in
            return _number_in_a_world(found)
        call = ", ".join(f"{name}={value:g}" for name, value in values.items())
        protocol = "" if found.protocol is None else f', "{found.protocol.key}"'
        shown = f'derive("{found.name}"{protocol}).claim({call})'
        return f"```python\n>>> {shown}  # to six digits\n{result:.6g}\n```"
    return _number_in_a_world(found)


def _number_in_a_world(found: Derivation) -> str:
    """Both sides of a claim in the first of its worlds that knows them; of a series near the point it is about."""
    equation = found.claim.equation
    left, right = (side.removeO() if isinstance(side, sp.Expr) else side for side in equation.args)
    for maker in found.worlds:
        world, where = maker(0, found.assumptions), ""
        for order in equation.atoms(sp.Order):
            variable, value = order.variables[0], mp.mpf(1000 if order.point[0] is sp.oo else 0.001)
            world, where = world.at({variable: value}), f" at {variable} = {mp.nstr(value, 4)}, the order term left out"
        try:
            with mp.workdps(DIGITS):
                sides = [_shown(evaluate(side, world)) for side in (left, right)]
        except (NotInterpreted, ArithmeticError, ValueError, TypeError):
            continue
        return f"In one of the examples below{where}: left side {sides[0]}, right side {sides[1]}."
    raise ValueError(f"no example gives the claim of {found.title} a number")


def _shown(value: Any) -> str:
    """A number to six digits; of a vector or matrix its size."""
    if isinstance(value, mp.matrix):
        return f"of size {mp.nstr(mp.norm(value, 2), 6)}"
    if isinstance(value, mp.mpc):
        value = value.real
    return str(mp.nstr(value, 6))


def _sentence(maker: Any) -> str:
    """The first sentence on a world, on one line."""
    return " ".join((maker.__doc__ or "an explicit example").split("\n\n")[0].split()).rstrip(".")


def page(file: str, same_name: list[Derivation]) -> str:
    """Write a page of derivations of one name.

    Parameters
    ----------
    file : str
        Its file without the ending: the name, or with an optimiser, as `files` has it.
    same_name : list of Derivation
        One for each protocol on the page.

    Returns
    -------
    str
        Markdown.
    """
    name = same_name[0].name
    parts = [f"# {name if file == name else same_name[0].title}\n"]
    if file in PLOTS:
        parts.append(f"![{PLOTS[name]().says}](plots/{name}.svg)\n\n*{PLOTS[name]().says}*\n")
    for found in same_name:
        head, steps = found.to_markdown().replace("### ", "## ", 1).split("\n\n(1) ", 1)
        if len(same_name) == 1:
            head = head.split("\n\n", 1)[1]
        checked = "\n".join(f"- {_sentence(maker)}" for maker in found.worlds)
        parts += [
            f"{head}\n",
            *(_beside(file, name) if found is same_name[0] else ()),
            *_needed(found),
            f"**A number.**\n\n{number(found)}\n",
            f"**Steps.**\n\n(1) {_with_links(found, steps)}",
            f"**Each step is checked** by `verify()` in examples that do not use these formulas:\n\n{checked}\n",
        ]
    return "\n".join([*parts, *_links(name)])


def _needed(found: Derivation) -> Iterator[str]:
    """What the claim needs with an example against it without each, and what it rests on without proof."""
    if found.kind != "definition":
        yield f"**Needs.** {needs_in_words(found.needs(), found.assumptions)}.\n"
    against = found.counterexamples
    if against:
        lines = [f"- without *{name}*: `{_FALSE.sub('', why)}`" for name, why in against.items()]
        yield _folded("Without one of these it is false", lines)
    taken = found.roots()
    if taken:
        lines = [
            f"- {root.kind}: ${to_latex(root.step.equation)}$, {_linked(root.step.chain.title)} ({root.step.number})"
            for root in taken
        ]
        yield _folded("Taken without proof", lines)


#: How a counterexample begins: which statement it is about, which here is the claim of the page.
_FALSE = re.compile(r"^step \d+, .*, is false: ", re.DOTALL)


def _folded(title: str, lines: list[str]) -> str:
    return "\n".join([f"<details><summary>{title}</summary>\n", *lines, "\n</details>\n"])


def _linked(title: str) -> str:
    """Lead to the page of a derivation."""
    return f"[{title}]({_file(title)}.md)"


def _with_links(found: Derivation, steps: str) -> str:
    """Lead from the steps that are other derivations' claims to the pages of those."""
    for title in {step.done.removeprefix("from ") for step in found.steps if step.operation == "claim"}:
        steps = re.sub(rf"from {re.escape(title)}$", f"from {_linked(title)}", steps, flags=re.M)
    return steps


def _beside(file: str, name: str) -> Iterator[str]:
    """Lead to the other pages of a name."""
    others = {other: found[0].title for other, found in files(names()[name]).items() if other != file}
    if others:
        yield f"Other pages: {', '.join(f'[{title}]({other}.md)' for other, title in others.items())}.\n"


def _links(name: str) -> Iterator[str]:
    """Back to the chapter, and on to the neighbours."""
    order = list(names())
    here = order.index(name)
    links = ["[contents](README.md)"]
    links += [f"before: [{order[here - 1]}]({order[here - 1]}.md)"] if here else []
    links += [f"next: [{order[here + 1]}]({order[here + 1]}.md)"] if here + 1 < len(order) else []
    yield " · ".join(links) + "\n"


def _contents() -> str:
    """The first page: chapters, and a line for each derivation."""
    known = names()
    count = sum(len(same_name) for same_name in known.values())
    lines = [
        "# The book of derivations\n",
        f"{count} derivations under {len(known)} names, generated by `make book` from the derivations themselves: "
        "every step is computed, and checked in explicit examples that do not use the theory's formulas. "
        "The pages are on the site; `make book` writes them here, `thermo-theory derive NAME` prints one. "
        "The words of optimisation and those of thermodynamics are in the [dictionary](dictionary.md).\n",
    ]
    for title, members in CHAPTERS.items():
        lines += [f"## {title}\n", "| derivation | protocols | kind | claim |", "|---|---|---|---|"]
        for name in members:
            if name not in known:
                continue
            protocols = "; ".join(str(found.protocol) for found in known[name] if found.protocol is not None)
            kinds = ", ".join(dict.fromkeys(found.kind for found in known[name]))
            shown = next((found for found in known[name] if found.protocol is FixedLR), known[name][0])
            lines.append(f"| [{name}]({name}.md) | {protocols} | {kinds} | {shown.summary} |")
        lines.append("")
    return "\n".join(lines)


def pages() -> Iterator[tuple[str, str]]:
    """Write all pages.

    Yields
    ------
    str, str
        A file's name in the folder of the book, and its text.
    """
    yield "README.md", _contents()
    tables = f"{dictionary().to_markdown()}\n{_GASES}\n{gases().to_markdown()}"
    yield "dictionary.md", f"# Optimisation and thermodynamics\n\n[contents](README.md)\n\n{tables}"
    for name, same_name in names().items():
        for file, here in files(same_name).items():
            yield f"{file}.md", page(file, here)
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
