"""Learning rates that change with time, and times in units of relaxation."""

import dataclasses
import math

import numpy as np
import pytest
import torch
from reference import torch_optimizer
from tiny import tiny
from torch import nn

import empirics
from empirics.data import DATASETS
from empirics.experiment import AXES, Experiment, ExperimentError
from empirics.training.ensemble import Ensemble
from empirics.training.sampling import Drawing, Minibatches, Stream
from empirics.training.schedule import BETWEEN, Schedule
from empirics.training.tables import Relaxation, ScheduleTable

FLOAT64 = ('"sgd"', '"sgd"\ndtype = "float64"')
WIDE = (("hidden = [5, 4]", "hidden = [16, 12]"), ("batch_size = 16", "batch_size = 64"))
KNOTS = {"step": [0, 20, 30], "lr": [0.1, 1.0, 0.5], "weight_decay": [1.0, 3.0, 3.0]}


def test_factors_between_the_knots():
    table = ScheduleTable(step=(0, 10), lr=(1.0, 0.01))
    halfway = {"log": 0.1, "linear": 0.505, "cosine": 0.505, "step": 1.0}
    for between, expected in halfway.items():
        assert Schedule(dataclasses.replace(table, between=between)).at(5)[0] == pytest.approx(expected)
    quarter = Schedule(dataclasses.replace(table, between="cosine")).at(2.5)[0]
    assert quarter == pytest.approx(0.01 + 0.99 * (1 + math.cos(math.pi / 4)) / 2)
    for function in BETWEEN.values():
        assert function(2.0, 3.0, 0.0) == 2.0


def test_a_step_comes_at_its_knot():
    table = ScheduleTable(step=(0, 10, 20), lr=(1.0, 0.1, 0.01), weight_decay=(2.0, 2.0, 3.0), between="step")
    schedule = Schedule(table)
    assert [schedule.at(step) for step in (0, 9, 10, 19, 20)] == [
        (1.0, 2.0),
        (1.0, 2.0),
        (0.1, 2.0),
        (0.1, 2.0),
        (0.01, 3.0),
    ]


def test_a_schedule_is_that_of_a_torch_scheduler():
    """torch.optim.SGD, its param group's lr and weight_decay set before every step."""
    plain = tiny(FLOAT64, *WIDE)
    asked = dataclasses.replace(plain, schedule={**KNOTS, "between": "linear"})
    data = DATASETS.get("digits")()
    ensemble = Ensemble(asked, asked.runs, data)
    state, run = ensemble.start(), asked.runs[4]
    from plain import plain_network

    network = plain_network(ensemble.model, [w[4] for w in state.weights], [f[4] for f in ensemble.frozen])
    weights = [p for p in network.parameters() if p.requires_grad]
    optimizer = torch_optimizer(weights, run, asked.training)
    inputs, labels = torch.as_tensor(data.inputs), torch.as_tensor(data.labels)
    picks = Minibatches(Drawing((run,), 64, torch.device("cpu")), len(labels), Stream.MINIBATCH)
    for step in range(50):
        ensemble.advance(state)
        group = optimizer.param_groups[0]
        group["lr"] = run.lr * np.interp(step, KNOTS["step"], KNOTS["lr"])
        group["weight_decay"] = run.weight_decay * np.interp(step, KNOTS["step"], KNOTS["weight_decay"])
        optimizer.zero_grad()
        nn.functional.cross_entropy(network(inputs[picks.at(step)]), labels[picks.at(step)]).backward()
        optimizer.step()
    for ours, theirs in zip(state.weights, weights, strict=True):
        torch.testing.assert_close(ours[4], theirs.detach(), rtol=1e-10, atol=1e-10)


def test_runs_whose_rates_change_while_they_are_measured_are_labelled(tmp_path):
    early = dataclasses.replace(tiny(), schedule={"step": [0, 30], "lr": [0.1, 1.0]})
    late = dataclasses.replace(tiny(), schedule={"step": [0, 31], "lr": [0.1, 1.0]})
    reasons = [
        " ".join(empirics.run(each, tmp_path / name, progress=False).dataset["reason"].values)
        for each, name in ((early, "early"), (late, "late"))
    ]
    assert "lr or weight decay changes until step 31" in reasons[1]
    assert "change until" not in reasons[0]


WRONG_SCHEDULES = [
    ({"step": [5, 10], "lr": [1, 1]}, "must be a list of increasing steps that begins with 0"),
    ({"step": [0, 10], "lr": [1, 1, 1]}, "[schedule] lr: must be one factor for each of the 2"),
    ({"step": [0, 10], "lr": [1, 0]}, "[schedule] lr"),
    ({"step": [0, 10]}, "[schedule] step: must be left out"),
    ({"step": [0], "lr": [1.0], "betwen": "log"}, "did you mean 'between'"),
]


@pytest.mark.parametrize(("values", "said"), WRONG_SCHEDULES)
def test_wrong_schedules_are_refused(values, said):
    with pytest.raises(ExperimentError) as caught:
        dataclasses.replace(tiny(), schedule=values)
    assert said in str(caught.value)


def relaxed(spacing="{relaxation = 0.05}", burn_in="{relaxation = 0.1}", protocol="fixed-elr", optimizer="sgd"):
    grid = {"effective_lr": [0.001, 0.004], "weight_decay": [0.01, 0.02, 0.05]}
    if protocol != "fixed-elr":
        grid = {"lr": [0.05, 0.2], AXES[protocol][1]: [0.01, 0.02, 0.05]}
    plain = tiny(
        ("burn_in = 30\nsteps = 160", f"burn_in = {burn_in}"),
        ("spacing = 4", f"spacing = {spacing}"),
        ('"fixed-lr"', f'"{protocol}"'),
        ('"sgd"', f'"{optimizer}"'),
        ("lr = [0.05, 0.1]\nweight_decay = [0.01, 0.02, 0.05]", "\n".join(f"{k} = {v}" for k, v in grid.items())),
        ("runs_per_shard = 4", "runs_per_shard = 3"),
    )
    return Experiment.from_toml(plain.to_toml())


def test_times_in_units_of_relaxation_are_those_of_the_slowest_run_of_a_shard():
    asked = relaxed()
    fast, slow = (asked.times(shard) for shard in asked.cut())
    assert {run.effective_lr for run in asked.cut()[0]} == {0.004}
    assert (fast.spacing, fast.burn_in) == (math.ceil(0.05 / 0.004), math.ceil(0.1 / 0.004))
    assert (slow.spacing, slow.burn_in) == (50, 100)
    assert asked.total_steps == slow.total == 100 + 40 * 50
    assert asked.measure.spacing == Relaxation(0.05)


@pytest.mark.parametrize(("protocol", "expected"), [("fixed-lr", 9.0 / 0.05), ("fixed-sphere", 0.05**2 / 0.05)])
def test_the_relaxation_time_is_one_over_the_effective_rate(protocol, expected):
    asked = relaxed(protocol=protocol)
    asked = dataclasses.replace(asked, training=dataclasses.replace(asked.training, initial_radius=3.0))
    slowest = max(asked.runs, key=asked.relaxation)
    assert asked.relaxation(slowest) == pytest.approx(expected)


def test_relaxation_counts_from_the_noise_that_is_there():
    """1/eta_eff = r^2/lr with r^4 = lr tr Sigma/(2 wd): 5 times the noise by halves, 4 times that by its share."""
    asked = relaxed(protocol="fixed-lr")
    plain = asked.relaxation(asked.runs[1])
    assert plain == pytest.approx((10.0 / (2 * asked.runs[1].lr * asked.runs[1].weight_decay)) ** 0.5)
    for options, times in (({"noise_gain": 2.0}, 5), ({"noise_gain": 2.0, "isotropic_share": 0.75}, 20)):
        training = dataclasses.replace(asked.training, halves=True, **options)
        noisy = dataclasses.replace(asked, training=training)
        assert noisy.relaxation(asked.runs[1]) == pytest.approx(plain * times**0.5)
        radius = Ensemble(noisy, noisy.runs[1:2], DATASETS.get("digits")()).start().flat.norm()
        assert float(radius) == pytest.approx((plain * times**0.5 * asked.runs[1].lr) ** 0.5, rel=1e-5)


def test_a_grid_of_runs_of_different_length(tmp_path):
    runs = empirics.run(relaxed(), tmp_path / "run", progress=False)
    steps = runs.tree["trace"]["training_step"]
    assert steps.dims == ("run", "step")
    assert steps.values[:, -1].tolist() == [25 + 40 * 13] * 3 + [2100] * 3
    assert runs.dataset["effective_lr"].values.tolist() == [0.004] * 3 + [0.001] * 3
    alone = dataclasses.replace(
        relaxed(spacing="50", burn_in="100\nsteps = 2000"),
        grid={"effective_lr": [0.001], "weight_decay": [0.01, 0.02, 0.05]},
    )
    same = empirics.run(alone, tmp_path / "alone", progress=False)
    np.testing.assert_array_equal(same.dataset["radius_sq"], runs.dataset["radius_sq"][3:])
    empirics.report(empirics.compare(runs), tmp_path / "report.html")
    assert "finished" in str(empirics.status(tmp_path / "run"))


def test_relaxation_times_that_are_not_known_before_are_refused():
    with pytest.raises(ExperimentError, match="whose relaxation time is not known before the run"):
        relaxed(protocol="fixed-sphere", optimizer="adamw")
    with pytest.raises(ExperimentError, match="steps = 160: must be left out"):
        tiny(("spacing = 4", "spacing = {relaxation = 1.0}"))
    with pytest.raises(ExperimentError, match=r"spacing = .*must be an integer, 1 or more, or \{relaxation = number\}"):
        tiny(("spacing = 4", "spacing = {relaxtion = 1.0}"))
