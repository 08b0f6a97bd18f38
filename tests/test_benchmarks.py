"""The benchmarks start from a checkout, and print what they measured as a table or as JSON."""

import json
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

from benchmarks import NAMES

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


@pytest.mark.long
def test_rows_as_json():
    rows = json.loads(benchmarks("isotropic", "--quick", "--format", "json").stdout)
    assert [row["name"] for row in rows] == ["isotropic", "isotropic-bare", "isotropic-vectors"]
    for row in rows:
        assert row["ratio"] == pytest.approx(min([row["reference"], *row["rivals"].values()]) / row["ours"])
        assert row["ratio"] > 1
        assert row.keys() >= {"unit", "threads", "device"}
