"""Trace folders of the paper's code: windows, squares, drifts, broken folders; nothing in them is executed."""

import itertools
import json
import math
import shutil
import zipfile

import numpy as np
import pytest
import torch

import empirics
from empirics.experiment import ExperimentError

D = 5001
ITERATIONS = list(range(0, 41, 2))


def trace_of(lr, wd, d, rng):
    """What the paper's code keeps of an ideal gas: numpy scalars, NaN until the window of 20 iterations is full."""
    r = (lr * (d - 1) / (2 * wd)) ** 0.25
    noise = np.sqrt((d - 1) / r**2)
    sphere = (d - 1) / 2 * np.log(np.sqrt(lr * wd / (2 * (d - 1)))) + 0.0003 * d * rng.standard_normal()
    early = [i < 20 for i in ITERATIONS]
    return {
        "train_loss": [0.5 for _ in ITERATIONS],
        "stoch_grad_rms": [np.float64(noise) for _ in ITERATIONS],
        "full_grad_norm": [0.0 for _ in ITERATIONS],
        "spherical_entropy": [np.nan if e else np.float64(sphere) for e in early],
        "log_radius": [np.nan if e else np.float64((d - 1) * np.log(r)) for e in early],
        "mean_radius": [float(np.float32(r * (3 if e else 1))) for e in early],
        "weight": [torch.ones(3)],
        "test_loss": [],
    }


def write_trace(folder, lr, wd, trace, **config):
    folder.mkdir(parents=True)
    setting = {"lr": lr, "wd": wd, "log_iters": ITERATIONS, "queue_size": 10, "queue_freq": 2, "pt_seed": 1, **config}
    (folder / "config.json").write_text(json.dumps(setting))
    torch.save({"model": {"w": torch.zeros(2)}, "trace": trace}, folder / "trace.pt")


@pytest.fixture
def traces(tmp_path):
    rng = np.random.default_rng(3)
    for lr in (0.01, 0.02, 0.05, 0.1):
        for wd in (0.01, 0.02, 0.05, 0.1):
            folder = tmp_path / "fixed_lr" / f"lr{lr:.2e}_wd{wd:.2e}_seed1"
            write_trace(folder, lr, wd, trace_of(lr, wd, D, rng), opt_mode="fixed_lr")
    return tmp_path / "fixed_lr"


def test_traces_without_gradients_and_without_the_norm_along_the_run_are_not_called_stationary(tmp_path):
    rng = np.random.default_rng(3)
    for lr, wd in itertools.product((0.01, 0.02, 0.05, 0.1), repeat=2):
        trace = trace_of(lr, wd, D, rng)
        kept = {name: values for name, values in trace.items() if name not in ("stoch_grad_rms", "full_grad_norm")}
        write_trace(tmp_path / "few" / f"lr{lr:.2e}_wd{wd:.2e}_seed1", lr, wd, kept)
    runs = empirics.read_runs(tmp_path / "few", "fixed-lr")
    assert "status" not in runs.dataset
    rows = list(empirics.compare(runs))
    assert {row.verdict for row in rows if row.kind == "physics"} <= {"refused", "not measured"}
    (relation,) = [row for row in rows if row.claim == "V3"]
    assert relation.verdict == "agrees"
    assert relation.reason.endswith("whether the runs were stationary is not measured")


def test_trace_folders_become_runs(traces, tmp_path):
    runs = empirics.import_runs(traces, tmp_path / "out", "fixed-lr")
    data = empirics.load(tmp_path / "out").dataset
    assert data.attrs["dimension"] == D  # from (d-1) log r and r
    assert dict(data.sizes) == {"run": 16}
    np.testing.assert_allclose(data["radius_sq"] ** 2, data["lr"] * (D - 1) / (2 * data["weight_decay"]), rtol=1e-6)
    np.testing.assert_allclose(data["grad_variance"], (D - 1) / data["radius_sq"], rtol=1e-6)
    assert set(data["status"].values) == {"ok"}
    assert dict(runs.tree["trace"].sizes) == {"run": 16, "step": len(ITERATIONS)}
    assert {verdict.verdict for verdict in empirics.compare(runs) if verdict.claim == "V3"} == {"agrees"}


def test_a_trace_folder_that_was_copied_is_named(traces):
    first = sorted(traces.iterdir())[0]
    shutil.copytree(first, first.with_name("copy"))
    with pytest.raises(ExperimentError, match=f"folder copy and folder {first.name} are the same run"):
        empirics.read_runs(traces, "fixed-lr")


def test_only_the_last_window_counts(tmp_path):
    trace = trace_of(0.1, 0.1, D, np.random.default_rng(4))
    trace["train_loss"] = [float(i) for i in ITERATIONS]
    write_trace(tmp_path / "lr1_wd1_seed1", 0.1, 0.1, trace)
    data = empirics.read_runs(tmp_path, "fixed-lr").dataset
    assert data["loss"].item() == np.mean([i for i in ITERATIONS if i > 20])  # 10 snapshots, 2 iterations apart
    assert empirics.read_runs(tmp_path / "lr1_wd1_seed1", "fixed-lr").dataset.sizes["run"] == 1


def test_a_trace_without_a_window_and_its_curves(tmp_path):
    """The last tenth of 21 entries is two."""
    trace, rng = trace_of(0.1, 0.1, D, np.random.default_rng(4)), np.random.default_rng(11)
    for name in ("train_loss", "stoch_grad_mean_norm_squared", "mean_radius"):
        trace[name] = rng.uniform(0.5, 2, len(ITERATIONS)).tolist()
    write_trace(tmp_path / "a", 0.1, 0.1, trace | {"log_radius": []}, queue_size=None)
    runs = empirics.read_runs(tmp_path, "fixed-lr", dimension=D)
    for theirs, ours in (("train_loss", "loss"), ("stoch_grad_mean_norm_squared", "grad_sq")):
        assert runs.dataset[ours].item() == pytest.approx(np.mean(trace[theirs][-2:]), rel=1e-12)
        np.testing.assert_allclose(runs.tree["trace"][ours][0], trace[theirs])
    np.testing.assert_allclose(runs.tree["trace"]["log_radius"][0], np.log(trace["mean_radius"]))
    assert runs.tree["trace"]["step"].values.tolist() == ITERATIONS


def test_a_trace_on_the_sphere_has_its_radius_and_its_effective_rate(tmp_path):
    trace = trace_of(0.1, 0.1, D, np.random.default_rng(4))
    write_trace(tmp_path / "a", 0.1, 0.1, trace, opt_mode="fixed_sphere", si_pnorm_0=2.0)
    data = empirics.read_runs(tmp_path, "fixed-sphere").dataset
    assert (data["radius"].item(), data["effective_lr"].item(), data["seed"].item()) == (2.0, 0.1, 1)


def test_means_over_the_window_are_of_squares(tmp_path):
    trace, rng = trace_of(0.1, 0.1, D, np.random.default_rng(4)), np.random.default_rng(11)
    names = {"stoch_grad_rms": "grad_variance", "full_grad_norm": "grad_mean_sq"}
    for theirs in names:
        trace[theirs] = rng.uniform(0.5, 2, len(ITERATIONS)).tolist()
    write_trace(tmp_path / "a", 0.1, 0.1, trace)
    data = empirics.read_runs(tmp_path, "fixed-lr").dataset
    for theirs, ours in names.items():
        squares = [value**2 for i, value in zip(ITERATIONS, trace[theirs], strict=True) if i > 20]
        assert data[ours].item() == pytest.approx(np.mean(squares), rel=1e-12)


def test_a_run_that_diverged_says_so(traces):
    folder = traces / "lr9.00e-01_wd1.00e-01_seed1"
    trace = trace_of(0.9, 0.1, D, np.random.default_rng(5))
    trace["train_loss"][7:] = [math.nan] * (len(ITERATIONS) - 7)
    write_trace(folder, 0.9, 0.1, trace)
    data = empirics.read_runs(traces, "fixed-lr").dataset
    assert data["status"].values.tolist().count("diverged") == 1
    assert "logged iteration 7" in data["reason"].values[-1]


@pytest.mark.parametrize(
    ("shape", "status"),
    [
        (lambda i: 0.001 * np.sin(i * i), "ok"),
        (lambda i: -0.0004 * i, "not stationary"),
        (lambda i: -0.01 * (i % 50), "periodic jumps"),
    ],
)
def test_the_norm_along_the_run_tells_drifts_and_jumps(tmp_path, shape, status):
    trace = trace_of(0.1, 0.1, D, np.random.default_rng(8))
    trace["running_radius"] = np.exp(shape(np.arange(400.0))).tolist()
    settings = {"queue_size": 200, "queue_freq": 2, "running_log_freq": 2}
    write_trace(tmp_path / "a", 0.1, 0.1, trace, **settings)
    data = empirics.read_runs(tmp_path, "fixed-lr").dataset
    assert data["status"].item() == status, data["reason"].item()
    assert data["radius_drift"].item() == pytest.approx(-0.06 if status == "not stationary" else 0, abs=2e-3)


def test_scalars_of_numpy_1_are_read(tmp_path):
    write_trace(tmp_path / "a", 0.1, 0.1, trace_of(0.1, 0.1, D, np.random.default_rng(9)))
    file = tmp_path / "a" / "trace.pt"
    with zipfile.ZipFile(file) as stored:
        parts = {name: stored.read(name) for name in stored.namelist()}
    older = {name: part.replace(b"cnumpy._core.multiarray", b"cnumpy.core.multiarray") for name, part in parts.items()}
    assert older != parts
    with zipfile.ZipFile(file, "w") as stored:
        for name, part in older.items():
            stored.writestr(name, part)
    assert empirics.read_runs(tmp_path, "fixed-lr").dataset["grad_variance"].item() > 0


class Bomb:
    """Opens a file when unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")


@pytest.mark.parametrize("place", ["trace", "list", "model"])
def test_nothing_in_a_trace_is_executed(traces, tmp_path, place):
    folder = traces / "lr1.00e-02_wd1.00e-02_seed1"
    bomb = Bomb(tmp_path / "exploded")
    good = trace_of(0.01, 0.01, D, np.random.default_rng(6))
    stored = {
        "trace": {"model": {}, "trace": bomb},
        "list": {"model": {}, "trace": good | {"train_loss": [bomb]}},
        "model": {"model": bomb, "trace": good},
    }[place]
    torch.save(stored, folder / "trace.pt")
    with pytest.raises(ExperimentError, match=r"trace\.pt .*\(_?io\.open\); refused") as caught:
        empirics.read_runs(traces, "fixed-lr")
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "exploded").exists()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda f: (f / "trace.pt").unlink(), r"trace\.pt is missing"),
        (lambda f: (f / "config.json").unlink(), r"config\.json is missing"),
        (lambda f: (f / "config.json").write_text("{"), r"config\.json is not JSON"),
        (lambda f: (f / "config.json").write_text("[]"), r"config\.json must hold a JSON object"),
        (lambda f: (f / "config.json").write_text('{"lr": 1}'), r"config\.json: wd = None must be a number above 0"),
        (lambda f: (f / "config.json").write_text('{"lr": 1, "wd": 1}'), r"log_iters must be a list"),
        (lambda f: (f / "trace.pt").write_bytes(b"nonsense"), r"trace\.pt"),
        (lambda f: torch.save({"trace": 3}, f / "trace.pt"), r"holds no dictionary 'trace'"),
        (
            lambda f: torch.save({"trace": {"train_loss": ["a"]}}, f / "trace.pt"),
            r"train_loss must be a list of numbers",
        ),
        (lambda f: torch.save({"trace": {"train_loss": [1.0]}}, f / "trace.pt"), r"the trace has no mean_radius"),
        (
            lambda f: torch.save({"trace": {"train_loss": [1.0] * 99}}, f / "trace.pt"),
            r"99 entries, but log_iters only 21",
        ),
    ],
)
def test_a_broken_folder_names_the_file(traces, change, message):
    change(traces / "lr1.00e-02_wd1.00e-02_seed1")
    with pytest.raises(ExperimentError, match=message):
        empirics.read_runs(traces, "fixed-lr")


def test_the_code_s_own_protocol_is_checked_and_its_lr_understood(tmp_path):
    trace = trace_of(0.1, 0.1, D, np.random.default_rng(7))
    write_trace(tmp_path / "a", 0.1, 0.1, trace, opt_mode="fixed_elr")
    with pytest.raises(ExperimentError, match=r"opt_mode is fixed-elr, but --protocol is fixed-lr"):
        empirics.read_runs(tmp_path, "fixed-lr")
    data = empirics.read_runs(tmp_path, "fixed-elr").dataset
    assert data["effective_lr"].item() == 0.1
    assert "lr" not in data.coords
