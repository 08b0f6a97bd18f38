"""The plot of a probe: from the first record on something is seen, and it says how much there is to see."""

import numpy as np
import pandas as pd
import pytest

from empirics.probe.plot import PANELS, drawn


def history(steps, tensors=2):
    rows = [
        {
            "step": step, "group": f"{i}.weight", "scale_invariant": True,
            "angular_update": (0.02 + 0.01 * i) * step / 300, "angular_equilibrium": 0.02,
            "balance": 0.9, "effective_lr": 0.1, "norm": 3.0,
        }
        for step in steps
        for i in range(tensors)
    ]  # fmt: skip
    columns = ["step", "group", "scale_invariant", "angular_update", "angular_equilibrium", "balance", "effective_lr"]
    return pd.DataFrame(rows, columns=[*columns, "norm"]).astype({"scale_invariant": bool})


def curves(axis, tensors):
    return axis.get_lines()[:tensors]


def test_one_record_is_a_marker_and_the_title_says_that_curves_come_later():
    figure = drawn(history([300]))
    for axis in figure.axes:
        for line in curves(axis, 2):
            assert len(line.get_xdata()) == 1
            assert line.get_marker() not in ("", "None")
    assert figure.get_suptitle() == "2 tensors, one record at step 300: curves begin with the next record"
    assert "at step 300: 1 to 1.5" in figure.axes[0].get_title(loc="left")


def test_a_title_has_the_values_of_the_last_record():
    assert "at step 300: 1 to 1.5" in drawn(history([100, 300])).axes[0].get_title(loc="left")


def test_long_curves_have_no_markers_and_few_tensors_differ_in_more_than_colour():
    figure = drawn(history(range(0, 1000, 10)))
    lines = curves(figure.axes[0], 2)
    assert [line.get_marker() for line in lines] == ["", ""]
    assert len({line.get_linestyle() for line in lines}) == 2
    assert figure.get_suptitle() == "2 tensors, 100 records from step 0 to 990"


@pytest.mark.parametrize("steps", [[], [100]])
def test_what_is_not_known_is_said(steps):
    figure = drawn(history(steps).assign(balance=np.nan))
    texts = [[text.get_text() for text in axis.texts] for axis in figure.axes]
    assert texts == [["not known here"] if name == "balance" or not steps else [] for name, *_ in PANELS]
    if not steps:
        assert figure.get_suptitle().startswith("No record yet")


def test_many_tensors_are_not_named_in_a_legend():
    assert drawn(history([100], 12)).legends
    assert not drawn(history([100], 13)).legends
