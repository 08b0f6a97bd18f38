"""``make gpu-check``: one line without a card, and its parts, tried on the CPU, see what is planted."""

import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

import benchmarks.networks
from benchmarks import digits, gpu_check
from benchmarks.networks import Ours

ROOT = Path(__file__).parents[1]
pytestmark = pytest.mark.usefixtures("one_thread")


def test_without_a_card_make_prints_one_line():
    # `pytest -n` is run by make, whose options reach a make below it.
    quiet = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}
    done = subprocess.run(
        ["make", "gpu-check", f"GPU_PYTHON={sys.executable}"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        env=quiet | {"CUDA_VISIBLE_DEVICES": ""},
    )
    assert (done.returncode, done.stdout) == (2, "")
    (own,) = [line for line in done.stderr.splitlines() if not line.startswith("make")]
    assert own.startswith("gpu-check: no CUDA card")
    assert done.stderr.strip().endswith("gpu-check] Error 2")


def test_an_interpreter_without_packages_is_named(monkeypatch):
    monkeypatch.setattr(gpu_check, "find_spec", lambda name: None if name in {"zarr", "sympy"} else name)
    assert gpu_check.missing("cpu").endswith("lacks sympy, zarr")
    monkeypatch.setattr(gpu_check, "find_spec", lambda name: None)
    assert "no torch" in gpu_check.missing("cuda")


def test_a_folder_that_cannot_take_the_results_is_refused_first(monkeypatch, capsys, tmp_path):
    monkeypatch.setattr("sys.argv", ["gpu_check", "--device", "cpu", "--quick", "--out", str(tmp_path)])
    monkeypatch.setattr(gpu_check, "checked", lambda *_: pytest.fail("it measures"))
    assert gpu_check.main() == 2
    assert capsys.readouterr().err.count("\n") == 1
    (tmp_path / gpu_check.SUMMARIES).mkdir(parents=True)
    (tmp_path / gpu_check.PAGE).write_text(gpu_check.CLOSES + gpu_check.OPENS)
    assert gpu_check.main() == 2
    assert "where the tables go" in capsys.readouterr().err
    (tmp_path / gpu_check.PAGE).write_text(gpu_check.OPENS + gpu_check.CLOSES)
    assert gpu_check.unfit(tmp_path) == ""


def test_all_tests_that_need_a_card_are_run():
    asks = "cuda.is_available" + "()"
    where = {path for path in (ROOT / "tests").rglob("test_*.py") if asks in path.read_text()}
    assert where
    assert all(any(path.is_relative_to(ROOT / folder) for folder in gpu_check.FOLDERS) for path in where)


def planted(monkeypatch, change):
    """Every second ensemble, which stands for the card's, is changed before its first step."""
    made = []

    class Changed(Ours):
        def __init__(self, *given):
            super().__init__(*given)
            made.append(self)
            if len(made) % 2 == 0:
                change(self)

    monkeypatch.setattr(benchmarks.networks, "Ours", Changed)


@torch.no_grad()
def test_the_same_device_agrees_with_itself(monkeypatch):
    monkeypatch.setattr("empirics.models.MODELS", SimpleNamespace(names=("mlp", "convnet")))
    found = gpu_check.rounding("cpu")
    assert found["relative differences"] == {"mlp": 0.0, "convnet": 0.0}
    planted(monkeypatch, lambda ours: ours.state.flat.mul_(1 + 1e-6))
    found = gpu_check.rounding("cpu")
    assert not found["passes"]
    assert min(found["relative differences"].values()) > 1e-6


@torch.no_grad()
def test_law_tolerates_rounding_and_catches_a_planted_temperature(monkeypatch):
    with monkeypatch.context() as patched:
        planted(patched, lambda ours: ours.state.flat.mul_(1 + 1e-6))
        found = gpu_check.law("cpu", 240)
    assert found["passes"]
    assert max(found["standard errors"].values()) > 0
    planted(monkeypatch, lambda ours: ours.ensemble.rate.mul_(1.05))
    assert not gpu_check.law("cpu", 240)["passes"]


@torch.no_grad()
def test_planted_minibatches_are_other_bits(monkeypatch):
    made, real = [], digits.ensemble

    def ensemble(hidden, device="cpu"):
        made.append(real(hidden, device))
        if len(made) == 2:
            made[1].feeds.train = made[1].feeds.second
        return made[-1]

    monkeypatch.setattr(digits, "ensemble", ensemble)
    found = gpu_check.bits("cpu")
    assert found == {"passes": False, "same": {"initial weights": True, "added noise": True, "minibatches": False}}


def test_a_part_that_fails_stops_no_other_and_shows_on_the_page(monkeypatch):
    def fails(*_):
        raise RuntimeError("planted")

    row = {"runs": 49, "kernels per step": 48, "seconds per step": 2e-4, "flop per second": 3e12, "share of GEMM": 0.06}
    row |= {
        "seconds per step as a graph": 1e-4,
        "bytes per second": 4e11,
        "share of copy": 0.1,
        "ratio": 40.0,
        "memory": None,
    }
    for part in ("tests", "bits", "law", "grid"):
        monkeypatch.setattr(gpu_check, part, lambda *_: {"passes": True})
    monkeypatch.setattr(gpu_check, "rounding", fails)
    monkeypatch.setattr(gpu_check, "steps", lambda *_: {"passes": True, "rows": {"mlp [16]": row}})
    monkeypatch.setattr(gpu_check, "graphs", lambda *_: {"passes": True, "seconds per step": {"mlp [16]": 1e-4}})
    found = gpu_check.checked("cpu", True, 10)
    assert found["rounding"]["error"] == "RuntimeError: planted"
    page = (ROOT / gpu_check.PAGE).read_text()
    text = gpu_check.shown(page, found)
    before, after = page.split(gpu_check.OPENS)[0], page.split(gpu_check.CLOSES)[1]
    assert text.startswith(before)
    assert text.endswith(after)
    assert "| rounding | **fails**: RuntimeError: planted |" in text
    head, row = (
        next(line for line in text.splitlines() if line.startswith(f"| {of} |")) for of in ("network", "mlp [16]")
    )
    assert row == "| mlp [16] | 49 | 48 | 0.2 | 0.1 | 3 | 6 % | 0.4 | 10 % | - | 40 |"
    named = dict(zip(head.split(" | "), row.split(" | "), strict=True))
    assert (named["as one graph"], named["TB/s"]) == ("0.1", "0.4")
    assert gpu_check.shown(text, found) == text
    with pytest.raises(ValueError, match="must have"):
        gpu_check.shown("no marks", found)


@pytest.mark.long
def test_all_of_it_on_the_cpu(tmp_path):
    (tmp_path / gpu_check.SUMMARIES).mkdir(parents=True)
    (tmp_path / gpu_check.PAGE).write_text((ROOT / gpu_check.PAGE).read_text())
    words = [sys.executable, "-m", "benchmarks.gpu_check", "--device", "cpu", "--quick", "--out", str(tmp_path)]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    (path,) = (tmp_path / gpu_check.SUMMARIES).glob("try-*.json")
    found = json.loads(path.read_text())
    assert set(found["steps"]["rows"]) == {"mlp [16]", "resnet18, width 4"}
    assert found["grid"]["runs"] == 4
    assert f"Measured by `make gpu-check` on {found['date']}" in (tmp_path / gpu_check.PAGE).read_text()
