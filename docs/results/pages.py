"""The result pages and the README, built from stored summaries: numbers are looked up when a page is built.

    python docs/results/pages.py check                     is every page what its summaries say?
    python docs/results/pages.py build digits              write docs/results/digits.md and its figures again
    python docs/results/pages.py measure digits --runs runs    train what is missing, store it, and build

The text of a page is ``words/NAME.md``; ``{{ ... }}`` in it is a query:

=========================================== ==============================================================
``{{ part }}``                              what ``parts(found)`` of NAME.py returns under this name
``{{ page:part }}``                         the same of another page
``{{ alt figures/unit.svg }}``              what a figure says to a reader who does not see it
``{{ digits runs }}``                       numbers of runs by status; ``ok``: of those that count; ``stamp``: hash and
                                            version; ``answer``: the first five lines of ``thermo-theory compare``
``{{ digits V3 "^Maxwell" value }}``        measured ± half its interval; ``interval``, ``measured``, ``theory``,
                                            ``low``, ``high``, ``margin``, ``verdict``; ``value.1``: one decimal
``{{ digits V3 "^Maxwell" agrees }}``       the word, if that is the verdict; else the page cannot be built
``{{ digits V3 "^Maxwell" agrees: holds }}`` other words for it
``{{ plans table.2 }}``                     the second table that a program printed; ``cell.2.1.5``; ``made``
=========================================== ==============================================================

A claim of several protocols is named with one: ``V3 fixed-elr "^Maxwell"``. Decimals that are typed must be settings of
an experiment of the page, or stand in the first line of the text, ``<!-- typed: 0.05 0.9 -->``.

NAME.py has ``NAMES``, the experiments of the page, and may have ``parts(found)``, from summaries by name;
``draw(found)``, which writes figures; ``reduce(runs)``, what a summary keeps of an experiment for this page;
``study(folder)``, which stores what no experiment file describes.
"""

import argparse
import hashlib
import importlib
import json
import re
import sys
from collections import Counter
from functools import cache
from pathlib import Path

import printed
import stored
import tables
from stored import EXPERIMENTS, HERE, SUMMARIES

import empirics
from empirics.claims.verdict import VERDICTS, decimals
from empirics.claims.verdicts import Verdicts
from thermo_theory.palette import alt_of

WORDS, ROOT = HERE / "words", HERE.parents[1]
DOCS = ("index", "limitations", "performance", "probe", "scaling", "schedules", "validation")
ELSEWHERE = {"README": ROOT / "README.md"} | {name: ROOT / "docs" / f"{name}.md" for name in DOCS}
QUERY = re.compile(r"{{ (.*?) }}")
VERDICT = re.compile(r'([\w.-]+) (V\d+)(?: (fixed-\w+))? "([^"]*)" ([a-z_]+)(?:\.(\d))?(?:: (.*))?')
NUMBERS = ("theory", "measured", "low", "high", "margin")


# --------------------------------------------------------------------------------------------------------- one page
class Page:
    """A page: its text, its script if it has one, and the summaries that either names."""

    def __init__(self, name):
        self.name, self.path = name, ELSEWHERE.get(name, HERE / f"{name}.md")
        first, _, rest = (WORDS / f"{name}.md").read_text(encoding="utf-8").partition("\n")
        listed = re.fullmatch(r"<!-- typed: (.*) -->", first)
        self.typed, self.text = (listed[1].split(), rest) if listed else ([], f"{first}\n{rest}")
        self.script = importlib.import_module(name) if (HERE / f"{name}.py").exists() else None

    @property
    def names(self):
        """Experiments that are shown, or that the text asks."""
        asked = [query.split()[0] for query in QUERY.findall(self.text) if " " in query and query[:4] != "alt "]
        return list(dict.fromkeys([*getattr(self.script, "NAMES", ()), *asked]))

    @property
    def found(self):
        """Summaries by name."""
        return {name: summary(name) for name in self.names}

    @property
    def digest(self):
        """Hash of everything that the page may show, which its figures carry."""
        content = [
            one.__dict__ | {"more": one.more.get(self.name), "dataset": None, "experiment": None}
            for one in self.found.values()
        ]
        return hashlib.sha256(json.dumps(content, default=str, sort_keys=True).encode()).hexdigest()[:12]

    @cache  # noqa: B019 (pages live as long as the process)
    def parts(self):
        """What the script makes of the summaries, by name: a text each."""
        given = self.script.parts(self.found) if hasattr(self.script, "parts") else {}
        return {name: lines if isinstance(lines, str) else "\n".join(lines) for name, lines in given.items()}

    def build(self):
        """The page: its text with an answer in place of every query, and the stamps of the summaries."""
        text = QUERY.sub(lambda query: answer(query[1], self), self.text)
        if self.name not in ELSEWHERE:
            stamps = [f"- {one.stamp}, {one.measured}" for one in self.found.values()]
            text += "\n\n" + "\n".join(tables.folded(f"Experiments and versions ({len(stamps)})", stamps))
        return re.sub(r"\n{3,}", "\n\n", text).strip() + "\n"

    def draw(self):
        """Write the figures; each carries the hash of what it shows."""
        if hasattr(self.script, "draw"):
            tables.DRAWN_FROM = self.digest
            self.script.draw(self.found)


@cache
def page(name):
    """A page by name."""
    return Page(name)


@cache
def summary(name):
    """The summary of an experiment, read once."""
    return stored.load(name)


def every_page():
    """Names of all pages, the README first."""
    return sorted((path.stem for path in WORDS.glob("*.md")), key=lambda name: (name != "README", name))


# ---------------------------------------------------------------------------------------------------------- queries
def answer(query, asking):
    """What stands on a page in place of a query.

    Raises
    ------
    ValueError
        If it cannot be answered, or asserts another verdict than the one that was reached.
    """
    if asked := VERDICT.fullmatch(query):
        return _of_verdict(query, *asked.groups())
    if plain := re.fullmatch(r"([\w.-]+) (runs|ok|stamp|answer)", query):
        return _of_experiment(summary(plain[1]), plain[2])
    if query.startswith("alt "):
        if not (alt := alt_of((asking.path.parent / query.removeprefix("alt ")).read_text(encoding="utf-8"))):
            raise ValueError(f"{query}: the figure has no words")
        return alt
    if made := re.fullmatch(r"([\w-]+) (made|tables|table(?:\.\d+)?|cell(?:\.\d+){3})", query):
        return printed.asked(made[1], made[2])
    of, _, name = query.rpartition(":")
    parts = (page(of) if of else asking).parts()
    if name not in parts:
        raise ValueError(f"{{{{ {query} }}}}: no such part; there are {', '.join(parts) or 'none'}")
    return parts[name]


def _of_experiment(one, asked):
    """The answer to a query about an experiment."""
    if asked == "stamp":
        return one.stamp
    if asked == "runs":
        return tables.counts(one.dataset)
    statuses = Counter(one.dataset["status"].values.tolist())
    found = Verdicts(one.verdicts, one.notes, statuses=statuses)
    return "\n".join(found.summary()) if asked == "answer" else str(statuses["ok"])


def _of_verdict(query, name, claim, protocol, title, asked, places, words):
    """The answer to a query about a verdict."""
    matching = [
        one
        for one in summary(name).verdicts
        if one.claim == claim and protocol in (None, one.protocol) and re.search(title, one.title)
    ]
    if len(matching) != 1:
        titles = "; ".join(one.title for one in matching) or "no form of the claim"
        raise ValueError(f"{{{{ {query} }}}} must name one form of {claim}, not {titles}")
    (one,), n = matching, int(places or 3)
    if asked in VERDICTS or asked == "not_measured":
        if asked.replace("_", " ") != one.verdict:
            raise ValueError(f"{{{{ {query} }}}}: {claim} is {one.verdict!r} in {name}, no longer {asked!r}")
        return words or asked.replace("_", " ")
    if asked == "verdict":
        return one.verdict
    if asked in NUMBERS:
        return decimals(getattr(one, asked), n)
    if asked == "value":
        return f"{decimals(one.measured, n)} ± {decimals((one.high - one.low) / 2, n)}"
    if asked == "interval":
        return f"{decimals(one.measured, n)} [{decimals(one.low, n)}, {decimals(one.high, n)}]"
    raise ValueError(f"{{{{ {query} }}}}: {asked} is none of value, interval, verdict, {', '.join(NUMBERS)}, a verdict")


# ------------------------------------------------------------------------------------------------------------ checks
def check():
    """Say what is wrong, a line for each: pages, figures, controls and decimals that were typed."""
    yield from _controls()
    for name in every_page():
        try:
            yield from _check_page(page(name))
        except Exception as error:  # whatever a changed summary breaks, the page that it breaks is named
            yield f"{name}: cannot be built: {type(error).__name__}: {error}"


def _check_page(one):
    built, there = one.build(), one.path.read_text(encoding="utf-8") if one.path.exists() else ""
    if built != there:
        pairs = enumerate(zip(built.splitlines(), there.splitlines(), strict=False), 1)
        line, (now, was) = next((found for found in pairs if found[1][0] != found[1][1]), (0, ("", "")))
        where = f"line {line} would be\n    {now[:300]}\n  and is\n    {was[:300]}" if line else "it ends elsewhere"
        yield f"{one.name}: {one.path.name} is not what its summaries and words/{one.name}.md say: {where}"
    for figure in dict.fromkeys(re.findall(r"\((figures/[^)]+)\)", built)):
        if one.digest.encode() not in (HERE / figure).read_bytes():
            yield f"{one.name}: {figure} was not drawn from the present summaries; make results-{one.name} draws it"
    if stray := _typed(one):
        yield f"{one.name}: typed in words/{one.name}.md, and neither settings nor listed: {', '.join(stray)}"


def _typed(one):
    """Decimals in the text of a page, outside queries, code and addresses, that are no setting of its experiments."""
    prose = re.sub(
        r"```\w+\n.*?```|`[^`\n]+`|{{.*?}}|\]\([^)]*\)|https?://\S+|arXiv[: ]\S+", " ", one.text, flags=re.DOTALL
    )
    files = [EXPERIMENTS / f"{name}.toml" for name in one.names]
    settings = " ".join(path.read_text(encoding="utf-8") for path in files if path.exists())
    known = {float(number) for number in re.findall(r"\d+\.\d+", settings)} | {float(number) for number in one.typed}
    return [number for number in dict.fromkeys(re.findall(r"(?<![\w.])\d*\.\d+", prose)) if float(number) not in known]


def _controls():
    """A control must pass neither V3 nor what V1 says beyond the norm balance, an identity."""
    for path in sorted(SUMMARIES.glob("control-*.json")):
        try:
            verdicts = summary(path.stem).verdicts
        except Exception as error:
            yield f"{path.stem}: {error}"
            continue
        for one in verdicts:
            if one.verdict == "agrees" and one.claim in ("V1", "V3") and one.kind != "identity":
                yield f"{path.stem}: a control must not pass, and {one.claim} agrees: {one.title}"


# -------------------------------------------------------------------------------------------------------------- work
def build(name):
    """Write a page and its figures."""
    page(name).draw()
    page(name).path.write_text(page(name).build(), encoding="utf-8")


def measure(name, folder, as_is):
    """Train what is missing of the experiments of a page, and store what the pages need."""
    script = page(name).script
    if hasattr(script, "study") and not as_is:
        script.study(folder)
    for one in page(name).names:
        if not (EXPERIMENTS / f"{one}.toml").exists():
            continue
        if as_is and not ((folder / one).exists() and empirics.status(folder / one).finished):
            print(f"{one}: not run; its summary stays as it is", flush=True)
            continue
        stored.record(one, folder, name, getattr(script, "reduce", None))
    summary.cache_clear()


def main():
    """Do what the command line says."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("verb", choices=("check", "build", "measure"))
    parser.add_argument("names", nargs="*", help="pages; without one, all")
    parser.add_argument("--runs", type=Path, default=Path("runs"), help="where the runs are, or will be")
    parser.add_argument("--as-is", action="store_true", help="run nothing: store what is finished")
    given = parser.parse_args()
    if unknown := set(given.names) - set(every_page()):
        parser.error(f"no page {', '.join(sorted(unknown))}; there are {', '.join(every_page())}")
    if given.verb == "check":
        wrong = list(check())
        print(*wrong, sep="\n", file=sys.stderr)
        sys.exit(f"{len(wrong)} wrong" if wrong else 0)
    names, failed = given.names or every_page(), []
    if given.verb == "measure":
        for name in names:
            measure(name, given.runs, given.as_is)
    for name in names:
        try:
            build(name)
        except ValueError as error:
            failed.append(f"{name}: cannot be built: {error}")
    sys.exit("\n".join(failed) or None)


if __name__ == "__main__":
    import pages  # scripts of pages import this module: run as a program, it would be a second one

    pages.main()
