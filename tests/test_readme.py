"""The README's examples print what they show; the long experiment in them is exchanged for a tiny one."""

import re
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import pytest
from tiny import TINY

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


def run(text):
    """What a script prints."""
    done = subprocess.run([sys.executable, "-c", text], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_scripts_that_show_their_output_print_it():
    shown = [(text, out) for (kind, text), (then, out) in pairwise(BLOCKS) if (kind, then) == ("python", "text")]
    assert len(shown) == 3
    for text, out in shown:
        assert without_noise(run(text)) == without_noise(out)


def without_noise(text):
    """A text without what rounding, and another processor, may change: residuals, and what training came to."""
    return re.sub(r"differ by \S+|at \d+ %|about [\d,]+ steps", "", text)


def test_the_experiment(tiny, tmp_path):
    (text,) = [text for language, text in BLOCKS if language == "python" and "experiments/" in text]
    assert "Maxwell relation" in run(tiny(text))
    assert (tmp_path / "runs" / "report.html").exists()


def test_what_it_points_to_is_there():
    for target in re.findall(r"\]\((?!http)([^)#]+)\)", README):
        assert (ROOT / target).exists(), target


def test_the_make_targets_it_names_exist():
    named = set(re.findall(r"`?make ([a-z-]+)", README))
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), flags=re.MULTILINE))
    targets |= {f"results-{page.stem}" for page in (ROOT / "docs" / "results").glob("*.md")}  # one rule for all of them
    assert {"demo", "test"} <= named <= targets
