"""The seven sections of the page, made of blocks; HTML and Markdown say the same."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from empirics.claims.fits import Estimate
from empirics.claims.maxwell import GAS_SLOPES, PATH_SLOPES
from empirics.pages import figures
from empirics.pages.blocks import (
    Cards,
    Details,
    Figures,
    Formulas,
    Heading,
    Items,
    Papers,
    Section,
    Table,
    Text,
    decimals,
    number,
)
from empirics.pages.drawing import Picture
from empirics.pages.evidence import Evidence, Slopes
from empirics.pages.formulas import laws, papers
from empirics.pages.words import PROTOCOL_WORDS, all_cards, gist, tally, typeset

__all__ = ["SECTIONS", "runs_table", "sections", "summary"]

_MISSING = Text("Not measured: these results do not hold what this section shows.")
# Shares above which, and below which, a nearest-neighbour entropy is called what it is in words.
_MOSTLY, _SELDOM = 0.5, 0.1


def _plural(count: int, word: str) -> str:
    return f"{count:,} {word}" if count == 1 else f"{count:,} {word}s"


def _interval(estimate: Estimate) -> str:
    half = (estimate.high - estimate.low) / 2
    places = decimals(half)
    width = f" ± {half:.{places}f}" if half == half else " (no interval)"
    return f"{estimate.value:.{places}f}{width}".replace("-", "−")


def summary(evidence: Evidence) -> str:
    """Say in a sentence or two what was done.

    Parameters
    ----------
    evidence : Evidence

    Returns
    -------
    str
    """
    parts = evidence.parts()
    weights = f" with {evidence.dimension:,} scale-invariant weights" if evidence.dimension else ""
    experiment: Any = getattr(evidence.runs, "experiment", None)
    images = f" on the {experiment.data.name} images" if hasattr(getattr(experiment, "data", None), "name") else ""
    kind = evidence.dataset.attrs.get("kind", "network")
    network = {"network": "a network", "isotropic": "the isotropic gas"}.get(str(kind), "a model")
    steps = getattr(experiment, "total_steps", None)
    length = f", {steps:,} steps each" if isinstance(steps, int) else ""
    runs = f"{_plural(len(evidence), 'run')}{length}"
    if len(parts) == 1:
        how = f" at {_protocol_words(evidence)}, {runs}: {_grid(evidence)}"
    else:
        how = f", {runs}: " + "; ".join(f"at {_protocol_words(part)} {_grid(part)}" for part in parts)
    return (
        f"{network[0].upper()}{network[1:]}{weights} was trained by SGD{images}{how}. What the runs settled to is "
        "compared here with what thermodynamics derives for them."
    )


def _protocol_words(evidence: Evidence) -> str:
    return PROTOCOL_WORDS.get(evidence.protocol, evidence.protocol) or "a protocol that was not recorded"


def _grid(evidence: Evidence) -> str:
    """Say what the runs of one protocol span."""
    spans = []
    for values, name in zip((evidence.lr, evidence.weight_decay), evidence.names, strict=True):
        levels = np.unique(values[np.isfinite(values)])
        plural = {"radius": "radii"}.get(name, f"{name}s") if len(levels) != 1 else name
        reach = f" from {number(levels[0], 3)} to {number(levels[-1], 3)}" if len(levels) else ""
        spans.append(f"{len(levels)} {plural}{reach}")
    return f"{spans[0]}, each with {spans[1]}"


def _judged(verdicts: Any, claim: str) -> Estimate | None:
    """Return the number that was judged for a claim of symmetry, so that no second one stands beside it."""
    for verdict in verdicts:
        if verdict.claim == claim and verdict.kind == "symmetry" and np.isfinite([verdict.low, verdict.high]).all():
            return Estimate(verdict.measured, verdict.low, verdict.high)
    return None


def _figures(*pictures: Picture | None) -> tuple[Figures, ...]:
    shown = tuple(picture for picture in pictures if picture is not None)
    return (Figures(shown),) if shown else ()


# verdicts ----------------------------------------------------------------------------------------
def _verdicts(verdicts: Any, evidence: Evidence) -> list[object]:
    cards = all_cards(verdicts)
    blocks: list[object] = [Text(summary(evidence)), Text(f"{gist(verdicts)} {tally(list(verdicts))}")]
    blocks.append(Cards(cards) if cards else _MISSING)
    left_out = int((~evidence.ok).sum())
    if left_out:
        blocks.append(Text(f"{_plural(left_out, 'run')} of {len(evidence)} left out of the fits; see stationarity."))
    notes = [typeset(str(note)) for note in getattr(verdicts, "notes", ())]
    if notes:
        blocks += [Heading("Beside the verdicts, not judged"), Items(tuple(notes))]
    return blocks


# radius ------------------------------------------------------------------------------------------
def _radius(verdicts: Any, evidence: Evidence) -> list[object]:
    if evidence.protocol == "fixed-sphere":
        return [Text("The norm is set: after each step the weights are put back on the sphere they started on.")]
    fit = evidence.radius_slopes
    formula = laws(set(evidence.protocols), ("radius",))
    blocks: list[object] = [
        Text(
            "Each gradient step is at right angles to the weights and so makes their norm r grow; weight decay shrinks "
            "it. Where the two balance, the norm settles. Two predictions of where: the norm balance, which is exact "
            "for steps of any size and only says that the run has settled, and the formula of the continuous-time "
            "theory, below. The formula is given the gradient noise that was measured in each run, tr Σ = σ² (d − 1) "
            f"at unit norm, with {'η the' if evidence.free else 'the effective'} learning rate and λ the weight decay; "
            f"it leaves out the mean gradient and terms of order {'lr' if evidence.free else 'effective lr'} × wd"
            f"{'' if evidence.free else ' × r²'}."
        ),
        *([Formulas(formula)] if formula else []),
    ]
    found = _figures(figures.radius_map(evidence), figures.radius_plot(evidence), figures.radius_ratio(evidence))
    if not found and fit is None:
        return [*blocks, _MISSING]
    blocks += found
    if fit is None:
        blocks.append(Text("Slopes of log r: not measured; the runs do not span both directions."))
        return blocks
    if not evidence.free:
        return [*blocks, _radius_table_at_fixed_elr(fit, _judged(verdicts, "V1"))]
    blocks += [
        Table(
            "Slopes of log r over the grid, with 95 % intervals from the scatter of the runs",
            ("Slope of log r", "Measured", "Theory", "Exact?"),
            (
                ("in log learning rate", _interval(fit.lr), "0.25", "no"),
                ("in log weight decay", _interval(fit.weight_decay), "−0.25", "no"),
                ("difference", _interval(_judged(verdicts, "V1") or fit.difference), "0.5", "yes, by symmetry"),
            ),
        ),
        Text(
            "Why ±¼ are not exact: they take the gradient noise at unit norm to be the same in every run, but it "
            "changes with lr × wd. That moves both slopes by the same amount, so their difference stays ½: "
            "multiplying the weights by c, lr by c² and wd by 1/c² gives the same run on another scale, whatever the "
            "noise."
        ),
    ]
    return blocks


def _radius_table_at_fixed_elr(fit: Slopes, judged: Estimate | None) -> Table:
    return Table(
        "Slopes of log r over the grid, with 95 % intervals from the scatter of the runs",
        ("Slope of log r", "Measured", "Theory", "Exact?"),
        (
            ("in log effective learning rate", _interval(fit.lr), "0.5", "no"),
            ("in log weight decay", _interval(judged or fit.weight_decay), "−0.5", "yes, by symmetry"),
        ),
    )


# entropy -----------------------------------------------------------------------------------------
def _slope_rows(label: str, fit: Slopes | None, judged: Estimate | None = None) -> tuple[str, ...]:
    if fit is None:
        return (label, "not measured", "not measured", "not measured")
    return (
        label,
        _interval(fit.lr),
        _interval(fit.weight_decay),
        _interval(judged or fit.difference),
    )


def _reference(label: str, pair: tuple[float, float]) -> tuple[str, ...]:
    return (label, number(pair[0]), number(pair[1]), number(pair[0] - pair[1]))


def _slope_table(verdicts: Any, evidence: Evidence) -> Table:
    return Table(
        "Slopes of S/R, with 95 % intervals from the scatter of the runs; Theiler window: neighbours in time left out",
        ("Entropy", "in log lr", "in log wd", "difference"),
        (
            _slope_rows("All neighbours", evidence.entropy_slopes(False), _judged(verdicts, "V3")),
            _slope_rows("Theiler window", evidence.entropy_slopes(True)),
            _reference("Reference: cold gas", GAS_SLOPES),
            _reference("Reference: path entropy", PATH_SLOPES),
        ),
    )


def _slope_table_at_fixed_rate(verdicts: Any, evidence: Evidence) -> Table:
    """Slopes where the effective learning rate is set: that in what scales the weights alone is exact."""
    fit, judged, sphere = evidence.entropy_slopes(False), _judged(verdicts, "V3"), evidence.protocol == "fixed-sphere"
    if judged is not None and sphere:
        # On the sphere the relation is judged in units of d - 1.
        judged = Estimate(2 * judged.value, 2 * judged.low, 2 * judged.high)
    measured = ("not measured",) * 2
    if fit is not None:
        measured = (_interval(fit.lr), _interval(judged or fit.weight_decay))
    elif judged is not None:
        measured = ("not measured", _interval(judged))
    return Table(
        "Slopes of S/R, with 95 % intervals from the scatter of the runs",
        ("Slope of S/R", "Measured", "Theory", "Exact?"),
        (
            (f"in log {evidence.names[0]}", measured[0], f"{1 if sphere else 2} for a cold gas", "no"),
            (f"in log {evidence.names[1]}", measured[1], "2" if sphere else "−1", "yes, by symmetry"),
        ),
    )


def _entropy(verdicts: Any, evidence: Evidence) -> list[object]:
    if evidence.get("entropy") is None or not evidence.dimension:
        return [_MISSING]
    r_text = f"R = (d − 1)/2 = {number(evidence.gas_constant, 6)}"
    start = [
        Text(
            "The entropy S says how large a part of weight space a run wanders over once it has settled: the entropy "
            f"of the directions of its snapshots, {evidence.entropy_method}, plus (d − 1) times the mean log norm. It "
            f"is shown in units of the gas constant {r_text}."
        ),
        *_figures(figures.entropy_map(evidence), figures.slope_plane(evidence), figures.collapse(evidence)),
    ]
    if not evidence.free:
        return [*start, _slope_table_at_fixed_rate(verdicts, evidence)]
    return [
        *start,
        _slope_table(verdicts, evidence),
        Text(
            "What the collapse tests: scale invariance says that S/R − ½ log(lr/wd) depends on lr × wd alone, so runs "
            "with very different lr and wd must fall on one curve. Nothing else is needed, and nothing else is shown: "
            "the estimate's own bias is the same along such a line and drops out. The shape of the curve is the "
            "physics. A cold gas would give the slopes 1 and 0; distances diffused between snapshots would give 3/2 "
            "and ½."
        ),
    ]


# stationarity ------------------------------------------------------------------------------------
def _run_table(evidence: Evidence) -> Table:
    names = (("balance", 5), ("balance_error", 2), ("radius_drift", 2), ("effective_sample_size", 3), ("loss", 3))
    columns = [(evidence.column(name), digits) for name, digits in names]
    rows = [
        (
            str(i),
            number(evidence.lr[i], 3),
            number(evidence.weight_decay[i], 3),
            *(number(column[i], digits) if np.isfinite(column[i]) else "–" for column, digits in columns),
            str(evidence.status[i]),
            str(evidence.reason[i]),
        )
        for i in range(len(evidence))
    ]
    short = {"lr": "lr", "effective_lr": "effective lr", "weight_decay": "wd", "radius": "radius"}
    knobs = (short[evidence.axes[0]], short[evidence.axes[1]])
    head = ("Run", *knobs, "balance", "± (s.e.)", "drift of log r", "eff. samples", "loss", "status", "reason")
    return Table("Every run", head, tuple(rows))


def _stationarity(verdicts: Any, evidence: Evidence) -> list[object]:
    counts = ", ".join(f"{count} {status}" for status, count in evidence.statuses().items())
    balance = {
        "fixed-elr": "In a settled run what weight decay takes off the norm is what the gradients bring; the ratio of "
        "the two is the norm balance.",
        "fixed-sphere": "On the sphere the norm is held, so there is no norm balance to test.",
    }.get(
        evidence.protocol,
        "In a settled run lr · E|g|² = wd · (2 − lr · wd) · E r², exactly and for steps of any size; the ratio of the "
        "two sides is the norm balance.",
    )
    blocks: list[object] = [
        Text(
            f"A verdict on a run that has not settled means nothing, so this is tested, not assumed. {balance} Runs "
            "that diverged, still drift, do not mix, or fit the data exactly are named, shown and left out of every "
            "fit."
        ),
        Text(f"Status of the {_plural(len(evidence), 'run')}: {counts}."),
    ]
    found = _figures(figures.balance_plot(evidence), figures.traces(evidence))
    if not found and evidence.protocol != "fixed-sphere":
        blocks.append(_MISSING)
    blocks += found
    blocks.append(Details(f"Table of all {_plural(len(evidence), 'run')}", _run_table(evidence)))
    return blocks


# neighbours --------------------------------------------------------------------------------------
def _trap(evidence: Evidence) -> str:
    """Say whether the entropy shown is that of a path."""
    shares = evidence.adjacent[evidence.ok] if evidence.adjacent is not None else np.array([])
    shares = shares[np.isfinite(shares)]
    share = float(shares.mean()) if len(shares) else float("nan")
    recorded = evidence.path_entropy
    paths = int(recorded[evidence.ok].sum()) if recorded is not None else None
    if not evidence.ok.any() or (paths is None and not np.isfinite(share)):
        return "Whether the entropy shown here is a path entropy was not measured."
    used = int(evidence.ok.sum())
    measured = f" {100 * share:.0f} % of all nearest neighbours are adjacent in time." if np.isfinite(share) else ""
    is_path = paths > used / 2 if paths is not None else share > _MOSTLY
    count = f" ({paths} of {used} runs)" if paths is not None else ""
    if is_path:
        return (
            f"Here it is a path entropy{count}.{measured} The Maxwell relation V3 may be read from it, because scale "
            "invariance fixes it for either; no statement on the entropy itself, its separate slopes or a heat "
            "capacity may."
        )
    return f"Here it is mostly not a path entropy{count}.{measured}"


def _neighbours(verdicts: Any, evidence: Evidence) -> list[object]:
    if not evidence.neighbours:
        return [
            Text(
                f"The entropy of these runs is no estimate from nearest neighbours ({evidence.entropy_method}), so the "
                "diffusive trap is not set: the entropy cannot be that of a path."
            )
        ]
    blocks: list[object] = [
        Text(
            "The diffusive trap: in high dimension a snapshot's nearest neighbour is usually the snapshot taken just "
            "before or after it. Its distance then says how far the weights diffuse between two snapshots, not how "
            "large the region is that the run wanders over. Such a number is a path entropy: it would come out the "
            "same in any landscape. Leaving out neighbours that are close in time (a Theiler window) is the remedy, "
            "where the run is long enough."
        ),
        Text(_trap(evidence)),
    ]
    found = _figures(figures.lag_histogram(evidence), figures.adjacency(evidence))
    if not found:
        blocks.append(Text("Lags of the neighbours: not measured."))
    blocks += found
    if evidence.get("entropy") is not None and evidence.dimension and evidence.free:
        blocks.append(_slope_table(verdicts, evidence))
        blocks.append(
            Text(
                "If the first line is near the path entropy and the second moves towards the gas, the trap is what was "
                "measured first. The differences agree in any case."
            )
        )
    return blocks


# provenance --------------------------------------------------------------------------------------
_FACTS = {"toml", "experiment"}


def _flat(facts: Mapping[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    """Write nested facts as rows, the innermost tables in a row each."""
    rows: list[tuple[str, str]] = []
    for key, value in facts.items():
        name = f"{prefix}{str(key).replace('_', ' ')}"
        tables = [value] if isinstance(value, Mapping) else value if isinstance(value, list | tuple) else []
        if not tables or not all(isinstance(table, Mapping) for table in tables):
            rows.append((name, ", ".join(map(_fact, value)) if isinstance(value, list | tuple) else _fact(value)))
            continue
        for i, table in enumerate(tables, start=1):
            if any(isinstance(inner, Mapping | list | tuple) for inner in table.values()):
                # A list of one table, as the one session of work of most runs, needs no number.
                rows += _flat(table, f"{name} {i}: " if len(tables) > 1 else prefix)
            else:
                rows.append((name, ", ".join(f"{str(k).replace('_', ' ')} {_fact(v)}" for k, v in table.items())))
    return rows


def _fact(value: Any) -> str:
    return "not recorded" if value is None or value == "" else str(value)


def _provenance(verdicts: Any, evidence: Evidence) -> list[object]:
    facts: Mapping[str, Any] = getattr(evidence.runs, "provenance", None) or {}
    experiment: Any = getattr(evidence.runs, "experiment", None)
    toml = experiment.to_toml() if hasattr(experiment, "to_toml") else str(facts.get("toml", ""))
    rows = _flat({key: value for key, value in facts.items() if key not in _FACTS})
    if "imported" in facts:
        return [Table("Where these runs come from", ("What", "Value"), tuple(rows))]
    blocks: list[object] = [
        Text("The same experiment file, run again with the same versions on the same machine, gives the same numbers.")
        if rows
        else Text("Not recorded: these results do not say how they were made.")
    ]
    if rows:
        blocks.append(Table("How it was run", ("What", "Value"), tuple(rows)))
    if toml:
        blocks.append(Details("The experiment in full (TOML)", verbatim=toml.strip()))
    return blocks


# sources -----------------------------------------------------------------------------------------
def _sources(every: Sequence[Evidence]) -> list[object]:
    protocols = {name for one in every for name in one.protocols}
    blocks: list[object] = []
    found = laws(protocols)
    if found:
        blocks += [
            Text(
                "Each formula is the end of a derivation whose every step is checked by machine; "
                "`thermo-theory derive NAME` prints it."
            ),
            Formulas(found),
        ]
    return [*blocks, Heading("Papers"), Papers(papers())]


Builder = Callable[[Any, Evidence], list[object]]
#: Identifier, title and builder of the sections that belong to one experiment, in the page's order.
SECTIONS: tuple[tuple[str, str, Builder], ...] = (
    ("verdicts", "Verdicts", _verdicts),
    ("radius", "The norm of the weights", _radius),
    ("entropy", "Entropy", _entropy),
    ("stationarity", "Has every run settled?", _stationarity),
    ("neighbours", "Nearest neighbours, and the diffusive trap", _neighbours),
    ("provenance", "How it was run", _provenance),
)


#: Sections that say of each protocol what is to be said of it.
BY_PROTOCOL = ("radius", "entropy", "states", "stationarity", "neighbours")


def sections(every: Sequence[Any]) -> tuple[Section, ...]:
    """Make the seven sections.

    Parameters
    ----------
    every : sequence of Verdicts
        One for each experiment; each with its `.runs`.

    Returns
    -------
    tuple of Section
    """
    evidence = [Evidence(verdicts.runs) for verdicts in every]
    made = []
    for name, title, build in SECTIONS:
        blocks: list[object] = []
        for verdicts, one in zip(every, evidence, strict=True):
            blocks += [Heading(one.name)] if len(every) > 1 else []
            parts = one.parts() if name in BY_PROTOCOL else [one]
            for part in parts:
                mine = verdicts
                if len(parts) > 1:
                    words = _protocol_words(part)
                    blocks.append(Heading(words[:1].upper() + words[1:]))
                    mine = [verdict for verdict in verdicts if verdict.protocol == part.protocol]
                blocks += build(mine, part)
        made.append(Section(name, title, tuple(blocks)))
    return (*made, Section("sources", "Sources", tuple(_sources(evidence))))


def runs_table(evidence: Evidence) -> list[dict[str, Any]]:
    """List every run with every number of the summary, for the JSON form."""
    frame = evidence.dataset.reset_coords()
    names = [str(name) for name, variable in frame.data_vars.items() if variable.dims == ("run",)]
    return [{name: frame[name].values[i] for name in names} for i in range(len(evidence))]
