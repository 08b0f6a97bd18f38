"""Figures of whether the runs are stationary."""

from __future__ import annotations

import numpy as np
from matplotlib.ticker import FuncFormatter, MaxNLocator

from empirics.measure.stationarity import BALANCE_MARGIN, SIGNIFICANT
from empirics.pages.drawing import Picture, canvas, picture
from empirics.pages.evidence import RunEvidence
from empirics.pages.figures.axes import SHORT, edges, grid_axes, log_axis, plain
from thermo_theory.palette import FAINT, INK, MUTED, SERIES

__all__ = ["balance_plot", "status_map", "traces"]


def balance_plot(evidence: RunEvidence, margin: float = BALANCE_MARGIN) -> Picture | None:
    """Draw every run's norm balance with its 95 % interval."""
    balance = evidence.get("balance")
    if balance is None:
        return None
    error = np.maximum(1.96 * np.nan_to_num(evidence.column("balance_error")), 0)
    with canvas() as (figure, axes):
        axes.axhspan(1 - margin, 1 + margin, color=FAINT, linewidth=0, zorder=0)
        axes.axhline(1, color=INK, linewidth=1)
        shown = evidence.ok
        axes.errorbar(
            evidence.product[shown], balance[shown], error[shown], fmt="o", color=SERIES[0],
            markersize=4, elinewidth=1, label="included", alpha=0.85,
        )  # fmt: skip
        if (~shown).any():
            axes.errorbar(
                evidence.product[~shown], balance[~shown], error[~shown], fmt="x", color=SERIES[1],
                markersize=7, elinewidth=1, label="excluded from fits",
            )  # fmt: skip
        log_axis(axes.xaxis, evidence.product)
        axes.set(xlabel=evidence.product_name, ylabel="norm balance")
        axes.yaxis.set_major_formatter(FuncFormatter(plain))
        axes.margins(y=0.2)
        figure.legend(loc="outside upper left", ncols=2)
        return picture(
            figure,
            "Norm balance of every run",
            f"Norm balance of {len(evidence)} runs, from {np.nanmin(balance):.4g} to {np.nanmax(balance):.4g}; "
            "1 means that growth and shrinkage of the norm cancel.",
            f"Bars are 95 % intervals from block means. A run is excluded if it lies outside the band, 1 ± {margin:g}, "
            f"and more than {SIGNIFICANT:g} standard errors from 1.",
        )


def traces(evidence: RunEvidence, count: int = 4) -> Picture | None:
    """Draw the norm over time of a few runs spread over the grid."""
    trace = evidence.node("trace") if evidence.protocol != "fixed-sphere" else None
    if trace is None or "log_radius" not in trace:
        return None
    log_radius = trace["log_radius"].transpose("run", "step").values.astype(float)
    # Runs of different length have the numbers of their steps beside them.
    steps = np.asarray(trace["training_step" if "training_step" in trace else "step"].values, float)
    steps = np.broadcast_to(steps, log_radius.shape)
    order = np.argsort(evidence.product, kind="stable")
    chosen = order[np.unique(np.linspace(0, len(order) - 1, count).round().astype(int))]
    with canvas() as (figure, axes):
        for run, colour, style in zip(chosen, SERIES, ("-", (0, (5, 1.5)), (0, (2, 1)), "-."), strict=False):
            late = log_radius[run, -max(1, log_radius.shape[1] // 2) :]
            with np.errstate(over="ignore"):
                ratio = np.exp(log_radius[run] - np.nanmean(late)) if np.isfinite(late).any() else log_radius[run]
            label = f"{SHORT[evidence.axes[0]]} {evidence.lr[run]:.2g}, "
            label += f"{SHORT[evidence.axes[1]]} {evidence.weight_decay[run]:.2g}"
            axes.plot(steps[run], ratio, color=colour, linestyle=style, linewidth=1.3, label=label)
        measured = _first_measured(evidence)
        if measured:
            axes.axvline(measured, color=MUTED, linewidth=0.9, linestyle=":")
            axes.annotate(
                "measured from here", (measured, 0.985), (3, 0), xycoords=("data", "axes fraction"),
                textcoords="offset points", size=8.5, va="top",
            )  # fmt: skip
        axes.xaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 5, 10]))
        axes.set(xlabel="training step", ylabel="norm r / its later mean")
        axes.margins(y=0.15)
        figure.legend(loc="outside upper left", ncols=2, columnspacing=1.2)
        return picture(
            figure,
            "The norm over time",
            f"The norm of the weights of {len(chosen)} runs over {_length(steps[chosen, -1])} steps, each divided by "
            "its own later mean.",
            "A stationary run fluctuates about 1 without a trend. "
            + (
                "Runs with a small lr·wd relax slowest"
                + (": the relaxation time is 1/(4 lr·wd) steps." if evidence.optimizer == "sgd" else ".")
                if evidence.free
                else "Runs with a small effective learning rate relax slowest: the relaxation time is 1/(2 η_eff λ r²) "
                "steps."
            ),
        )


def _length(steps: np.ndarray) -> str:
    """Write how long the runs are."""
    low, high = steps.min(), steps.max()
    return f"{high:.0f}" if low == high else f"{low:.0f} to {high:.0f}"


def _first_measured(evidence: RunEvidence) -> float | None:
    """Return the length of the burn-in where the experiment says it."""
    training = getattr(getattr(evidence.runs, "experiment", None), "training", None)
    found = getattr(training, "burn_in", None)
    return float(found) if isinstance(found, int) else None  # not where it is counted in relaxation times


# How included and excluded runs are marked, by the order of their statuses: shape, colour.
_OK = ("o", MUTED)
_OTHERS = (("x", SERIES[1]), ("s", SERIES[0]), ("^", SERIES[3]), ("D", SERIES[2]))


def status_map(evidence: RunEvidence) -> Picture | None:
    """Draw the status of the runs over the grid, that of the worst where seeds share a cell."""
    good = evidence.on_grid
    if not good.any():
        return None
    lr, weight_decay, status = (values[good] for values in (*evidence.cells, evidence.status.astype(str)))
    columns, rows = np.unique(lr), np.unique(weight_decay)
    others = [name for name in evidence.statuses() if name != "ok"]
    with canvas() as (figure, axes):
        size = float(np.clip(60 / max(len(columns), len(rows)), 2.5, 7))
        marks = [("ok", *_OK), *((name, *_OTHERS[i % len(_OTHERS)]) for i, name in enumerate(others))]
        for name, marker, colour in marks:
            chosen = status == name
            if name == "ok":  # a cell with an excluded run shows that one
                out = set(zip(lr[status != "ok"], weight_decay[status != "ok"], strict=True))
                chosen &= np.array([pair not in out for pair in zip(lr, weight_decay, strict=True)])
            axes.plot(
                lr[chosen], weight_decay[chosen], marker, color=colour, markersize=size, markerfacecolor="none",
                markeredgewidth=1.5, label=f"{name} ({int((status == name).sum())})",
            )  # fmt: skip
        axes.set_xlim(*edges(columns)[[0, -1]])
        axes.set_ylim(*edges(rows)[[0, -1]])
        grid_axes(axes, columns, rows, evidence.names)
        figure.legend(loc="outside upper left", ncols=2, columnspacing=1.2, handletextpad=0.3)
        counts = ", ".join(f"{count} {name}" for name, count in evidence.statuses().items())
        return picture(
            figure,
            "Which runs count",
            f"Status of {len(evidence)} runs over {len(columns)} values of {evidence.names[0]} and {len(rows)} of "
            f"{evidence.names[1]}: {counts}.",
            "One marker per grid cell. Where several seeds share a cell, it shows an excluded run if there is one. "
            "Only runs with status ok enter the fits.",
        )
