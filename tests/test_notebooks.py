"""The notebooks of the documentation are executed, and show what is kept in them."""

import math
import re
import shlex
from pathlib import Path

import nbformat
import pytest

from empirics.cli import main

DOCS = Path(__file__).parents[1] / "docs"
NUMBER = re.compile(r"-?\d+(?:\.\d+)?(?:e[+-]?\d+)?")


def outputs(cell):
    """What a cell prints, returns and raises, as text."""
    found = []
    for output in cell.outputs:
        error = f"{output.get('ename')}: {output.get('evalue')}"
        found.append("".join(output.get("text") or output.get("data", {}).get("text/plain") or error))
    return "\n".join(found)


def same(now, kept):
    """Whether two outputs have the same words, and numbers that differ by rounding alone."""
    pairs = zip(map(float, NUMBER.findall(now)), map(float, NUMBER.findall(kept)), strict=False)
    return NUMBER.sub("#", now).split() == NUMBER.sub("#", kept).split() and all(
        math.isclose(one, two, rel_tol=1e-3, abs_tol=1e-9) for one, two in pairs
    )


# The README's test runs what tutorial-compare does, on a smaller grid, in the fast battery.
@pytest.mark.parametrize(
    "name",
    [
        pytest.param(path.stem, marks=pytest.mark.long if path.stem == "tutorial-compare" else ())
        for path in sorted(DOCS.glob("*.ipynb"))
    ],
)
def test_a_notebook_prints_what_it_shows(name, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(DOCS))
    kept = nbformat.read(DOCS / f"{name}.ipynb", as_version=4)
    now = __import__("notebooks").executed(DOCS / f"{name}.ipynb", tmp_path)
    code = [pair for pair in zip(now.cells, kept.cells, strict=True) if pair[0].cell_type == "code"]
    assert len(code) >= 4
    for ours, theirs in code:
        if "varies" in ours.metadata.get("tags", []):  # trained networks: rounding decides what comes after
            assert [one.output_type for one in ours.outputs] == [one.output_type for one in theirs.outputs]
        else:
            assert same(outputs(ours), outputs(theirs)), f"{outputs(ours)}\nand kept is\n{outputs(theirs)}"
    monkeypatch.chdir(tmp_path)
    prose = "\n".join(cell.source for cell in now.cells if cell.cell_type == "markdown")
    for line in re.findall(r"^thermo-theory .*$", prose, re.MULTILINE):
        assert main(shlex.split(line)[1:]) == 0, line


def test_numbers_that_differ_are_noticed():
    assert same("off by 7.7e-23, 0.50", "off by 1e-20, 0.5001")
    assert not same("0.50", "0.51")
    assert not same("agrees 1", "refused 1")
    assert not same("1, 2", "1")
