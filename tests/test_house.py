"""The house in order: sizes of files, one meaning per name, aliases of older names, words that are not printed."""

import ast
import importlib
import re
import subprocess
import sys
from pathlib import Path

import pytest

from thermo_theory.renamed import NAMES, RENAMED, SINCE

ROOT = Path(__file__).parents[1]
PACKAGES = ("thermo_theory", "empirics")
PYTHON = [
    path for folder in (*PACKAGES, "tests", "benchmarks", "docs") for path in sorted((ROOT / folder).rglob("*.py"))
]

#: Wordings that read as translated, and how numbers are not written; the terms to use instead are in docs/decisions.md.
BANNED = """in the main
gives it again
on their way
for the eye
is least
are the least
the fewest
the furthest
by so much
what stays
which loads nothing
in the cold
noise a direction
alone needs it
one row a run
nats a step
ms a step
a step and run
hot it is even
forgets itself
what is held
foretold
no polite word
gone on with
without a rest
effective lr
+-""".splitlines()


def test_no_file_is_longer_than_a_reader_can_hold():
    lengths = {str(path.relative_to(ROOT)): len(path.read_text(encoding="utf-8").splitlines()) for path in PYTHON}
    assert len(lengths) > 300
    assert not {name: lines for name, lines in lengths.items() if lines > 500}


def test_a_public_class_has_a_name_of_its_own():
    where = {}
    for path in PYTHON:
        if path.is_relative_to(ROOT / "empirics") or path.is_relative_to(ROOT / "thermo_theory"):
            for node in ast.parse(path.read_text(encoding="utf-8")).body:
                if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                    where.setdefault(node.name, []).append(str(path.relative_to(ROOT)))
    assert len(where) > 100
    del where["ThermoCallback"]  # of Lightning and of the Trainer: a user has one of the two
    assert not {name: found for name, found in where.items() if len(found) > 1}


def strings(path):
    """What a file may print: its strings, docstrings of functions and classes included, without the code in them."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.lineno, " ".join(node.value.split()).lower()


@pytest.mark.parametrize("package", PACKAGES)
def test_no_banned_wording(package):
    found = [
        f"{path.relative_to(ROOT)}:{line}: {phrase!r}"
        for path in sorted((ROOT / package).rglob("*.py"))
        for line, text in strings(path)
        for phrase in BANNED
        if re.search(rf"(?<!\w){re.escape(phrase)}(?! out| thread| process|\w)", text)
    ]
    assert not found, "\n".join(found)


@pytest.mark.parametrize("page", ["README.md", "CONTRIBUTING.md", "SECURITY.md"])
def test_no_banned_wording_at_the_front_door(page):
    text = " ".join((ROOT / page).read_text(encoding="utf-8").split()).lower()
    assert [phrase for phrase in (*BANNED, "@@") if phrase in text] == []
    prose = re.sub(r"```.*?```", "", (ROOT / page).read_text(encoding="utf-8"), flags=re.DOTALL)
    assert not re.findall(r"(?<![\w.])[-−]?\.\d|[-−]0\.0+(?!\d)", prose)


@pytest.mark.parametrize("old", sorted(RENAMED))
def test_an_older_name_of_a_module_leads_to_the_newer(old):
    new = importlib.import_module(RENAMED[old])
    names = [name for name in getattr(new, "__all__", ()) or dir(new) if not name.startswith("_")]
    alias = importlib.import_module(old)
    with pytest.warns(DeprecationWarning, match=rf"^{re.escape(old)} is {re.escape(RENAMED[old])} since {SINCE}$"):
        assert all(getattr(alias, name) is getattr(new, name) for name in names)
    assert names


@pytest.mark.parametrize(
    ("statement", "seen"),
    [
        ("from empirics.runner import run", "run is empirics.run"),
        ("import empirics.schedules.plans as p", "p.Plan is empirics.steering.Plan"),
        ("import empirics.training.checkpoint", "empirics.training.checkpoint.Checkpoints"),
        ("import thermo_theory.gases.vmf", "thermo_theory.gases.vmf.energy is thermo_theory.vmf.energy"),
        ("import importlib.util", "importlib.util.find_spec('empirics.runner') and 'torch' not in sys.modules"),
        ("import pickle, scipy.special", "pickle.dumps(scipy.special.gammaln) and 'torch' not in sys.modules"),
        ("from empirics.measure import Estimate", "Estimate is empirics.measure.MonteCarloEstimate"),
        ("from empirics import schedules, averaging", "schedules.plan is empirics.steering.plan and averaging.hint"),
        ("from thermo_theory.operations import *", "solve_for"),
        ("from thermo_theory.dictionary import dictionary", "thermo_theory.dictionary is dictionary"),
    ],
)
def test_older_names_from_a_fresh_start(statement, seen):
    code = f"import sys, empirics, thermo_theory\n{statement}\nassert {seen}"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_importing_the_packages_is_cheap():
    code = "import sys, empirics, thermo_theory; sys.exit(bool({'sympy', 'torch', 'numpy'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0


def test_an_unknown_module_is_not_there():
    with pytest.raises(ModuleNotFoundError, match=r"empirics\.runners"):
        importlib.import_module("empirics.runners")


def test_the_table_of_deprecations_is_that_of_the_aliases():
    page = (ROOT / "docs" / "public-api.md").read_text(encoding="utf-8")
    rows = set(re.findall(r"^\| `([\w.-]+)` \| ([\d.]+) \| `([\w.-]+)` \|$", page, flags=re.MULTILINE))
    assert rows - {("empirics.measure.Estimate", SINCE, "empirics.measure.MonteCarloEstimate")} == {
        (old, SINCE, new) for old, new in (RENAMED | NAMES).items()
    }
