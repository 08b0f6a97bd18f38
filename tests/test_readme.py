"""The README's examples are executed, the long experiment in them exchanged for a tiny one."""

import doctest
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from tiny import TINY

from empirics import cli

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
BLOCKS = re.findall(r"```(\w+)\n(.*?)```", README, flags=re.DOTALL)


@pytest.fixture
def tiny(tmp_path):
    """A function that puts the tiny experiment into a text of the README."""
    (tmp_path / "tiny.toml").write_text(TINY)

    def exchanged(text):
        text = text.replace("experiments/digits.toml", str(tmp_path / "tiny.toml"))
        return text.replace("runs/digits", str(tmp_path / "runs"))

    return exchanged


def test_repl():
    text = "\n".join(text for language, text in BLOCKS if language == "python" and ">>>" in text)
    flags = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
    test = doctest.DocTestParser().get_doctest(text, {}, "README.md", "README.md", 0)
    assert len(test.examples) >= 8
    runner = doctest.DocTestRunner(optionflags=flags)
    found = []
    runner.run(test, out=found.append)
    assert not runner.failures, "".join(found)


def test_script(tiny, tmp_path):
    scripts = [text for language, text in BLOCKS if language == "python" and ">>>" not in text]
    assert scripts
    for text in scripts:
        done = subprocess.run([sys.executable, "-c", tiny(text)], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        assert "Maxwell relation" in done.stdout
    assert (tmp_path / "runs" / "report.html").exists()


def test_command_line(tiny, tmp_path):
    text = "".join(text for language, text in BLOCKS if language == "sh" and "thermo-theory" in text)
    lines = [line for line in tiny(text).splitlines() if line]
    assert len(lines) == 3
    for line in lines:
        program, *words = shlex.split(line)
        assert program == ".venv/bin/thermo-theory"
        assert cli.main(words) == 0
    assert (tmp_path / "runs" / "report.html").exists()


def test_what_it_points_to_is_there():
    for target in re.findall(r"\]\((?!http)([^)#]+)\)", README):
        assert (ROOT / target).exists(), target


def test_the_make_targets_it_names_exist():
    named = set(re.findall(r"`?make ([a-z-]+)", README))
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), flags=re.MULTILINE))
    targets |= {f"results-{page.stem}" for page in (ROOT / "docs" / "results").glob("*.md")}  # one rule for all of them
    assert {"demo", "test"} <= named <= targets
