"""Curves of the book: where a formula says more as a picture. Every number comes from a claim.

>>> curve = PLOTS["quench"]().curves[0]
>>> round(float(curve.y[0]), 3)
0.809
"""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from thermo_theory.engine.derivation import derive
from thermo_theory.protocols import FixedELR, FixedLR, FixedSphere

__all__ = ["PLOTS", "BookPlot", "Curve", "to_svg"]


@dataclass(frozen=True)
class Curve:
    """One line of a plot: its label, and arrays of one length."""

    label: str
    x: np.ndarray
    y: np.ndarray


@dataclass(frozen=True)
class BookPlot:
    """What is drawn: the curves, the axes' labels, whether x is logarithmic, and a sentence on what is to be seen."""

    says: str
    x: str
    y: str
    curves: tuple[Curve, ...]
    log: bool = False


def _against_temperature(name: str, y: str, says: str, scale: Callable[[Any], Any] = lambda d: 1.0) -> BookPlot:
    """A quantity of the von Mises-Fisher gas against d T, for several numbers of weights."""
    warmth = np.geomspace(0.01, 100, 81)
    claim = derive(name).claim
    curves = tuple(Curve(f"d = {d}", warmth, claim(d=d, T=warmth / d) / scale(d)) for d in (3, 10, 100, 10_000))
    return BookPlot(says, "d T", y, curves, log=True)


def _energy() -> BookPlot:
    return _against_temperature(
        "vmf-energy", "U", "The loss rises from R T at low temperature to 1 at high temperature."
    )


def _heat_capacity() -> BookPlot:
    says = "The heat capacity is R at low temperature; it falls off near d T = 1, not near T = 1."
    return _against_temperature("vmf-heat-capacity", "C_V/R", says, lambda d: (d - 1) / 2)


def _index() -> BookPlot:
    """The adiabatic index, as far as it fits on the page."""
    whole = _against_temperature(
        "adiabatic-index", "gamma", "The index is 2 at low temperature only, for d T far below 2."
    )
    cut = tuple(Curve(one.label, one.x[one.x <= 3], one.y[one.x <= 3]) for one in whole.curves)
    return BookPlot(whole.says, whole.x, whole.y, cut, whole.log)


def _trajectory() -> BookPlot:
    time = np.linspace(0, 2000, 81)
    settings: dict[str, Any] = {"eta": 0.1, "lam": 0.01, "sigma": 1.0, "d": 101}
    claim = derive("radius-trajectory", FixedLR).claim
    curves = tuple(Curve(f"r(0) = {r0:g}", time, claim(t=time, r0=r0, **settings)) for r0 in (0.5, 3.0, 6.0, 9.0))
    return BookPlot(
        "From any start r^4 relaxes exponentially (fixed LR: eta = 0.1, lambda = 0.01).", "iterations", "r", curves
    )


def _finite_step() -> BookPlot:
    step = np.linspace(0.005, 0.5, 50)
    sphere = derive("finite-step", FixedSphere).claim(R=1.0, T=1.0, V=1.0, eta_eff=step, h=1.0)
    elr = derive("finite-step", FixedELR).claim(R=1.0, T=1.0, p=1.0, eta_eff=step, h=1.0)
    # At fixed LR: such noise that the volume for small steps, (eta sigma^2 (d - 1)/(8 lambda))^(1/2), is 1.
    eta = 2 * step
    lr = derive("finite-step", FixedLR).claim(d=3.0, eta=eta, h=1.0, lam=1.0, sigma=np.sqrt(4 / eta))
    curves = (
        Curve("fixed sphere: p V", step, np.asarray(sphere)),
        Curve("fixed ELR: p V and U", step, np.asarray(elr)),
        Curve("fixed LR: p V and U", step, np.asarray(lr)),
    )
    return BookPlot("Finite steps raise U and p V above R T at low temperature.", "h eta_eff", "p V/(R T)", curves)


def _quench() -> BookPlot:
    ratio = np.geomspace(0.2, 10, 61)
    made = derive("quench").claim(R=1.0, T1=ratio, T2=1.0)
    drops = np.geomspace(1, 10, 4)
    steps = sum(derive("quench").claim(R=1.0, T1=ratio ** (1 / 4), T2=1.0) for _ in drops)
    curves = (Curve("one drop", ratio, made), Curve("four drops of one ratio", ratio, np.asarray(steps)))
    return BookPlot(
        "A sudden change produces entropy; four smaller ones produce far less.", "T1/T2", "S_prod/R", curves, log=True
    )


def _adiabat() -> BookPlot:
    volume = np.linspace(0.6, 2.5, 60)
    claim = derive("adiabat").claim
    lines = (
        (2.0, "adiabat, SGD at low temperature: gamma = 2"),
        (3.0, "adiabat, AdamW at low temperature: gamma = 3"),
    )
    curves = tuple(Curve(label, volume, claim(V=volume, V0=1.0, p0=1.0, gamma=gamma)) for gamma, label in lines)
    curves = (Curve("isotherm", volume, 1 / volume), *curves)
    return BookPlot("Along an adiabat pressure falls faster than along an isotherm.", "V/V_0", "p/p_0", curves)


def _length_scale() -> BookPlot:
    volume = np.geomspace(0.05, 20, 80)
    claim = derive("length-scale").claim
    curves = tuple(
        Curve(f"eps = {eps:g}", volume, claim(R=1.0, T=1.0, V=volume, eps=eps, stretch=-0.5))
        for eps in (0.0001, 0.1, 1.0)
    )
    return BookPlot("Without a length scale p V/(R T) is 1 at every volume.", "V", "p V/(R T)", curves, log=True)


def _quasi_static() -> BookPlot:
    ramp = np.linspace(0.0, 2, 61)
    lag = derive("quasi-static").claim(eta=0.5, lam=0.5, ramp=ramp)
    curves = (Curve("lag", ramp, lag), Curve("a quarter of the ratio", ramp, ramp / 4))
    return BookPlot("The lag of log r behind a ramp.", "nu/(4 eta lambda)", "lag of log r", curves)


#: Plots by the name of the derivation on whose page they stand.
PLOTS: dict[str, Callable[[], BookPlot]] = {
    "radius-trajectory": _trajectory,
    "adiabat": _adiabat,
    "vmf-energy": _energy,
    "vmf-heat-capacity": _heat_capacity,
    "adiabatic-index": _index,
    "finite-step": _finite_step,
    "length-scale": _length_scale,
    "quasi-static": _quasi_static,
    "quench": _quench,
}

_DASHES: Sequence[Any] = ("-", "--", "-.", ":")
_COLOURS = ("#1f4e9e", "#b3541e", "#2f7d4f", "#7a3b8f")


def to_svg(plot: BookPlot) -> str:
    """Draw a plot as SVG, the same each time.

    Parameters
    ----------
    plot : Plot
        What to draw.

    Returns
    -------
    str
        An SVG document on white ground.
    """
    import matplotlib as mpl
    from matplotlib.figure import Figure

    style: dict[Any, Any] = {
        "axes.spines.right": False,
        "axes.spines.top": False,
        "font.size": 10,
        "legend.frameon": False,
        "svg.fonttype": "none",
        "svg.hashsalt": "thermo-theory",
    }
    with mpl.rc_context(style):
        figure = Figure(figsize=(5.6, 3.4), layout="constrained")
        axes = figure.add_subplot()
        for curve, dashes, colour in zip(plot.curves, _DASHES, _COLOURS, strict=False):
            axes.plot(curve.x, curve.y, dashes, color=colour, label=curve.label)
        axes.set(xlabel=plot.x, ylabel=plot.y, xscale="log" if plot.log else "linear")
        axes.legend()
        buffer = io.StringIO()
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    return "\n".join(line.rstrip() for line in buffer.getvalue().splitlines()) + "\n"
