"""The built wheel, installed into a fresh environment and used away from the source."""

import email
import os
import re
import subprocess
import sys
import sysconfig
import tarfile
import tomllib
import zipfile
from importlib.util import find_spec
from pathlib import Path

import pytest
from tiny import TINY

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def done(*command, cwd, **environment):
    """Run a command away from the source; return what it printed."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    found = subprocess.run(
        list(map(str, command)), cwd=cwd, env={**clean, **environment}, capture_output=True, text=True, check=False
    )
    assert found.returncode == 0, (command, found.stdout[-1000:], found.stderr[-2000:])
    return found.stdout


def test_one_version_everywhere():
    version = PROJECT["version"]
    assert re.search(rf"^version: {re.escape(version)}$", (ROOT / "CITATION.cff").read_text(), flags=re.MULTILINE)
    changelog = (ROOT / "CHANGELOG.md").read_text()
    assert re.findall(r"^## (\d+\.\d+\.\d+) - \d{4}-\d{2}-\d{2}$", changelog, re.MULTILINE)[0] == version


@pytest.fixture(scope="module")
def dist(tmp_path_factory):
    """The sdist, and the wheel made from it."""
    if find_spec("build") is None:
        pytest.skip("build is not installed")
    out = tmp_path_factory.mktemp("dist")
    done(sys.executable, "-m", "build", "--outdir", out, ROOT, cwd=out)
    (wheel,), (source,) = out.glob("*.whl"), out.glob("*.tar.gz")
    return wheel, source


@pytest.fixture(scope="module")
def python(dist, tmp_path_factory):
    """A fresh environment with the wheel; what the wheel needs is lent by this one."""
    folder = tmp_path_factory.mktemp("fresh")
    done(sys.executable, "-m", "venv", folder / "venv", cwd=folder)
    python = folder / "venv" / "bin" / "python"
    done(python, "-m", "pip", "install", "--quiet", "--no-deps", dist[0], cwd=folder)
    site = Path(done(python, "-c", "import sysconfig; print(sysconfig.get_paths()['purelib'])", cwd=folder).strip())
    # A folder named in a .pth file is searched after the environment's own; its own .pth files (one is ours, editable)
    # are not read.
    (site / "lent.pth").write_text(sysconfig.get_paths()["purelib"] + "\n")
    return python


@pytest.mark.long
def test_what_the_wheel_holds(dist):
    wheel, source = dist
    tracked = subprocess.run(["git", "ls-files", "thermo_theory", "empirics"], cwd=ROOT, capture_output=True, text=True)
    wanted = set(tracked.stdout.split())
    assert len(wanted) > 200
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        metadata = next(name for name in names if name.endswith("METADATA"))
        facts = email.message_from_bytes(archive.read(metadata))
    assert wanted <= names
    assert {name.split("/")[0].split("-")[0] for name in names} == {"thermo_theory", "empirics"}
    assert facts["Version"] == PROJECT["version"]
    assert "ideal gas" in facts.get_payload()
    with tarfile.open(source) as archive:
        inside = {name.partition("/")[2] for name in archive.getnames()}
    assert {"README.md", "LICENSE", "pyproject.toml"} | wanted <= inside


@pytest.mark.long
def test_the_theory_is_used_away_from_the_source(python, tmp_path):
    code = """
import thermo_theory, sys
assert "site" in thermo_theory.__file__ and "torch" not in sys.modules
law = thermo_theory.derive("ideal-gas-law", thermo_theory.FixedLR)
assert len(law.verify()) > 3
print(thermo_theory.FixedLR.temperature(eta=0.1, lam=1e-3, sigma=2.0, d=101))
"""
    assert done(python, "-c", code, cwd=tmp_path).startswith("0.00141421")
    done(python, "-m", "thermo_theory.interactive", tmp_path / "gas.html", cwd=tmp_path)
    assert "const LAWS" in (tmp_path / "gas.html").read_text()


@pytest.mark.long
def test_the_commands_are_used_away_from_the_source(python, tmp_path):
    program = python.with_name("thermo-theory")
    assert "digits" in done(program, "list", cwd=tmp_path)
    for words in (["demo", "--help"], ["schedule", "--help"]):
        assert "Usage" in done(program, *words, cwd=tmp_path)
    (tmp_path / "tiny.toml").write_text(TINY)
    done(program, "run", "tiny.toml", "--out", "runs", cwd=tmp_path, OMP_NUM_THREADS="1")
    assert "Radius law" in done(program, "compare", "runs", cwd=tmp_path)
    done(program, "report", "runs", "--out", "page.html", cwd=tmp_path)
    assert "<main>" in (tmp_path / "page.html").read_text()


@pytest.mark.long
def test_what_is_embedded_is_there(python, tmp_path):
    code = """
from importlib.resources import files
import empirics, empirics.pages
assert "site-packages" in empirics.__file__
found = [file for file in (files("empirics") / "experiments").iterdir() if file.name.endswith(".toml")]
print(len(found), empirics.pages.schema()["$schema"])
assert (files("empirics") / "py.typed").is_file() and (files("thermo_theory") / "py.typed").is_file()
"""
    experiments, schema = done(python, "-c", code, cwd=tmp_path).split()
    assert int(experiments) == len(list((ROOT / "empirics" / "experiments").glob("*.toml")))
    assert "json-schema.org" in schema
