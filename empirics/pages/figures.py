"""The figures of the page: one function a figure, from `Evidence` to `Picture`, None where nothing was measured."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedFormatter, FixedLocator, FuncFormatter, MaxNLocator, NullLocator

from empirics.claims.maxwell import GAS_SLOPES, PATH_SLOPES
from empirics.measure.stationarity import BALANCE_MARGIN, SIGNIFICANT
from empirics.pages.drawing import FAINT, INK, MUTED, PAPER, SERIES, Picture, canvas, picture, symbols_on
from empirics.pages.evidence import Evidence

__all__ = [
    "adjacency",
    "balance_plot",
    "collapse",
    "entropy_map",
    "lag_histogram",
    "radius_map",
    "radius_plot",
    "radius_ratio",
    "slope_plane",
    "traces",
]

_SHORT = {"lr": "lr", "effective_lr": "eff. lr", "weight_decay": "wd", "radius": "radius"}
# Marker shapes go with colours everywhere, so that neither is needed to tell series apart.
_MARKERS = ("o", "^", "s", "D")
_CELLS_WITH_NUMBERS = 9


def _edges(centres: np.ndarray) -> np.ndarray:
    """Return the borders of cells about points on a log axis."""
    logs = np.log(centres)
    if len(logs) == 1:
        return np.exp(np.array([logs[0] - 0.5, logs[0] + 0.5]))
    middle = (logs[1:] + logs[:-1]) / 2
    return np.exp(np.r_[logs[0] - (middle[0] - logs[0]), middle, logs[-1] + (logs[-1] - middle[-1])])


def _ticks(axis: Any, values: np.ndarray) -> None:
    """Label a log axis with at most four of the values that were run."""
    few = values[np.unique(np.linspace(0, len(values) - 1, min(len(values), 4)).round().astype(int))]
    axis.set_major_locator(FixedLocator(list(few)))
    axis.set_major_formatter(FixedFormatter([f"{value:.2g}" for value in few]))
    axis.set_minor_locator(NullLocator())


def _plain(value: float, _: int = 0) -> str:
    """Write a number on an axis without more digits than it has."""
    return f"{value:.6g}"


def _log_ticks(axis: Any, low: float, high: float) -> None:
    """Label a log axis at 1, 2, 5, 10, ... within the data."""
    candidates = np.array([m * 10.0**k for k in range(-12, 9) for m in (1, 2, 5)])
    inside = candidates[(candidates >= low * 0.8) & (candidates <= high * 1.25)]
    if len(inside) > 5:
        inside = inside[[str(f"{value:.0e}")[0] == "1" for value in inside]]
    axis.set_major_locator(FixedLocator(list(inside)))
    axis.set_major_formatter(FuncFormatter(_plain))
    axis.set_minor_locator(NullLocator())


def _map(axes: Axes, figure: Figure, evidence: Evidence, values: np.ndarray, form: str, label: str) -> None:
    """Draw a map over the grid: numbers in the cells where they fit, else a scale beside it."""
    lr, weight_decay, table = evidence.grid(values)
    mesh = axes.pcolormesh(
        _edges(lr), _edges(weight_decay), np.ma.masked_invalid(table), cmap="cividis", edgecolors=PAPER, linewidth=1.2
    )
    axes.set_xscale("log")
    axes.set_yscale("log")
    _ticks(axes.xaxis, lr)
    _ticks(axes.yaxis, weight_decay)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    axes.set_xlabel(evidence.names[0])
    axes.set_ylabel(evidence.names[1])
    if max(len(lr), len(weight_decay)) > _CELLS_WITH_NUMBERS:
        figure.colorbar(mesh, ax=axes, label=label, drawedges=False).outline.set_visible(False)
        return
    for (row, column), value in np.ndenumerate(table):
        _cell_number(axes, mesh, float(lr[column]), float(weight_decay[row]), float(value), form)


def _cell_number(axes: Axes, mesh: Any, x: float, y: float, value: float, form: str) -> None:
    """Write a number into a cell of a map, a dash where there is none."""
    if not np.isfinite(value):
        axes.text(x, y, "–", ha="center", va="center", size=7.5, color=MUTED)
        return
    fill = tuple(mesh.to_rgba(value))
    text = format(value, form).replace("-", "−")
    text = text if text.strip("+−0.") else text.lstrip("+−")
    # The box in the cell's own colour keeps lines across the map from running through the number.
    box = {"facecolor": fill, "linewidth": 0, "boxstyle": "round,pad=0.12"}
    axes.text(x, y, text, ha="center", va="center", size=7.5, color=symbols_on(fill), bbox=box, zorder=4)


def _largest(values: np.ndarray) -> float:
    """Return the largest absolute value of those that are finite, NaN if none is."""
    finite = values[np.isfinite(values)]
    return float(np.abs(finite).max()) if len(finite) else float("nan")


def _decimals(values: np.ndarray) -> str:
    """Return a format that gives all numbers of a map the same, sensible decimals."""
    largest = float(np.nanmax(np.abs(values)))
    return f".{int(np.clip(2 - np.floor(np.log10(max(largest, 1e-12))), 0, 6))}f"


def _equal_products(axes: Axes, evidence: Evidence) -> None:
    """Draw the lines along which lr × weight decay is the same, through the map's diagonal."""
    lr, weight_decay = np.unique(evidence.lr), np.unique(evidence.weight_decay)
    x, y = axes.get_xlim(), axes.get_ylim()
    for share in (0.2, 0.5, 0.8):
        product = np.exp((1 - share) * np.log(lr[0] * weight_decay[0]) + share * np.log(lr[-1] * weight_decay[-1]))
        line = np.geomspace(*x, 50)
        # A light line under a dark one can be seen on any cell.
        axes.plot(line, product / line, color="#ffffff", linewidth=2.4, alpha=0.85)
        axes.plot(line, product / line, color="#000000", linewidth=1.0, linestyle=(0, (5, 3)))
    axes.set_xlim(x)
    axes.set_ylim(y)


def _by_status(axes: Axes, evidence: Evidence, x: np.ndarray, y: np.ndarray, **style: Any) -> None:
    """Draw points, those of runs that are left out of fits hollow and crossed."""
    left_out = ~evidence.ok
    axes.plot(x[evidence.ok], y[evidence.ok], linestyle="none", **style)
    if left_out.any():
        axes.plot(
            x[left_out], y[left_out], linestyle="none", marker="x", color=style["color"], label="left out of fits"
        )


def radius_map(evidence: Evidence) -> Picture | None:
    """Draw the mean norm of the weights over the grid."""
    if evidence.radius is None or evidence.protocol == "fixed-sphere":
        return None
    with canvas() as figure:
        axes = figure.subplots()
        _map(axes, figure, evidence, evidence.radius, _decimals(evidence.radius), "norm r")
        low, high = np.nanmin(evidence.radius), np.nanmax(evidence.radius)
        return picture(
            figure,
            "radius-map",
            "Where the norm of the weights settles",
            f"The mean norm of the weights over the grid runs from {low:.3g} to {high:.3g}; it grows with the "
            f"{evidence.names[0]} and falls with weight decay.",
            f"Root mean square norm r of the scale-invariant weights, one cell a pair of {evidence.names[0]} and "
            "weight decay.",
        )


def radius_plot(evidence: Evidence) -> Picture | None:
    """Draw the measured radius against the formula's, both on log axes."""
    measured, theory = evidence.radius, evidence.sde_radius
    if measured is None or theory is None:
        return None
    with canvas() as figure:
        axes = figure.subplots()
        ends = np.array([np.nanmin(theory), np.nanmax(theory)]) * [0.9, 1.1]
        axes.plot(ends, ends, color=INK, linewidth=1, label="measured = formula")
        _by_status(axes, evidence, theory, measured, marker="o", color=SERIES[0], alpha=0.85, label="a run")
        axes.set_xscale("log")
        axes.set_yscale("log")
        _log_ticks(axes.xaxis, *ends)
        _log_ticks(axes.yaxis, *ends)
        axes.set_xlabel("r by the formula, with measured noise")
        axes.set_ylabel("r measured")
        axes.legend(loc="upper left")
        worst = _largest((measured / theory - 1)[evidence.shown])
        return picture(
            figure,
            "radius-plot",
            "Measured norm against the formula",
            f"Measured norms lie within {100 * worst:.1f} percent of the formula's.",
            "The formula is the stationary radius of the stochastic differential equation, given each run's own "
            "gradient noise. Log axes: a power law with the right exponents is a line parallel to the diagonal.",
        )


def radius_ratio(evidence: Evidence) -> Picture | None:
    """Draw measured over predicted radius against lr × weight decay."""
    if evidence.radius is None:
        return None
    series = [
        ("formula (continuous time)", evidence.sde_radius),
        ("norm balance (exact)", evidence.balance_radius),
    ]
    series = [(label, values) for label, values in series if values is not None]
    if not series:
        return None
    with canvas() as figure:
        axes = figure.subplots()
        axes.axhline(0, color=INK, linewidth=1)
        words = []
        for (label, predicted), colour, marker in zip(series, SERIES, _MARKERS, strict=False):
            off = 100 * (evidence.radius / predicted - 1)
            axes.plot(
                evidence.product[evidence.shown], off[evidence.shown], marker, color=colour, label=label, alpha=0.85
            )
            words.append(f"{label}: at most {_largest(off[evidence.shown]):.2g} percent off")
        axes.set_xscale("log")
        axes.set_xlabel(evidence.product_name)
        axes.set_ylabel("r measured, % above prediction")
        axes.margins(y=0.25)
        axes.legend(loc="best")
        return picture(
            figure,
            "radius-ratio",
            "How far each prediction is off",
            "; ".join(words) + ".",
            "The exact norm balance must hold in every stationary run. The formula drops the squared mean gradient and "
            "terms of order learning rate × weight decay: what is left is the price of that.",
        )


def entropy_map(evidence: Evidence) -> Picture | None:
    """Draw the entropy surface over the grid with lines of equal lr × weight decay."""
    entropy = evidence.get("entropy")
    if entropy is None or not evidence.dimension:
        return None
    values = entropy / evidence.gas_constant
    values = values - np.nanmean(values[evidence.ok]) if evidence.ok.any() else values
    with canvas() as figure:
        axes = figure.subplots()
        _map(axes, figure, evidence, values, "+.1f", "S/R − mean")
        if evidence.free:
            _equal_products(axes, evidence)
        held = "equal learning rate × weight decay (isotherms)" if evidence.free else ""
        return picture(
            figure,
            "entropy-map",
            "The entropy surface",
            f"Entropy in units of R spans {np.nanmax(values) - np.nanmin(values):.2f} over the grid.",
            "Entropy S of the weights in units of R = (d − 1)/2, mean taken off. "
            + (
                f"Dashed: {held}. Along a dashed line scale invariance alone fixes how S changes."
                if held
                else f"Up a column, at equal {evidence.names[0]}, scale invariance alone fixes how S changes."
            ),
        )


def slope_plane(evidence: Evidence) -> Picture | None:
    """Draw the two slopes of the entropy as a point, beside the line and the references."""
    candidates = {
        "all neighbours": evidence.entropy_slopes(False),
        "Theiler window": evidence.entropy_slopes(True),
    }
    points = [(label, fit) for label, fit in candidates.items() if fit is not None]
    if not points or not evidence.free:
        return None
    with canvas() as figure:
        axes = figure.subplots()
        horizontal = [fit.lr.value for _, fit in points] + [GAS_SLOPES[0], PATH_SLOPES[0]]
        low, high = min(horizontal) - 0.25, max(horizontal) + 0.25
        axes.plot([low, high], [low - 1, high - 1], color=INK, linewidth=1)
        axes.annotate("line: difference 1,\nwhat V3 tests", (0.04, 0.96), xycoords="axes fraction", va="top", size=8.5)
        for (x, y), label in {GAS_SLOPES: "low-temperature gas", PATH_SLOPES: "path entropy"}.items():
            axes.plot(x, y, "s", color=MUTED, markersize=9, markerfacecolor="none", markeredgewidth=1.4)
            axes.annotate(label, (x, y), (9, -10), textcoords="offset points", size=9, color=INK)
        for (label, fit), colour, marker in zip(points, SERIES, _MARKERS, strict=False):
            across, up = fit.lr, fit.weight_decay
            axes.errorbar(
                across.value, up.value,
                np.nan_to_num((up.high - up.low) / 2), np.nan_to_num((across.high - across.low) / 2),
                fmt=marker, color=colour, markersize=7, label=label,
            )  # fmt: skip
        axes.set_xlim(low, high)
        axes.set_ylim(low - 1, high - 1)
        axes.set_aspect("equal")
        axes.set_xlabel("slope of S/R in log learning rate")
        axes.set_ylabel("slope in log weight decay")
        figure.legend(loc="outside upper center", ncols=2, columnspacing=1.2, handletextpad=0.4)
        words = "; ".join(f"{label}: ({fit.lr.value:.2f}, {fit.weight_decay.value:.2f})" for label, fit in points)
        return picture(
            figure,
            "slope-plane",
            "Two slopes, one line",
            f"Slopes of the entropy in log learning rate and log weight decay, in units of R: {words}. "
            "Low-temperature gas (1, 0), path entropy (1.5, 0.5); all lie on the line of difference 1.",
            "Every scale-invariant network has to lie on the line; V3 tests that and nothing else. Where on the line "
            "it lies is the physics, and V3 is blind to it: both references sit on it.",
        )


def collapse(evidence: Evidence) -> Picture | None:
    """Draw S/R − (log lr − log wd)/2 against lr × weight decay: one curve if the symmetry holds."""
    entropy = evidence.get("entropy")
    if entropy is None or not evidence.dimension or not np.isfinite(entropy[evidence.shown]).any():
        return None
    if not evidence.free:
        return None
    rest = entropy / evidence.gas_constant - 0.5 * (np.log(evidence.lr) - np.log(evidence.weight_decay))
    rest -= np.nanmean(rest[evidence.shown])
    ratio = np.log10(evidence.lr / evidence.weight_decay)
    levels = [
        ("lr much above wd", ratio > np.quantile(ratio, 2 / 3)),
        ("between", (ratio <= np.quantile(ratio, 2 / 3)) & (ratio >= np.quantile(ratio, 1 / 3))),
        ("lr much below wd", ratio < np.quantile(ratio, 1 / 3)),
    ]
    if np.ptp(ratio) == 0:
        levels = [("a run", np.ones(len(evidence), bool))]
    with canvas() as figure:
        axes = figure.subplots()
        for (label, chosen), colour, marker, size in zip(levels, SERIES, _MARKERS, (10, 7, 4), strict=False):
            chosen = chosen & evidence.shown
            axes.plot(
                evidence.product[chosen], rest[chosen], marker, color=colour, label=label, markerfacecolor="none",
                markeredgewidth=1.4, markersize=size,
            )  # fmt: skip
        axes.set_xscale("log")
        axes.set_xlabel(evidence.product_name)
        axes.set_ylabel("S/R − ½ log(lr/wd), mean off")
        axes.legend(loc="upper left")
        return picture(
            figure,
            "collapse",
            "Do all runs fall on one curve?",
            "With half the log ratio of learning rate and weight decay taken off, the entropy of the runs is shown "
            f"against their product; the spread over the grid is {np.nanstd(rest[evidence.shown]):.2f} R.",
            "If the network is scale-invariant, what is left of S depends on the product alone, and runs with very "
            "different ratios lie on one curve. Scatter off it is a broken symmetry, or runs that are not stationary.",
        )


def balance_plot(evidence: Evidence, margin: float = BALANCE_MARGIN) -> Picture | None:
    """Draw every run's norm balance with its 95 % interval."""
    balance = evidence.get("balance")
    if balance is None:
        return None
    error = 1.96 * evidence.column("balance_error")
    with canvas() as figure:
        axes = figure.subplots()
        axes.axhspan(1 - margin, 1 + margin, color=FAINT, linewidth=0, zorder=0)
        axes.axhline(1, color=INK, linewidth=1)
        shown = evidence.ok
        axes.errorbar(
            evidence.product[shown], balance[shown], np.nan_to_num(error[shown]), fmt="o", color=SERIES[0],
            markersize=4, elinewidth=1, label="in order", alpha=0.85,
        )  # fmt: skip
        if (~shown).any():
            axes.errorbar(
                evidence.product[~shown], balance[~shown], np.nan_to_num(error[~shown]), fmt="x", color=SERIES[1],
                markersize=7, elinewidth=1, label="left out of fits",
            )  # fmt: skip
        axes.set_xscale("log")
        axes.set_xlabel(evidence.product_name)
        axes.set_ylabel("norm balance")
        axes.yaxis.set_major_formatter(FuncFormatter(_plain))
        axes.margins(y=0.2)
        figure.legend(loc="outside upper left", ncols=2)
        return picture(
            figure,
            "balance",
            "Norm balance of every run",
            f"Norm balance of {len(evidence)} runs, from {np.nanmin(balance):.4g} to {np.nanmax(balance):.4g}; "
            "1 means that growth and shrinkage of the norm cancel.",
            f"Bars are 95 % intervals from block means. A run is left out if it lies outside the band, 1 ± {margin:g}, "
            f"and more than {SIGNIFICANT:g} standard errors from 1.",
        )


def traces(evidence: Evidence, count: int = 4) -> Picture | None:
    """Draw the norm over time of a few runs spread over the grid."""
    trace = evidence.node("trace") if evidence.protocol != "fixed-sphere" else None
    if trace is None or "log_radius" not in trace:
        return None
    log_radius = trace["log_radius"].transpose("run", "step").values.astype(float)
    steps = np.asarray(trace["step"].values, float)
    order = np.argsort(evidence.product, kind="stable")
    chosen = order[np.unique(np.linspace(0, len(order) - 1, count).round().astype(int))]
    with canvas() as figure:
        axes = figure.subplots()
        for run, colour, style in zip(chosen, SERIES, ("-", (0, (5, 1.5)), (0, (2, 1)), "-."), strict=False):
            late = log_radius[run, -max(1, log_radius.shape[1] // 2) :]
            with np.errstate(over="ignore"):
                ratio = np.exp(log_radius[run] - np.nanmean(late)) if np.isfinite(late).any() else log_radius[run]
            label = f"{_SHORT[evidence.axes[0]]} {evidence.lr[run]:.2g}, "
            label += f"{_SHORT[evidence.axes[1]]} {evidence.weight_decay[run]:.2g}"
            axes.plot(steps, ratio, color=colour, linestyle=style, linewidth=1.3, label=label)
        measured = _first_measured(evidence)
        if measured:
            axes.axvline(measured, color=MUTED, linewidth=0.9, linestyle=":")
            axes.annotate(
                "measured from here", (measured, 0.985), (3, 0), xycoords=("data", "axes fraction"),
                textcoords="offset points", size=8.5, va="top",
            )  # fmt: skip
        axes.xaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 5, 10]))
        axes.set_xlabel("training step")
        axes.set_ylabel("norm r over its later mean")
        axes.margins(y=0.15)
        figure.legend(loc="outside upper left", ncols=2, columnspacing=1.2)
        return picture(
            figure,
            "traces",
            "The norm over time",
            f"The norm of the weights of {len(chosen)} runs over {steps[-1]:.0f} steps, each over its own later mean.",
            "A stationary run wanders about 1 without a trend. "
            + (
                "Runs with a small product of learning rate and weight decay take longest to settle: the time is "
                "1/(4 lr wd) steps."
                if evidence.free
                else "Runs with a small effective learning rate η take longest to settle: the time is 1/(2 η wd r²) "
                "steps."
            ),
        )


def _first_measured(evidence: Evidence) -> float | None:
    """Return the length of the burn-in where the experiment says it."""
    experiment = getattr(evidence.runs, "experiment", None)
    for holder in (experiment, getattr(experiment, "training", None), getattr(experiment, "schedule", None)):
        for name in ("burn_in", "burn_in_steps", "burnin"):
            if isinstance(value := getattr(holder, name, None), (int, float)):
                return float(value)
    return None


def lag_histogram(evidence: Evidence) -> Picture | None:
    """Draw how far apart in time nearest neighbours are, all runs together."""
    if evidence.lags is None:
        return None
    lags = np.abs(evidence.lags[evidence.shown]).ravel()
    lags = lags[np.isfinite(lags) & (lags > 0)]
    if not len(lags):
        return None
    longest = max(evidence.lags.shape[1] - 1, 2)
    borders = np.array([1.0, 2.0, *(2 * 4.0 ** np.arange(1, 9) + 1)])
    borders = np.insert(borders, 2, 3.0)
    borders = borders[: np.searchsorted(borders, longest, side="right") + 1]
    counts, _ = np.histogram(lags, borders)
    labels = [f"{int(a)}" if b - a == 1 else f"{int(a)}–{int(min(b - 1, longest))}" for a, b in pairwise(borders)]
    shares = 100 * counts / len(lags)
    used = int(np.flatnonzero(counts)[-1]) + 1
    shares, labels = shares[:used], labels[:used]
    with canvas() as figure:
        axes = figure.subplots()
        bars = axes.bar(range(len(shares)), shares, color=SERIES[0], width=0.72)
        texts = [f"{share:.0f}" if share >= 1 or share == 0 else "<1" for share in shares]
        axes.bar_label(bars, texts, padding=2, size=9, color=INK)
        axes.set_xticks(range(len(shares)), labels, rotation=30 if len(labels) > 7 else 0, ha="center")
        axes.tick_params(length=0)
        axes.spines["left"].set_visible(False)
        axes.set_yticks([])
        axes.set_xlabel("snapshots between a snapshot and its nearest neighbour")
        axes.set_ylabel("share of all snapshots, %")
        axes.margins(y=0.12)
        return picture(
            figure,
            "lags",
            "How far away in time is the nearest neighbour?",
            f"{shares[0]:.0f} percent of snapshots have their nearest neighbour next to them in time.",
            "Lag of every snapshot's nearest neighbour, all runs that are in order taken together. Lag 1: the snapshot "
            "just before or just after.",
        )


def adjacency(evidence: Evidence) -> Picture | None:
    """Draw each run's share of neighbours that are adjacent in time."""
    if evidence.adjacent is None or not np.isfinite(evidence.adjacent).any():
        return None
    chance = 2 / evidence.lags.shape[1] if evidence.lags is not None else 0.0
    with canvas() as figure:
        axes = figure.subplots()
        axes.axhline(100 * chance, color=INK, linewidth=1, linestyle=(0, (5, 3)))
        axes.annotate(
            "independent snapshots", (0.01, 100 * chance), (0, 3), xycoords=("axes fraction", "data"),
            textcoords="offset points", size=9,
        )  # fmt: skip
        _by_status(axes, evidence, evidence.product, 100 * evidence.adjacent, marker="o", color=SERIES[0], alpha=0.85)
        axes.set_xscale("log")
        axes.set_ylim(0, 104)
        axes.set_xlabel(evidence.product_name)
        axes.set_ylabel("neighbours adjacent in time, %")
        return picture(
            figure,
            "adjacency",
            "Run by run",
            f"Share of neighbours adjacent in time, from {100 * np.nanmin(evidence.adjacent):.0f} to "
            f"{100 * np.nanmax(evidence.adjacent):.0f} percent; independent snapshots would give {100 * chance:.1g}.",
            "The longer the spacing of snapshots against the memory of the run, the lower this share.",
        )
