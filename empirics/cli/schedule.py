"""What ``thermo-theory schedule`` prints and draws."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import pandas as pd
import typer

from empirics.cli.app import RequestError, app, examples, say
from empirics.steering import plans
from empirics.steering.forecast import QuasiStatic, forecast, quasi_static
from empirics.steering.plans import Plan
from thermo_theory.relations.paths import capacity, law

if TYPE_CHECKING:
    pass

__all__ = ["Request", "draw", "show"]

#: Rows of the curve that is drawn.
CURVE = 401


@dataclass(frozen=True)
class Request:
    """What was asked for on the command line, by the names of its options.

    Attributes
    ----------
    kind : str
        One of `plans.KINDS`.
    lr, weight_decay, steps
        Where it starts, and its length.
    """

    kind: str
    lr: float
    weight_decay: float
    steps: int
    factor: float | None = None
    rate: float | None = None
    along: str = "isobar"
    hold: int = 0
    shape: str | None = None
    correct: bool = True
    optimizer: str = "sgd"
    momentum: float = 0.0
    index: float | None = None
    relaxation_steps: float | None = None
    sigma: float | None = None
    dimension: int | None = None
    points: int = 11

    def plan(self) -> Plan:
        """Return the plan.

        Raises
        ------
        ValueError
            If what the kind needs is missing, or does not fit.
        """
        common: dict[str, Any] = {"steps": self.steps, "hold": self.hold, "optimizer": self.optimizer}
        if self.kind == "entropy-rate":
            if self.rate is None or self.factor is not None or self.shape is not None:
                raise ValueError("entropy-rate takes --rate, and neither --factor nor --shape")
            return plans.entropy_rate(rate=self.rate, along=self.along, index=self.index, **common)
        if self.factor is None or self.rate is not None:
            raise ValueError(f"{self.kind} takes --factor, and no --rate")
        common["factor"] = self.factor
        if self.shape is not None:
            common["shape"] = self.shape
        if self.kind == "adiabat":
            return plans.adiabat(index=self.index, **common)
        if self.kind == "cooldown":
            return plans.cooldown(correct=self.correct, **common)
        return plans.plan(self.kind, **common)

    def heat_capacity(self) -> float:
        """C_V of the directions in units of (d-1)/2."""
        return 1.0 if self.index is None else capacity(law("fixed-lr", self.optimizer), self.index)


def show(request: Request, *, as_json: bool = False, out: Path | None = None) -> str:
    """Forecast a schedule, as text; and draw it, if a file is given.

    Parameters
    ----------
    request : Request
        The schedule.
    as_json : bool
        JSON in place of a table.
    out : Path, optional
        A PNG to write.

    Returns
    -------
    str

    Raises
    ------
    ValueError
        If the schedule cannot be what was asked for, in one line.

    Examples
    --------
    >>> print(show(Request("isotherm", lr=0.1, weight_decay=0.01, steps=10_000, factor=4.0, points=3)))
      step  lr  weight_decay  temperature    norm  entropy
         0 0.1          0.01            1       1        0
     5,000 0.2         0.005            1 1.41421 0.693147
    10,000 0.4        0.0025            1       2  1.38629
    temperature and norm over those at the start; entropy: change in units of R = (d-1)/2 nats
    quasi-static: it needs 3,466 of its 10,000 steps for lags below 0.05 in log r and U/(R T)
    """
    plan = request.plan()
    rates = {"lr": request.lr, "weight_decay": request.weight_decay}
    heat = request.heat_capacity()
    table = forecast(plan, **rates, heat_capacity=heat, points=request.points)
    check = quasi_static(
        plan,
        **rates,
        momentum=request.momentum,
        relaxation_steps=request.relaxation_steps,
        sigma=request.sigma,
        dimension=request.dimension,
    )
    if out is not None:
        draw(forecast(plan, **rates, heat_capacity=heat, points=CURVE), check, f"{plan.kind}, {plan.optimizer}", out)
    if as_json:
        return _json(plan, table, check)
    lines = table.to_string(index=False, formatters={"step": "{:,}".format}, float_format="{:.6g}".format)
    words = "temperature and norm over those at the start; entropy: change in units of R = (d-1)/2 nats"
    return f"{lines}\n{words}\n{check}"


def _json(plan: Plan, table: pd.DataFrame, check: QuasiStatic) -> str:
    """Write everything as JSON; what is infinite becomes null, which JSON has."""

    def plain(value: float) -> float | None:
        return float(value) if math.isfinite(value) else None

    rows = [
        {name: int(value) if name == "step" else plain(value) for name, value in row.items()}
        for row in table.to_dict("records")
    ]
    slow = {
        "holds": check.holds,
        "steps": check.steps,
        "needed_steps": plain(check.needed),
        "lag_norm": plain(check.lag_norm),
        "lag_energy": plain(check.lag_energy),
        "until_step": check.until,
        "tolerance": check.tolerance,
    }
    whole = {"kind": plan.kind, "optimizer": plan.optimizer, "points": rows, "quasi_static": slow}
    return json.dumps(whole, indent=2, allow_nan=False)


def draw(table: pd.DataFrame, check: QuasiStatic, title: str, out: Path) -> None:
    """Draw learning rate, weight decay and what they make, over steps, in a PNG.

    Parameters
    ----------
    table : pandas.DataFrame
        From `forecast`.
    check : QuasiStatic
        Stands below the drawing.
    title : str
        Stands above it.
    out : Path
        The file.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 5.4), layout="constrained")
    panels = figure.subplots(2, 2, sharex=True).ravel()
    finite = table.replace([math.inf, -math.inf], math.nan)
    names = {
        "lr": "learning rate",
        "weight_decay": "weight decay",
        "temperature": "T and |w| over the start's",
        "entropy": "change of entropy, units of R",
    }
    for panel, (column, words) in zip(panels, names.items(), strict=True):
        panel.plot(finite["step"], finite[column], label="T" if column == "temperature" else None)
        if column == "temperature":
            panel.plot(finite["step"], finite["norm"], "--", label="|w|")
            panel.legend(frameon=False)
        panel.set_ylabel(words)
        panel.ticklabel_format(style="plain", useOffset=False)
        if column != "entropy" and (finite[column].dropna() > 0).all():
            panel.set_yscale("log")
        if check.until < int(table["step"].iloc[-1]):
            panel.axvline(check.until, color="0.6", linestyle=":", linewidth=1)
    for panel in panels[2:]:
        panel.set_xlabel("step")
    figure.suptitle(title)
    figure.text(0.01, -0.03, str(check), fontsize=8)
    figure.savefig(out, dpi=150, bbox_inches="tight")


class ScheduleKind(StrEnum):
    """Processes that a schedule follows."""

    ISOTHERM = "isotherm"
    ISOBAR = "isobar"
    ISOCHORE = "isochore"
    ADIABAT = "adiabat"
    COOLDOWN = "cooldown"
    ENTROPY_RATE = "entropy-rate"


class ScheduleFormat(StrEnum):
    """How `schedule` prints."""

    TABLE = "table"
    JSON = "json"


@app.command(
    help=(
        "Say what a schedule of learning rate and weight decay will do: both step by step, with temperature, norm and "
        "entropy, and how many steps it needs at least to be slow beside relaxation."
    ),
    epilog=examples(
        "schedule cooldown --lr 0.1 --weight-decay 5e-4 --factor 0.01 --steps 100000",
        "schedule adiabat --optimizer adamw --lr 1e-3 --weight-decay 0.1 --factor 8 --steps 10000",
        "schedule entropy-rate --rate -1e-5 --along isochore --lr 0.1 --weight-decay 5e-4 --steps 100000",
        "schedule isotherm --lr 0.1 --weight-decay 5e-4 --factor 4 --steps 100000 --out plan.png",
    ),
)
def schedule(
    kind: Annotated[
        ScheduleKind, typer.Argument(metavar="KIND", help="What stays, or what is chosen.", show_default=False)
    ],
    lr: Annotated[float, typer.Option(help="The learning rate at the start.", show_default=False)],
    weight_decay: Annotated[float, typer.Option(help="The weight decay at the start.", show_default=False)],
    steps: Annotated[int, typer.Option(help="Steps in which they change.", show_default=False)],
    factor: Annotated[
        float | None,
        typer.Option(help="By how much lr changes; on an adiabat weight decay.", show_default=False),
    ] = None,
    rate: Annotated[
        float | None,
        typer.Option(help="dS/dt of entropy-rate, in (d-1)/2 nats a step.", show_default=False),
    ] = None,
    along: Annotated[str, typer.Option(help="What stays under entropy-rate: isotherm, isobar or isochore.")] = "isobar",
    hold: Annotated[int, typer.Option(help="Steps before they change.")] = 0,
    shape: Annotated[
        str | None,
        typer.Option(help="log, linear, cosine or sqrt; by default log, for a cooldown linear.", show_default=False),
    ] = None,
    correct: Annotated[
        bool, typer.Option(help="Let weight decay fall with lr in a cooldown, so that gradients do not grow.")
    ] = True,
    optimizer: Annotated[str, typer.Option(help="sgd, momentum, nesterov, adamw or adam-l2.")] = "sgd",
    momentum: Annotated[float, typer.Option(help="Of SGD with momentum.")] = 0.0,
    index: Annotated[
        float | None, typer.Option(help="Adiabatic index, by default its limit in the cold.", show_default=False)
    ] = None,
    relaxation_steps: Annotated[
        float | None,
        typer.Option(
            help="Measured relaxation time of the loss at the start; else that of the slowest well, 1/(4 lr wd).",
            show_default=False,
        ),
    ] = None,
    sigma: Annotated[
        float | None, typer.Option(help="Noise a direction at unit norm; adam-l2 alone needs it.", show_default=False)
    ] = None,
    dimension: Annotated[
        int | None, typer.Option(help="Scale-invariant weights; adam-l2 alone needs it.", show_default=False)
    ] = None,
    points: Annotated[int, typer.Option(help="Rows of the table.")] = 11,
    form: Annotated[ScheduleFormat, typer.Option("--format", help="How to print.")] = ScheduleFormat.TABLE,
    out: Annotated[Path | None, typer.Option(help="A PNG to draw it in.", show_default=False)] = None,
) -> None:
    """Print what a schedule will do.

    Raises
    ------
    RequestError
        If the schedule cannot be what was asked for.
    """
    if out is not None and out.suffix.lower() != ".png":
        raise RequestError(f"schedule: --out {out} must end in .png")
    request = Request(
        kind=kind.value,
        lr=lr,
        weight_decay=weight_decay,
        steps=steps,
        factor=factor,
        rate=rate,
        along=along,
        hold=hold,
        shape=shape,
        correct=correct,
        optimizer=optimizer,
        momentum=momentum,
        index=index,
        relaxation_steps=relaxation_steps,
        sigma=sigma,
        dimension=dimension,
        points=points,
    )
    try:
        print(show(request, as_json=form is ScheduleFormat.JSON, out=out))
    except ValueError as error:
        raise RequestError(f"schedule: {error}") from None
    if out is not None:
        say(f"drawn: {out}")
