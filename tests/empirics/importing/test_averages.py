"""From series to stationary means: burn-in, errors, drift, restarts, schedules, and what was logged in between."""

import numpy as np
import pytest
from gas_logs import EVERY, MEASURED, D, csv, gas_logs, lightning, log, put, settings

import empirics
from empirics.claims.table import Table
from empirics.importing import Survey, survey
from empirics.importing.averages import Averages, averages
from empirics.importing.foreign import Foreign, ForeignRun, Logged, series
from empirics.importing.names import Assigned, assign
from empirics.measure import norm_balance

NAMED = assign(["radius_sq", "grad_sq", "loss"], {}, "here")


def balance(grad_sq, radius_sq):
    return norm_balance(0.1, 0.1, grad_sq, radius_sq)


def of_series(**values):
    at = {name: Logged(np.arange(len(one)) + 1.0, np.asarray(one, dtype=float)) for name, one in values.items()}
    return averages(ForeignRun("here", {}, at), NAMED, balance)


@pytest.mark.parametrize(("memory", "start"), [(0.0, 0), (0.7, 0), (0.7, 4), (0.95, 4)])
def test_means_are_unbiased_and_their_errors_are_the_scatter(memory, start):
    rng, found, points = np.random.default_rng(2), [], 400
    for _ in range(80):
        noise = rng.standard_normal((points, 2))
        for i in range(1, points):
            noise[i] = memory * noise[i - 1] + (1 - memory**2) ** 0.5 * noise[i]
        relaxing = 1 + start * np.exp(-np.arange(points) / 15)
        found.append(of_series(radius_sq=np.exp(0.01 * noise[:, 0]) * relaxing, grad_sq=np.exp(0.01 * noise[:, 1])))
    assert [one.status for one in found].count("ok") >= 78
    means, errors = (np.array([one.values[name] for one in found]) for name in ("radius_sq", "balance_error"))
    assert means.mean() == pytest.approx(1, abs=1e-3)
    ratios = np.array([balance(one.values["grad_sq"], one.values["radius_sq"]) for one in found]) / balance(1, 1)
    assert 0.7 < ratios.std() / (errors.mean() / balance(1, 1)) < 1.4
    if not start:  # without a transient little is thrown away
        assert np.mean([one.left_out for one in found]) < 0.2 * points


@pytest.mark.parametrize(
    ("radius_sq", "status", "reason"),
    [
        (np.exp(np.linspace(0, 0.4, 200)), "not stationary", "log r drifts by"),
        (np.exp(0.1 * np.sin(np.arange(200) / 25)), "too short", "independent points, fewer than the 8"),
        (np.exp(np.tile(np.linspace(0, -0.4, 20), 10)), "periodic jumps", "jumps back"),
        (np.r_[np.ones(150), np.nan, np.ones(49)], "diverged", "radius_sq was nan at step 151"),
        (np.r_[np.ones(150), 0, np.ones(49)], "diverged", "radius_sq was 0 at step 151"),
        (np.ones(200), "ok", ""),
        (np.ones(12), "", ""),
    ],
)
def test_the_status_is_read_off_the_series(radius_sq, status, reason):
    noise = 1 + 1e-4 * np.random.default_rng(0).standard_normal(len(radius_sq))
    found = of_series(radius_sq=radius_sq * noise, loss=noise)
    assert (found.status, reason in found.reason) == (status, True), found.reason


def test_one_step_twice_a_restart_and_a_log_in_no_order():
    assert series([1, 1, 2], [1.0, 3.0, 5.0])[0].value.tolist() == [2.0, 5.0]
    steps = [1, 2, 3, 4, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]
    found, note = series(steps, [0.0, 0, 9, 9, *range(3, 13)])
    assert found.step.tolist() == list(range(1, 13))
    assert found.value.tolist() == [0, 0, *range(3, 13)]
    assert note.startswith("restarted 1 time:")
    order = np.random.default_rng(0).permutation(50)
    found, note = series(order, order * 2.0)
    assert (found.value.tolist(), note) == ((2.0 * np.arange(50)).tolist(), "")


def test_curves_over_time_are_those_of_the_logs(tmp_path):
    runs = gas_logs(points=30)
    lightning(tmp_path / "logs", runs)
    trace = empirics.read_runs(tmp_path / "logs", "fixed-lr", dimension=D).tree["trace"]
    assert trace["step"].values.tolist() == [EVERY * (i + 1) for i in range(30)]
    for i, run in enumerate(runs):
        np.testing.assert_allclose(trace["log_radius"][i], np.log(run["series"]["radius_sq"]) / 2, rtol=1e-12)
        for name in ("grad_sq", "loss"):
            np.testing.assert_allclose(trace[name][i], run["series"][name], rtol=1e-12)


def test_a_survey_says_how_long_the_logs_are_and_what_was_left_out():
    one = Logged(np.arange(3.0), np.arange(3.0))
    runs = [ForeignRun(place, {}, {"loss": one}) for place in ("a", "b", "c")]
    numbers = ((200, 10, 3.0), (80, 8, 5.5), (200, 40, np.nan))
    means = [Averages(points=points, left_out=cut, time=time) for points, cut, time in numbers]
    assert Survey(Foreign("here", "logs", runs, []), Assigned(), averaged=means).notes() == [
        "series: of 3 of 3 runs, 80 to 200 points; burn-in leaves out 5 to 20 %; autocorrelation time 3.0 to 5.5 "
        "points; less than half as long as the others: b"
    ]


def change_logs(folder, change):
    """Lightning's logs after a change of the rows of each run."""
    runs = gas_logs()
    lightning(folder, runs)
    for n, run in enumerate(runs):
        put(folder / f"version_{n}" / "metrics.csv", csv(change(log(run), run)))
    return runs


@pytest.mark.parametrize("until", [20, 120, 190])
def test_a_schedule_is_noticed(tmp_path, until):
    """Warm-up is burn-in; a rate that changes nearly to the end leaves nothing that is stationary."""

    def change(rows, run):
        rates = [run["lr"] * min(1, (i + 1) / until) for i in range(len(rows))]
        relaxing = 1 + 4 * np.exp(-np.maximum(0, np.arange(len(rows)) - until) / 4)  # begins anew at the last rate
        return [
            row | {"lr-SGD": rate, "radius_sq": row["radius_sq"] * factor}
            for row, rate, factor in zip(rows, rates, relaxing, strict=True)
        ]

    runs = change_logs(tmp_path / "logs", change)
    found = survey(tmp_path / "logs", "fixed-lr", dimension=D)
    data = found.read().dataset
    if until < 190:
        assert data["status"].values.tolist() == ["ok"] * 12
        assert all(one.left_out >= until - 1 for one in found.averaged)
        np.testing.assert_allclose(data["radius_sq"], [run["means"]["radius_sq"] for run in runs], rtol=0.015)
    else:
        assert data["status"].values.tolist() == ["not stationary"] * 12
        assert f"lr-SGD changes until step {EVERY * 190}" in str(data["reason"].values[0])


def test_rows_of_training_and_validation_in_turn(tmp_path):
    def change(rows, run):
        held_out = [dict.fromkeys(row, "") | {"step": row["step"], "loss": 9.0} for row in rows]
        pairs = zip(rows, held_out, strict=True)
        return [row | {"split": split} for pair in pairs for row, split in zip(pair, ("train", "val"), strict=True)]

    runs = change_logs(tmp_path / "logs", change)
    data = empirics.read_runs(tmp_path / "logs", "fixed-lr", dimension=D).dataset
    np.testing.assert_allclose(data["loss"], [run["means"]["loss"] for run in runs], rtol=0.01)
    np.testing.assert_allclose(data["test_loss"], 9)


def test_logs_with_wall_time_alone_of_unequal_length_and_restarted(tmp_path):
    def change(rows, run):
        if run["lr"] == 0.01:
            rows = rows[:120] + rows[100:]
        return rows[: 90 if run["lr"] == 0.08 else None]

    runs = change_logs(tmp_path / "logs", change)
    said = "\n".join(survey(tmp_path / "logs", "fixed-lr", dimension=D).notes())
    assert "restarted 1 time: steps that were done again count once (logs/version_0, logs/version_1" in said
    assert "less than half as long as the others: logs/version_9, logs/version_10" in said
    runs = change_logs(
        tmp_path / "timed", lambda rows, run: [{"wall_time": 1e9 + row.pop("step"), **row} for row in rows]
    )
    found = survey(tmp_path / "timed", "fixed-lr", dimension=D)
    assert "no column of steps: the points are numbered as they come" in "\n".join(found.notes())
    np.testing.assert_allclose(
        found.read().dataset["radius_sq"], [run["means"]["radius_sq"] for run in runs], rtol=0.01
    )


def test_norms_that_are_logged_are_squared_before_they_are_averaged(tmp_path):
    rng = np.random.default_rng(3)
    norms = {}

    def change(rows, run):
        norms[run["lr"], run["weight_decay"]] = values = rng.uniform(0.5, 1.5, len(rows))
        return [{"step": row["step"], "weight_norm": value} for row, value in zip(rows, values, strict=True)]

    change_logs(tmp_path / "logs", change)
    with pytest.warns(UserWarning, match=r"guessed from the names, to be checked: radius_sq = weight_norm\^2$"):
        data = empirics.read_runs(tmp_path / "logs", "fixed-lr", dimension=D).dataset
    for i in range(12):
        values = norms[float(data["lr"][i]), float(data["weight_decay"][i])]
        assert data["radius_sq"].values[i] in [pytest.approx(np.mean(values[k:] ** 2), rel=1e-9) for k in range(101)]


def test_a_run_that_is_finished_is_not_thereby_stationary(tmp_path):
    runs = gas_logs()
    rows = [settings(run) | run["means"] | {"State": "finished", "dimension": D} for run in runs]
    rows[3]["State"], rows[4]["State"] = "crashed", "running"
    for dropped, known in ((("grad_sq", "grad_variance"), False), ((), True)):
        kept = [{name: value for name, value in row.items() if name not in dropped} for row in rows]
        data = empirics.read_runs(put(tmp_path / "t.csv", csv(kept)), "fixed-lr").dataset
        assert data["status"].values.tolist() == ["ok"] * 3 + ["crashed", "running"] + ["ok"] * 7
        assert Table.of(data.assign_attrs(protocol="fixed-lr")).gated == known
    own = [settings(run) | {"radius_sq": run["means"]["radius_sq"], "State": "ok", "dimension": D} for run in runs]
    data = empirics.read_runs(put(tmp_path / "t.csv", csv(own)), "fixed-lr").dataset
    assert Table.of(data.assign_attrs(protocol="fixed-lr")).gated
    assert set(MEASURED) & set(data) == {"radius_sq"}
