"""Tests that take hours go on where they were interrupted (`tests/continued.py`)."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

#: The second of three fails, fails in its teardown, or ends the process, the first time.
TESTS = """
import os, pathlib

def test_one(record_property):
    record_property("kills", 40)
    record_property("kills at", "50%")

def test_two(request):
    if not (first := pathlib.Path("second")).exists():
        first.touch()
        {way}

def test_three():
    pass
"""


@pytest.mark.parametrize(
    ("way", "code"), [("assert False", 1), ("request.addfinalizer(lambda: 1 / 0)", 1), ("os._exit(9)", 9)]
)
def test_an_interrupted_run_goes_on_and_counts_everything_once(tmp_path, way, code):
    root = Path(__file__).parents[1]
    git = lambda *words: subprocess.run(["git", *words], cwd=tmp_path, check=True, capture_output=True)  # noqa: E731
    (tmp_path / "test_some.py").write_text(TESTS.format(way=way))
    git("init", "--quiet")
    git("add", "test_some.py")
    git("-c", "user.name=a", "-c", "user.email=a@b", "commit", "--quiet", "--message", "one")
    words = [
        sys.executable,
        "-m",
        "pytest",
        "-p",
        "tests.continued",
        "--continued",
        "kept/record",
        "--result",
        "result",
    ]

    def run(*more):
        environment = os.environ | {"PYTHONPATH": str(root), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
        done = subprocess.run([*words, *more, "-v"], cwd=tmp_path, env=environment, capture_output=True, text=True)
        return done.returncode, {name for name in ("one", "two", "three") if f"::test_{name} PASSED" in done.stdout}

    found, passed = run()
    assert found == code
    assert "one" in passed
    assert not (tmp_path / "result").exists()
    assert run() == (0, {"two"} | ({"three"} - passed))
    assert run() == (0, set())
    result = json.loads((tmp_path / "result").read_text())
    assert (result["tests"], result["counts"], result["listed"]) == (3, {"kills": 40}, {"kills at": ["50%"]})
    (tmp_path / "test_some.py").write_text(TESTS.format(way="pass"))
    assert run("--mended") == (0, set())
    assert len(json.loads((tmp_path / "result").read_text())["commits"]) == 1
    (tmp_path / "test_some.py").write_text(TESTS.format(way="pass  # mended"))
    assert run() == (0, {"one", "two", "three"})  # other files: nothing is known of them
