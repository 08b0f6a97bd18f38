"""The benchmarks start from a checkout, and print what they measured as a table or as JSON."""

import json
import runpy
import subprocess
import sys
from dataclasses import replace
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
import torch

from benchmarks import NAMES, bench, digits, neighbours, rivals
from benchmarks.contest import Contest

#: torch.compile of torch 2.13 warns about itself.
COMPILING = pytest.mark.filterwarnings("ignore::DeprecationWarning:torch", "ignore::UserWarning:torch")

ROOT = Path(__file__).parents[1]


def benchmarks(*words):
    return subprocess.run([sys.executable, "-m", "benchmarks", *words], cwd=ROOT, capture_output=True, text=True)


@pytest.mark.parametrize("name", NAMES)
def test_every_name_has_its_contests(name):
    assert callable(import_module(f"benchmarks.{name.replace('-', '_')}").contests)


def test_unknown_benchmark_is_refused():
    done = benchmarks("digit")
    assert done.returncode == 2
    assert "no benchmark 'digit'" in done.stderr


def test_a_row_leads_with_the_strongest_rival(monkeypatch):
    others = {"slow": lambda: 5.0, "fast": lambda: 2.0}
    part, remarks = {"a part": lambda: 0.1}, lambda: {"fast": "1 % wrong"}
    contest = Contest("a", "w", "s", lambda: 1.0, lambda: 3.0, 2.0, others, part, ["JAX"], remarks)
    monkeypatch.setattr("benchmarks.isotropic.contests", lambda quick: [contest])
    (row,) = bench(["isotropic"])
    assert (row.ratio, row.strongest) == (2.0, "fast")
    assert (row.rivals, row.parts) == ({"slow": 5.0, "fast": 2.0}, {"a part": 0.1})
    assert (row.missing, row.remarks) == (["JAX"], {"fast": "1 % wrong"})


@pytest.fixture(scope="module")
def ours():
    return digits.ensemble((16,))


@pytest.mark.usefixtures("one_thread")
@torch.no_grad()
def test_torch_rivals_take_our_steps(ours):
    start = digits.start_of(ours)
    for rival in (rivals.loop(start), rivals.vmapped(start)):
        assert digits.difference(ours, rival) < 1e-6


@pytest.mark.parametrize("planted", ["rate", "decay", "labels", "head"])
@pytest.mark.usefixtures("one_thread")
@torch.no_grad()
def test_a_rival_with_a_planted_fault_is_not_timed(ours, planted):
    start = digits.start_of(ours)
    value = getattr(start, planted)
    wrong = value.roll(1) if planted == "labels" else 1.01 * value
    with pytest.raises(AssertionError, match="differ from ours"):
        digits.difference(ours, rivals.loop(replace(start, **{planted: wrong})))


@COMPILING
def test_a_rival_that_is_not_installed_is_named(ours, monkeypatch):
    monkeypatch.setattr(rivals, "find_spec", lambda name: None)
    found, missing = rivals.perceptrons(digits.start_of(ours))
    assert missing == ["JAX"]
    assert not any("JAX" in name for name in found)


def test_exact_neighbours_are_those_of_a_slow_path():
    x = neighbours.slow(40, 500, np.random.default_rng(0))
    assert (neighbours.exact(x, np.arange(40)) == neighbours.ours(x)).all()
    assert (neighbours.sklearn(neighbours.unit(x)) == neighbours.ours(x)).all()


@COMPILING
@pytest.mark.long
@pytest.mark.usefixtures("one_thread")
@torch.no_grad()
def test_compiled_rivals_take_our_steps():
    wide = digits.ensemble((16, 8))
    found, _ = rivals.perceptrons(digits.start_of(wide))
    for name, rival in found.items():
        assert digits.difference(wide, rival) < digits.TOLERANCE, name


@pytest.mark.long
def test_neighbours_of_faiss():
    pytest.importorskip("faiss", reason="faiss is not installed")
    x = neighbours.slow(300, 2000, np.random.default_rng(0))
    assert (neighbours.faiss(neighbours.centred(x)) == neighbours.ours(x)).mean() > 0.98


@pytest.mark.long
def test_rows_as_json():
    rows = json.loads(benchmarks("isotropic", "--quick", "--format", "json").stdout)
    assert [row["name"] for row in rows] == ["isotropic", "isotropic-bare", "isotropic-vectors"]
    for row in rows:
        assert row["ratio"] == pytest.approx(min([row["reference"], *row["rivals"].values()]) / row["ours"])
        assert row["ratio"] > 1
        assert row.keys() >= {"unit", "threads", "device"}


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["benchmarks.rotations", "nosuch"], "invalid choice: 'nosuch' (choose from 'adamw', 'muon')"),
        (["benchmarks.rotations", "adamw", "x"], "argument relaxations: 'x' must be a number of at least 1"),
        (["benchmarks.probe", "nan"], "argument times: 'nan' must be a number of at least 0"),
    ],
)
def test_wrong_words_are_refused_before_training(monkeypatch, capsys, words, said):
    monkeypatch.setattr("sys.argv", words)
    monkeypatch.delitem(sys.modules, words[0], raising=False)  # another test may have imported it
    monkeypatch.setattr("torch.manual_seed", lambda seed: pytest.fail("it trains"))
    with pytest.raises(SystemExit, match="2"):
        runpy.run_module(words[0], run_name="__main__")
    assert said in capsys.readouterr().err
