"""The benchmarks start from a checkout, and print what they measured as a table or as JSON."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def benchmarks(*words):
    return subprocess.run([sys.executable, "-m", "benchmarks", *words], cwd=ROOT, capture_output=True, text=True)


def test_unknown_benchmark_is_refused():
    done = benchmarks("digit")
    assert done.returncode == 2
    assert "no benchmark 'digit'" in done.stderr


@pytest.mark.long
def test_rows_as_json():
    (row,) = json.loads(benchmarks("isotropic", "--quick", "--format", "json").stdout)
    assert row["name"] == "isotropic"
    assert row["ratio"] == pytest.approx(min([row["reference"], *row["rivals"].values()]) / row["ours"])
    assert row["ratio"] > 1
    assert row.keys() >= {"unit", "threads", "device"}
