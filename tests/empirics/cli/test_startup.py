"""Verbs that train and judge nothing load no heavy package: they are to answer at once."""

import subprocess
import sys

import pytest
from tiny import tiny

import empirics
from empirics import results
from empirics.experiment import ExperimentError

HEAVY = {"torch", "xarray", "numba", "matplotlib", "scipy.stats"}

#: Runs the verbs one after another in a new process, and names the first after which something heavy is loaded.
CODE = """
import contextlib, io, sys
{plant}
from empirics.cli import main
for words in {verbs!r}:
    with contextlib.redirect_stdout(io.StringIO()):
        code = main(words)
    if code or (found := sorted({heavy!r} & set(sys.modules))):
        sys.exit(f"{{words[0]}}: exit code {{code}}, loads {{found}}")
"""


def loads(*verbs, plant=""):
    code = CODE.format(plant=plant, verbs=[words.split(" ") for words in verbs], heavy=HEAVY)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300)
    return done.stderr.strip()


@pytest.fixture
def unfinished(tmp_path):
    (tmp_path / "experiment.toml").write_text(tiny().to_toml())
    return tmp_path


def test_verbs_without_training_load_nothing_heavy(unfinished):
    schedule = "schedule cooldown --lr 0.1 --weight-decay 5e-4 --steps 1000 --factor 0.5"
    assert not loads("list", "derive radius", f"status {unfinished}", schedule)


@pytest.mark.parametrize(
    "name",
    [
        "claims.claims",
        "importing.survey",
        "isotropic.simulate",
        "measure.burn_in",
        "models.scale_invariant_blocks",
        "steering.weight_decay",
    ],
)
def test_public_rooms_are_there_after_the_import_of_the_package_alone(name):
    code = f"import empirics; empirics.{name}"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr


def test_a_planted_import_is_noticed():
    plant = "import empirics.cli.theory as verbs; verbs.shipped = lambda: __import__('torch') and {}"
    assert "torch" in loads("list", plant=plant)


def test_the_status_of_a_finished_run_reads_its_statuses_alone(tmp_path, monkeypatch):
    found = empirics.run(tiny(), tmp_path, progress=False)
    with monkeypatch.context() as patched:
        patched.setattr(results, "load", lambda folder: pytest.fail("all results were read"))
        assert empirics.status(tmp_path).counts == found.status_counts()
    next((tmp_path / "results.zarr" / "summary" / "status").rglob("0")).write_bytes(b"damaged")
    with pytest.raises(ExperimentError, match=r"cannot read the results .*summary/status"):
        empirics.status(tmp_path)


def test_rules_of_this_package_are_right_though_they_are_read_without_a_check():
    from thermo_theory.protocols import OPTIMIZERS, PROTOCOLS, FixedLR
    from thermo_theory.updates import Update

    every = [*PROTOCOLS.values(), *map(FixedLR.with_optimizer, OPTIMIZERS)]
    assert all(Update.read(protocol.update) == protocol.rule for protocol in every)
