"""No figure and no section divides by a difference that may vanish, overflows or warns, whatever a column holds."""

import warnings
from itertools import product

import numpy as np
import pytest
import xarray as xr
from test_pages import judged

from empirics.pages import evidence, figures, report
from empirics.results import Runs

LR, DECAY = (axis.ravel() for axis in np.meshgrid([0.05, 0.1, 0.2], [0.01, 0.02], indexing="ij"))
RUNS = len(LR)
NOISE = 30 * (LR * DECAY) ** 0.1
RADIUS_SQ = np.sqrt(LR * NOISE / (2 * DECAY))

#: Numbers of ordinary runs, by column.
PLAIN = {
    "lr": LR,
    "weight_decay": DECAY,
    "radius_sq": RADIUS_SQ,
    "log_radius": np.log(RADIUS_SQ) / 2,
    "grad_sq": DECAY * (2 - LR * DECAY) * RADIUS_SQ / LR,
    "grad_variance_unit": NOISE,
    "loss": 0.3 + LR * DECAY,
    "loss_variance": (LR * DECAY) ** 2,
    "temperature": LR * DECAY,
    "entropy": 20 * np.log(LR * DECAY),
    "entropy_sphere": 10 * np.log(LR * DECAY),
    "entropy_sphere_theiler": 12 * np.log(LR * DECAY),
    "balance": np.linspace(0.998, 1.002, RUNS),
    "balance_error": np.full(RUNS, 5e-4),
    "radius_drift": np.zeros(RUNS),
    "effective_sample_size": np.full(RUNS, 60.0),
    "test_accuracy": np.linspace(0.5, 0.9, RUNS),
}

#: What may have happened to a column.
CHANGES = {
    "constant": lambda values: np.full(RUNS, values[0]),
    "equal but for rounding": lambda values: values[0] * (1 + 2e-16 * np.arange(RUNS)),
    "a copy of lr": lambda values: LR,
    "tiny": lambda values: 1e-300 * values,
    "huge": lambda values: 1e300 * values,
    "zero": np.zeros_like,
    "negative": lambda values: -1 - np.abs(values),
    "half of it absent": lambda values: np.where(np.arange(RUNS) % 2, values, np.nan),
    "infinite": lambda values: np.where(np.arange(RUNS), values, np.inf),
}

#: The figures that read a column.
READ_BY = {
    "lr": ("accuracy_map", "accuracy_plot", "radius_plot", "slope_plane", "entropy_map", "status_map", "traces"),
    "weight_decay": ("radius_map", "balance_plot", "adjacency", "slope_plane", "entropy_map", "status_map"),
    "radius_sq": ("radius_map", "radius_plot"),
    "log_radius": ("traces", "slope_plane"),
    "grad_variance_unit": ("radius_plot",),
    "entropy": ("entropy_map", "slope_plane"),
    "entropy_sphere_theiler": ("slope_plane",),
    "balance": ("balance_plot",),
    "balance_error": ("balance_plot",),
    "test_accuracy": ("accuracy_map", "accuracy_plot"),
}


def made(changed, protocol="fixed-lr"):
    """Runs with these columns."""
    columns = PLAIN | changed
    set_ = {name: ("run", columns.pop(name)) for name in ("lr", "weight_decay")}
    set_ |= {"effective_lr": set_["lr"]} if protocol != "fixed-lr" else {}
    set_ |= {"protocol": ("run", np.full(RUNS, protocol)), "optimizer": ("run", np.full(RUNS, "sgd"))}
    words = {"status": np.full(RUNS, "ok"), "reason": np.full(RUNS, ""), "path_entropy": np.full(RUNS, True)}
    summary = xr.Dataset({k: ("run", v) for k, v in (columns | words).items()}, set_, {"dimension": 41, "name": "odd"})
    trace = xr.Dataset({"log_radius": (("run", "step"), np.repeat(columns["log_radius"][:, None], 9, 1))})
    lags = xr.Dataset({"neighbour_lag": (("run", "snapshot"), np.resize([1, 1, 5], (RUNS, 12)))})
    tree = {"summary": summary, "trace": trace.assign_coords(step=np.arange(9)), "snapshots": lags}
    return Runs(None, xr.DataTree.from_dict(tree), None, {})


@pytest.mark.parametrize("change", CHANGES)
def test_figures_of_a_degenerate_column_are_drawn_or_left_out(change, monkeypatch):
    # A drawing is laid out once for all of its checks; as SVG it takes three times as long.
    def picture(figure, title, message, caption):
        figure.draw_without_rendering()
        assert max(map(len, message.split())) < 40, message
        return message

    for module in ("entropy", "learning", "neighbours", "radius", "stationarity"):
        monkeypatch.setattr(f"empirics.pages.figures.{module}.picture", picture)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for column, names in READ_BY.items():
            if (column, change) == ("weight_decay", "huge"):
                continue  # lr·wd itself overflows, in the norm balance before any figure
            one = evidence.RunEvidence(made({column: CHANGES[change](PLAIN[column])}))
            for name in names:
                getattr(figures, name)(one)


@pytest.mark.parametrize(
    ("change", "form"), [*product(("constant", "tiny", "huge"), ("markdown", "json")), ("zero", "html")]
)
def test_a_report_of_degenerate_runs_is_written(change, form, tmp_path):
    rates = ("lr", "weight_decay")
    runs = made({name: CHANGES[change](values) for name, values in PLAIN.items() if name not in rates})
    text = report(judged(runs), tmp_path / "page", form).read_text(encoding="utf-8")
    assert "odd" in text
    assert not [word for word in text.split() if word.strip(".,;:()").isdigit() and len(word) > 40]
