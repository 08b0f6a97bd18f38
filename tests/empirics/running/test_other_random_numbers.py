"""The generator of a run is on record: unfinished runs of another one are refused, finished ones are read."""

import json
import shutil

import numpy as np
import pytest
from gas import small
from tiny import tiny

import empirics
from empirics.data import DATASETS
from empirics.experiment import ExperimentError
from empirics.running.checkpoint import Checkpoints
from empirics.running.files import read_arrays, write_arrays
from empirics.training.ensemble import Ensemble
from empirics.training.philox import RANDOM


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    folder = tmp_path_factory.mktemp("finished") / "run"
    empirics.run(tiny(), folder, progress=False)
    return folder


def changed(folder, copy, random, store):
    """A copy with another generator on record (None: as in release 0.1.0, which had none), finished or not."""
    shutil.copytree(folder, copy)
    record = json.loads((copy / "provenance.json").read_text())
    assert record.pop("random") in (RANDOM, "xoshiro256++")
    record |= {"random": random} if random else {}
    (copy / "provenance.json").write_text(json.dumps(record))
    if not store:
        shutil.rmtree(copy / "results.zarr")
    return copy


@pytest.mark.parametrize(("random", "named"), [(None, "numpy's PCG64"), ("philox4x32-10, version 0", "version 0")])
def test_unfinished_with_other_numbers_is_refused_in_one_line(finished, tmp_path, random, named):
    folder = changed(finished, tmp_path / "old", random, store=False)
    before = sorted(path.name for path in folder.iterdir())
    for again in (
        lambda: empirics.resume(folder, progress=False),
        lambda: empirics.run(tiny(), folder, progress=False),
    ):
        with pytest.raises(ExperimentError) as caught:
            again()
        message = str(caught.value)
        assert "\n" not in message
        for part in (str(folder), named, RANDOM, "start again in another folder"):
            assert part in message
    assert sorted(path.name for path in folder.iterdir()) == before


def test_finished_with_other_numbers_is_read(finished, tmp_path):
    folder = changed(finished, tmp_path / "old", None, store=True)
    for found in (empirics.load(folder), empirics.resume(folder), empirics.run(tiny(), folder)):
        assert found.dataset.equals(empirics.load(finished).dataset)


def test_unfinished_with_the_same_numbers_is_continued_to_the_same_bits(finished, tmp_path):
    folder = changed(finished, tmp_path / "same", RANDOM, store=False)
    assert empirics.resume(folder, progress=False).dataset.equals(empirics.load(finished).dataset)


def test_the_gas_has_its_generator_since_the_first_release(tmp_path):
    first = empirics.run(small(), tmp_path / "gas", progress=False)
    folder = changed(tmp_path / "gas", tmp_path / "old", None, store=False)
    assert empirics.resume(folder, progress=False).dataset.equals(first.dataset)


def test_a_checkpoint_with_other_numbers_is_not_continued(tmp_path):
    experiment = tiny()
    ensemble = Ensemble(experiment, experiment.runs, DATASETS.get("digits")())
    store, state = Checkpoints(tmp_path, 30, 4), ensemble.start()
    for _ in range(40):
        ensemble.advance(state)
    store.save(state)
    assert Checkpoints(tmp_path, 30, 4).restore(ensemble).step == 40
    (path,) = tmp_path.glob("checkpoint-*.npz")
    write_arrays(path, read_arrays(path) | {"random": np.array("numpy's PCG64")})
    assert Checkpoints(tmp_path, 30, 4).restore(ensemble).step == 0
