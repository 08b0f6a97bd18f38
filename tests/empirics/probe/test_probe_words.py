"""What the probe prints: every number is the one that its name says, and limits lie where they are said to lie."""

import pytest

from empirics.probe.row import ProbeRow, _share
from empirics.probe.words import cells, line, warnings

KNOWN = {
    "group": "0.weight", "parameters": 192, "blocks": 16, "scale_invariant": True, "role": "invariant", "first": 30,
    "last": 60, "lr": 0.1, "weight_decay": 0.02, "norm": 3.0, "grad_norm": 0.7, "update_rms": 0.004, "radial": 0.2,
    "angular_update": 0.011, "volume": 4.5, "effective_lr": 0.0111, "temperature": 0.0022, "pressure": 0.021,
    "pv_over_rt": 1.2, "balance": 0.8, "angular_equilibrium": 0.013, "equilibrium_share": 0.9, "rises": True,
    "relaxation_steps": 125.0, "to_go": 340.0, "far": True, "rotation": 0.846,
}  # fmt: skip
PENALTY = {"scale_invariant": False, "role": "penalty", "blocks": 0, "far": False}


def of(**others):
    return ProbeRow(**KNOWN | others)


def test_every_cell_is_of_its_own_number():
    wanted = {
        "group": "0.weight", "role": "invariant", "lr": "0.1", "wd": "0.02", "norm": "3", "effective_lr": "0.0111",
        "rotation": "0.011", "stationary": "0.013", "relaxation": "120",
        "remark": "at 90 % of stationary, 340 steps to go",
    }  # fmt: skip
    assert cells([of()]) == [wanted]


def test_a_line_is_of_medians_and_of_the_tensor_with_the_smallest_share():
    rows = [
        of(group="layer1", balance=0.5, temperature=0.1),
        of(group="layer2", equilibrium_share=0.3),
        of(group="layer3", balance=0.9, effective_lr=0.02, temperature=0.001, rotation=2.0),
        of(**PENALTY, group="bias", matrix=False, balance=7.0, equilibrium_share=float("nan"), rotation=9.0),
    ]
    assert line(60, 1.5, rows) == (
        "step 60, loss 1.5, effective learning rate 0.011, T 0.0022, layer2 at 30 % of its stationary value, "
        "balance of steps 30 to 60 0.800, rotation 0.85 of stationary"
    )


@pytest.mark.parametrize(
    ("others", "remark"),
    [
        ({"rises": False, "equilibrium_share": 0.8}, "at 125 % of stationary, 340 steps to go"),
        ({"far": False, "equilibrium_share": 0.96}, "stationary"),
        ({"far": False, "equilibrium_share": 0.94}, ""),
        ({"kept": 0.48}, "weight decay is rounded away"),
        ({"far": False, "kept": 0.52}, ""),
        ({**PENALTY, "rotation": 0.48}, "rotation 0.5 of stationary"),
        ({**PENALTY, "rotation": 0.52}, ""),
        ({**PENALTY, "rotation": 1.95}, ""),
        ({**PENALTY, "rotation": 2.05}, "rotation 2.0 of stationary"),
    ],
)
def test_a_remark_on_either_side_of_its_limit(others, remark):
    assert cells([of(**others)])[0]["remark"] == remark


@pytest.mark.parametrize(
    ("balance", "said", "far"), [(0.96, 1.0, False), (0.94, 1.0, True), (0.96, 0.009, True), (0.96, 0.011, False)]
)
def test_the_stationary_state_is_reached_at_95_percent(balance, said, far):
    found = _share(balance, 1.0, 100.0, said)
    assert found["far"] == far
    assert (found["to_go"] > 0) == (balance < 0.95)


@pytest.mark.parametrize(
    ("others", "words"),
    [
        ([{"changed": 0.1}, {"changed": 0.3}], "between steps (30 % of the measured ones)"),
        ([{"kept": 0.3}], "is rounded away in float32: 30 % of it is applied"),
        ([{**PENALTY, "group": "b"}, {"role": "dead", "group": "c"}], "weight decay on b is an ordinary penalty"),
    ],
)
def test_numbers_and_names_in_warnings(others, words):
    assert any(words in said for said in warnings([of(**one) for one in others], [], {}))
