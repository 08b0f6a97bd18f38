"""Curves of the book: where a formula says more as a picture. Every number comes from a claim.

>>> curve = PLOTS["quench"]().curves[0]
>>> round(float(curve.y[0]), 3)
0.809
"""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import numpy as np

from thermo_theory.engine.derivation import derive
from thermo_theory.palette import DASHES, SERIES, STYLE, adaptive
from thermo_theory.protocols import FixedELR, FixedLR, FixedSphere

__all__ = ["PLOTS", "BookPlot", "Curve", "to_svg"]


@dataclass(frozen=True)
class Curve:
    """One line of a plot: its label, in matplotlib's mathematics where it has any, and arrays of one length."""

    label: str
    x: np.ndarray
    y: np.ndarray


@dataclass(frozen=True)
class BookPlot:
    """What is drawn: what is to be seen, in words and in numbers; axes, curves, and whether x is logarithmic."""

    says: str
    numbers: str
    x: str
    y: str
    curves: tuple[Curve, ...]
    log: bool = False

    @property
    def alt(self) -> str:
        """What stands in place of the picture."""
        return f"{self.says} {self.numbers}"


def _ends(curve: Curve, x: str, y: str) -> str:
    """A curve in numbers: where it begins and where it ends."""
    first, last = ((curve.x[i], curve.y[i]) for i in (0, -1))
    return f"{y} from {first[1]:.3g} at {x} = {first[0]:.3g} to {last[1]:.3g} at {x} = {last[0]:.3g}"


def _against_temperature(
    name: str, y: str, symbol: str, says: str, scale: Callable[[Any], Any] = lambda d: 1.0, most: float = 100
) -> BookPlot:
    """A quantity of the von Mises-Fisher gas against d T, for several numbers of weights."""
    warmth = np.geomspace(0.01, 100, 81)
    warmth = warmth[warmth <= most]
    claim = derive(name).claim
    curves = tuple(
        Curve(rf"$d$ = {d:,}", warmth, np.asarray(claim(d=d, T=warmth / d)) / scale(d)) for d in (3, 10, 100, 10_000)
    )
    if np.abs(curves[3].y / curves[2].y - 1).max() < 0.02:
        curves = (*curves[:3], replace(curves[3], label=f"{curves[3].label}, coincides with {curves[2].label}"))
    numbers = "; ".join(f"d = {d}: {_ends(one, 'dT', symbol)}" for d, one in zip((3, 10_000), curves[::3], strict=True))
    return BookPlot(says, f"{numbers}.", r"$d\,T$", y, curves, log=True)


def _energy() -> BookPlot:
    says = "The mean loss is RT at low temperature and tends to 1 at high temperature."
    return _against_temperature("vmf-energy", r"mean loss $U$", "U", says)


def _heat_capacity() -> BookPlot:
    says = "The heat capacity is R at low temperature; it falls off near dT = 1, not near T = 1."
    return _against_temperature("vmf-heat-capacity", r"$C_V/R$", "C_V/R", says, lambda d: (d - 1) / 2)


def _index() -> BookPlot:
    """The adiabatic index, as far as it fits on the page."""
    says = "The adiabatic index is 2 at low temperature only, for dT far below 2."
    return _against_temperature("adiabatic-index", r"adiabatic index $\gamma$", "γ", says, most=3)


def _trajectory() -> BookPlot:
    time = np.linspace(0, 2000, 81)
    settings: dict[str, Any] = {"eta": 0.1, "lam": 0.01, "sigma": 1.0, "d": 101}
    claim, starts = derive("radius-trajectory", FixedLR).claim, (0.5, 3.0, 6.0, 9.0)
    curves = tuple(Curve(rf"$r(0)$ = {r0:g}", time, claim(t=time, r0=r0, **settings)) for r0 in starts)
    says = "From any start the norm relaxes to one value (fixed LR, η = 0.1, λ = 0.01, σ = 1, d = 101)."
    numbers = (
        f"From r = {starts[0]:g} and from r = {starts[-1]:g} to {curves[0].y[-1]:.3g} after {time[-1]:g} iterations."
    )
    return BookPlot(says, numbers, r"iterations $t$", r"norm $r$", curves)


def _finite_step() -> BookPlot:
    step = np.linspace(0.005, 0.5, 50)
    sphere = np.asarray(derive("finite-step", FixedSphere).claim(R=1.0, T=1.0, V=1.0, eta_eff=step, h=1.0))
    elr = np.asarray(derive("finite-step", FixedELR).claim(R=1.0, T=1.0, p=1.0, eta_eff=step, h=1.0))
    # At fixed LR: such noise that the volume for small steps, (eta sigma^2 (d - 1)/(8 lambda))^(1/2), is 1.
    eta = 2 * step
    lr = derive("finite-step", FixedLR).claim(d=3.0, eta=eta, h=1.0, lam=1.0, sigma=np.sqrt(4 / eta))
    same = "fixed sphere and fixed ELR coincide" if np.allclose(sphere, elr) else "fixed ELR"
    apart = () if np.allclose(sphere, elr) else (Curve("fixed sphere", step, sphere),)
    curves = (Curve(same, step, elr), Curve("fixed LR", step, np.asarray(lr)), *apart)
    x, y = r"step size $\eta_{\mathrm{eff}}h$", r"$pV/(RT)$ at low temperature"
    numbers = f"{same}: {_ends(curves[0], 'η_eff h', 'pV/(RT)')}; fixed LR: to {curves[1].y[-1]:.3g}."
    return BookPlot("Finite steps raise pV, and the mean loss with it, above RT.", numbers, x, y, curves)


def _quench() -> BookPlot:
    ratio = np.geomspace(0.2, 10, 61)
    made = np.asarray(derive("quench").claim(R=1.0, T1=ratio, T2=1.0))
    in_four = 4 * np.asarray(derive("quench").claim(R=1.0, T1=ratio ** (1 / 4), T2=1.0))
    curves = (Curve("one drop", ratio, made), Curve("four drops, each by the fourth root", ratio, in_four))
    says = "A sudden change of temperature produces entropy; four smaller ones produce far less."
    numbers = f"A drop to a tenth produces {made[-1]:.3g} R at once and {in_four[-1]:.3g} R in four."
    return BookPlot(says, numbers, r"$T_1/T_2$", r"entropy produced, in units of $R$", curves, log=True)


def _adiabat() -> BookPlot:
    volume = np.linspace(0.6, 2.5, 60)
    claim = derive("adiabat").claim
    lines = ((2.0, r"adiabat of SGD at low $T$: $\gamma$ = 2"), (3.0, r"adiabat of AdamW at low $T$: $\gamma$ = 3"))
    curves = tuple(Curve(label, volume, claim(V=volume, V0=1.0, p0=1.0, gamma=gamma)) for gamma, label in lines)
    curves = (Curve("isotherm", volume, 1 / volume), *curves)
    numbers = (
        f"At 2.5 times the volume p is {', '.join(f'{one.y[-1]:.3g}' for one in curves)} of its value, γ = 1, 2, 3."
    )
    return BookPlot(
        "Along an adiabat the pressure falls faster than along an isotherm.", numbers, "$V/V_0$", "$p/p_0$", curves
    )


def _length_scale() -> BookPlot:
    volume, scales = np.geomspace(0.05, 20, 80), (0.0001, 0.1, 1.0)
    claim = derive("length-scale").claim
    curves = tuple(
        Curve(rf"$\epsilon$ = {eps:g}", volume, claim(R=1.0, T=1.0, V=volume, eps=eps, stretch=-0.5)) for eps in scales
    )
    numbers = "; ".join(f"ε = {eps:g}: {_ends(one, 'V', 'pV/(RT)')}" for eps, one in zip(scales, curves, strict=True))
    says = "Without a length scale pV/(RT) is 1 at every volume; with ε it is not at small volumes."
    return BookPlot(says, f"{numbers}.", r"$V$", r"$pV/(RT)$", curves, log=True)


def _quasi_static() -> BookPlot:
    ramp = np.linspace(0.0, 2, 61)
    lag = derive("quasi-static").claim(eta=0.5, lam=0.5, ramp=ramp)
    curves = (Curve("lag", ramp, np.asarray(lag)), Curve("a quarter of the ratio", ramp, ramp / 4))
    half = np.searchsorted(ramp, 0.5)
    numbers = f"At a ratio of 0.5 the lag is {curves[0].y[half]:.3g}, a quarter of the ratio {curves[1].y[half]:.3g}."
    says = "The norm lags behind a slow ramp by a quarter of the ramp's rate over the relaxation rate."
    return BookPlot(says, numbers, r"rate of the ramp $\nu/(4\eta\lambda)$", r"lag of $\log r$", curves)


#: Plots by the name of the derivation on whose page they stand; each is worked out once.
PLOTS: dict[str, Callable[[], BookPlot]] = {
    "radius-trajectory": cache(_trajectory),
    "adiabat": cache(_adiabat),
    "vmf-energy": cache(_energy),
    "vmf-heat-capacity": cache(_heat_capacity),
    "adiabatic-index": cache(_index),
    "finite-step": cache(_finite_step),
    "length-scale": cache(_length_scale),
    "quasi-static": cache(_quasi_static),
    "quench": cache(_quench),
}


def to_svg(plot: BookPlot) -> str:
    """Draw a plot as SVG, the same each time.

    Parameters
    ----------
    plot : BookPlot
        What to draw.

    Returns
    -------
    str
        An SVG document, light or dark as its reader wants it.
    """
    import matplotlib as mpl
    from matplotlib.figure import Figure

    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(5.6, 3.4), layout="constrained")
        axes = figure.add_subplot()
        for curve, dashes, colour in zip(plot.curves, DASHES, SERIES, strict=False):
            axes.plot(curve.x, curve.y, linestyle=dashes, color=colour, label=curve.label)
        axes.set(xlabel=plot.x, ylabel=plot.y, xscale="log" if plot.log else "linear")
        axes.legend()
        buffer = io.StringIO()
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    return adaptive(buffer.getvalue())
