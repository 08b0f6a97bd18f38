"""The verb `schedule`: predict what a schedule of learning rate and weight decay will do."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from empirics.cli.app import RequestError, app, examples, say

if TYPE_CHECKING:
    import pandas as pd

    from empirics.steering import Plan, QuasiStatic

#: Points of the curves in the plot.
CURVE = 401


#: Processes that a schedule follows.
ScheduleKind = Literal["isotherm", "isobar", "isochore", "adiabat", "cooldown", "entropy-rate"]


@app.command(
    help=(
        "Predict the effect of a schedule of lr and weight decay. Prints both at each step, with temperature, norm and "
        "entropy, and the minimum number of steps for the schedule to be quasi-static."
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
        ScheduleKind,
        typer.Argument(metavar="KIND", help="The quantity held fixed, or prescribed.", show_default=False),
    ],
    lr: Annotated[float, typer.Option(help="Initial learning rate.", show_default=False)],
    weight_decay: Annotated[float, typer.Option(help="Initial weight decay.", show_default=False)],
    steps: Annotated[int, typer.Option(help="Number of steps over which they change.", show_default=False)],
    factor: Annotated[
        float | None,
        typer.Option(help="Final lr over initial lr; for an adiabat, the same for weight decay.", show_default=False),
    ] = None,
    rate: Annotated[
        float | None,
        typer.Option(help="dS/dt of entropy-rate, in (d-1)/2 nats per step.", show_default=False),
    ] = None,
    along: Annotated[str, typer.Option(help="Path of entropy-rate: isotherm, isobar or isochore.")] = "isobar",
    hold: Annotated[int, typer.Option(help="Number of steps before the change begins.")] = 0,
    shape: Annotated[
        str | None,
        typer.Option(help="log, linear, cosine or sqrt; default: linear for a cooldown, else log.", show_default=False),
    ] = None,
    correct: Annotated[
        bool, typer.Option(help="Lower weight decay with lr in a cooldown, so that gradients do not grow.")
    ] = True,
    optimizer: Annotated[str, typer.Option(help="sgd, momentum, nesterov, adamw or adam-l2.")] = "sgd",
    momentum: Annotated[float, typer.Option(help="Momentum coefficient (SGD only).")] = 0.0,
    index: Annotated[
        float | None,
        typer.Option(help="Adiabatic index; default: its low-temperature limit.", show_default=False),
    ] = None,
    relaxation_steps: Annotated[
        float | None,
        typer.Option(
            help="Measured relaxation time of the loss at the start; default: that of the slowest well, 1/(4 lr·wd).",
            show_default=False,
        ),
    ] = None,
    sigma: Annotated[
        float | None,
        typer.Option(help="Gradient noise per direction at unit norm (only needed for adam-l2).", show_default=False),
    ] = None,
    dimension: Annotated[
        int | None,
        typer.Option(help="d, one more than the number of directions (only needed for adam-l2).", show_default=False),
    ] = None,
    points: Annotated[int, typer.Option(help="Number of rows of the table.")] = 11,
    form: Annotated[Literal["table", "json"], typer.Option("--format", help="Output format.")] = "table",
    out: Annotated[Path | None, typer.Option(help="A PNG file for a plot.", show_default=False)] = None,
) -> None:
    """Print what a schedule will do."""
    from empirics.steering import forecast, quasi_static
    from empirics.steering.weight_decay import Setting
    from thermo_theory.relations.paths import capacity, law

    if out is not None and out.suffix.lower() != ".png":
        raise RequestError(f"schedule: --out {out} must end in .png")
    chosen = {"factor": factor, "rate": rate, "shape": shape, "along": along, "index": index, "correct": correct}
    try:
        Setting(lr, weight_decay, optimizer, momentum=momentum)  # refuses what is out of range
        plan = _plan(kind, chosen, steps=steps, hold=hold, optimizer=optimizer)
        heat = 1.0 if index is None else capacity(law("fixed-lr", optimizer), index)
        rates = {"lr": lr, "weight_decay": weight_decay}
        table, curve = (forecast(plan, **rates, heat_capacity=heat, points=number) for number in (points, CURVE))
        for one in (table, curve):
            one["entropy"] = one["entropy"].round(12) + 0.0  # no -1e-17 for 0
        slow = {"relaxation_steps": relaxation_steps, "sigma": sigma, "dimension": dimension}
        check = quasi_static(plan, **rates, momentum=momentum, **slow)  # type: ignore[arg-type]
    except ValueError as error:
        raise RequestError(f"schedule: {error}") from None
    if form == "json":
        print(_json(plan, table, check))
    else:
        print(table.to_string(index=False, formatters={"step": "{:,}".format}, float_format="{:.6g}".format))
        print(
            "temperature and norm: relative to the start; entropy: change in units of R = (d-1)/2 nats", check, sep="\n"
        )
    if out is not None:
        _draw(curve, check, f"{kind}, {optimizer}", out)
        say(f"plot: {out}")


def _plan(kind: str, chosen: dict[str, Any], **common: Any) -> Plan:
    """Make the plan of a kind from the options that it takes; refuse those that are missing or do not apply."""
    from empirics.steering import plans

    if kind == "entropy-rate":
        if chosen["rate"] is None or chosen["factor"] is not None or chosen["shape"] is not None:
            raise ValueError("entropy-rate requires --rate and takes neither --factor nor --shape")
        return plans.entropy_rate(**{name: chosen[name] for name in ("rate", "along", "index")}, **common)
    if chosen["factor"] is None or chosen["rate"] is not None:
        raise ValueError(f"{kind} requires --factor and does not take --rate")
    common |= {name: chosen[name] for name in ("factor", "shape") if chosen[name] is not None}
    if kind == "adiabat":
        return plans.adiabat(index=chosen["index"], **common)
    if kind == "cooldown":
        return plans.cooldown(correct=chosen["correct"], **common)
    return plans.plan(kind, **common)


def _json(plan: Plan, table: pd.DataFrame, check: QuasiStatic) -> str:
    """Write the result as JSON; infinite values become null."""

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


def _draw(table: pd.DataFrame, check: QuasiStatic, title: str, out: Path) -> None:
    """Plot learning rate, weight decay and their predicted effect over the steps of a `forecast`, as a PNG."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    from thermo_theory.palette import DASHES, MUTED, STYLE

    finite = table.replace([math.inf, -math.inf], math.nan)
    names = {
        "lr": "learning rate",
        "weight_decay": "weight decay",
        "temperature": "relative to the start",
        "entropy": "change of entropy / R",
    }
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(8, 5.4), layout="constrained")
        panels = figure.subplots(2, 2, sharex=True).ravel()
        for panel, (column, words) in zip(panels, names.items(), strict=True):
            panel.plot(finite["step"], finite[column], label="T" if column == "temperature" else None)
            if column == "temperature":
                panel.plot(finite["step"], finite["norm"], linestyle=DASHES[1], label="|w|")
                panel.legend()
            panel.set_ylabel(words)
            panel.ticklabel_format(style="plain", useOffset=False)
            if column != "entropy" and (finite[column].dropna() > 0).all():
                panel.set_yscale("log")
            if check.until < int(table["step"].iloc[-1]):
                panel.axvline(check.until, color=MUTED, linestyle=":", linewidth=1)
        for panel in panels[2:]:
            panel.set_xlabel("step")
        figure.suptitle(title)
        figure.text(0.01, -0.03, str(check), fontsize=8)
        out.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(out, dpi=150, bbox_inches="tight")
