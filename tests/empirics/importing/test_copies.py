"""A run that is there twice counts once: the table is refused, whatever kind of file it is in."""

import numpy as np
import pandas as pd
import pytest
from gas_table import gas_table

import empirics
from empirics.experiment import ExperimentError


@pytest.fixture
def frame():
    """A gas as somebody would write it down."""
    data = gas_table(np.random.default_rng(1), levels=(4, 3))
    return data.to_dataframe().reset_index(drop=True).drop(columns="protocol").assign(dimension=data.attrs["dimension"])


def read(frame, path):
    frame.to_parquet(path) if path.suffix == ".parquet" else frame.to_csv(path, index=False)
    return empirics.read_runs(path, "fixed-lr").dataset


@pytest.mark.parametrize(("ending", "rows"), [(".csv", "line 4 and line 14"), (".parquet", "row 3 and row 13")])
def test_a_row_that_is_there_twice_is_named(frame, tmp_path, ending, rows):
    with pytest.raises(ExperimentError, match=rf"t{ending}: {rows} are the same run.*leave out the copies, or give"):
        read(pd.concat([frame, frame[2:5]]), tmp_path / f"t{ending}")


def test_a_copy_with_fewer_digits_is_a_copy(frame, tmp_path):
    rounded = frame.map(lambda x: float(f"{x:.9g}")).assign(dimension=frame["dimension"])
    with pytest.raises(ExperimentError, match="line 2 and line 14"):
        read(pd.concat([frame, rounded]), tmp_path / "t.csv")


def test_one_measurement_that_differs_makes_two_runs(frame, tmp_path):
    other = frame.assign(entropy=frame["entropy"] * (1 + 1e-5))
    assert read(pd.concat([frame, other]), tmp_path / "t.csv").sizes["run"] == 24


def test_seeds_tell_runs_apart_unless_they_are_equal(frame, tmp_path):
    seeded = [frame.assign(seed=seed) for seed in (1, 2)]
    assert read(pd.concat(seeded), tmp_path / "t.csv").sizes["run"] == 24
    with pytest.raises(ExperimentError, match=r"line 2 and line 26 are the same run.*leave out the copies$"):
        read(pd.concat([*seeded, seeded[0]]), tmp_path / "t.csv")


def test_runs_of_which_nothing_was_measured_are_no_copies(frame, tmp_path):
    measured = set(frame.columns) - {"lr", "weight_decay", "dimension"}
    diverged = frame.assign(**dict.fromkeys(measured, np.nan), status="diverged")[:2]
    table = pd.concat([frame.assign(status="ok"), diverged, diverged])
    assert read(table, tmp_path / "t.csv").sizes["run"] == 16
