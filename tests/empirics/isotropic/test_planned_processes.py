"""Copies of the gas carried along plans: the entropy follows, an adiabat keeps it, a drop makes what is predicted."""

import numpy as np
import pytest
from study_plans import BOUND, GAS_CONSTANT, HEAT, START, D, carried, dropped

from empirics.steering import adiabat, cooldown, drop_entropy, entropy_rate, quasi_static


@pytest.mark.parametrize("along", ["isobar", "isochore"])
def test_entropy_follows_the_chosen_rate(along):
    steps = 10_000
    made = entropy_rate(rate=-1 / steps, steps=steps, along=along, heat_capacity=HEAT)
    assert quasi_static(made, **START, relaxation_steps=BOUND)
    out, _ = carried(made, points=101, copies=1024)
    planned = -GAS_CONSTANT * np.linspace(0, 1, 101)
    error = np.hypot(out["entropy_error"], out["entropy_error"][0]).values
    # 1 % of R is what finite steps change; a lag of 0.05 in log T is 0.05 R.
    off = np.abs((out["entropy"] - out["entropy"][0]).values - planned)
    assert (off < 4 * error + 0.06 * GAS_CONSTANT).all()
    assert off[-1] < 4 * error[-1] + 0.03 * GAS_CONSTANT
    assert error.max() < 0.02 * GAS_CONSTANT


def test_an_adiabat_keeps_the_entropy_and_a_wrong_index_does_not():
    kept, lost = (
        carried(adiabat(factor=4.0, steps=8000, **how), points=81, copies=2048)[0]
        for how in ({"heat_capacity": HEAT}, {"index": 1.5})
    )
    error = float(np.hypot(kept["entropy_error"][-1], kept["entropy_error"][0]))
    assert abs(float(kept["entropy"][-1] - kept["entropy"][0])) < 4 * error + 0.2
    assert abs(float(lost["entropy"][-1] - lost["entropy"][0])) > 5


def test_a_corrected_cooldown_keeps_the_norm():
    held, free = (
        carried(cooldown(factor=0.25, steps=8000, correct=correct), points=81, copies=512)[0]
        for correct in (True, False)
    )
    assert np.abs(held["log_radius"] - held["log_radius"][0]).max() < 0.005
    assert float(free["log_radius"][-1] - free["log_radius"][0]) == pytest.approx(np.log(0.25) / 4, abs=0.03)


@pytest.mark.parametrize("factor", [2.0, 4.0])
def test_a_drop_of_lr_produces_what_is_predicted(factor):
    produced, error, predicted = dropped(factor, lr=0.005, copies=1024)
    assert D == 50
    assert produced == pytest.approx(predicted, abs=4 * error + 0.03 * predicted)  # C_V = 0.96 R at this temperature
    assert GAS_CONSTANT * drop_entropy(factor)["total"] > predicted
