"""V10, the gas in its own potential: what H and Sigma at the mean direction fix of the moments of a run."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from empirics.claims.base import Claim, Statement
from empirics.claims.clusters import Clusters, clusters_of
from empirics.claims.everywhere import over_temperature
from empirics.claims.exhibit import Exhibit, Plot, Series
from empirics.claims.fits import Estimate, fit, no_estimate
from empirics.claims.fluctuations import FLUCTUATIONS as OF_GIBBS_FLUCTUATIONS
from empirics.claims.ground import ground_of
from empirics.claims.state import StateVariables, uncalibrated_noted, unmixed
from empirics.claims.table import MOST_LEFT_OUT, Table
from empirics.claims.thermometer import GIBBS as OF_GIBBS_THERMOMETER
from empirics.claims.verdict import Verdict

__all__ = ["ImplicitPotential", "explained"]

FloatArray = NDArray[np.float64]

SHAPE = "Covariance of the directions less that of the gas in its own potential, in its units, mean square"
FLUCTUATIONS = "Variance of the loss over that of the gas in its own potential"
THERMOMETER = "Mean squared gradient over that of the gas in its own potential"
ENERGY = "Mean loss above the minimum of the well over that of the gas in its own potential"
ENTROPY = "Slope of the entropy of the directions in that of the gas in its own potential"

#: What each ratio measures: the derivation it is compared with, and the columns of prediction and measurement.
FORMS = {
    FLUCTUATIONS: ("harmonic-fluctuations", ("harmonic_fluctuations", "loss_variance")),
    THERMOMETER: ("harmonic-thermometer", ("harmonic_thermometer", "harmonic_laplacian", "grad_mean_sq_unit")),
    ENERGY: ("harmonic-finite-steps", ("harmonic_energy", "harmonic_minimum", "loss")),
}

#: A slowest direction that forgets itself fewer times than this in a run has not shown its variance to a margin.
FEWEST_RELAXATIONS = 50


class ImplicitPotential(Claim):
    """Near a minimum noise of any shape makes an ideal gas in a potential of its own, fixed by H and Sigma.

    Of the covariance C that solves the discrete Lyapunov equation follow, without a free parameter, the covariance of
    the directions, ``Var L = tr(H C H C)/2`` and ``E|grad L|^2 = tr(H C H)``. The mean loss, ``tr(H C)/2``, and the
    slope of the entropy are R T and R whatever H and Sigma: they test only that the well is harmonic. Each is judged as
    a function of T.

    H and Sigma are those at the mean direction; in large networks between the stiffest directions alone, which are
    modes of H, so that their covariance follows from these, but no moment of all. A well that bends differs from its
    quadratic form by a few per cent of R T at the temperatures at which networks move, and the margin allows for that
    much.
    """

    name = "V10"
    title = "Gas in its own potential"
    protocols = ("fixed-sphere", "fixed-elr", "fixed-lr")
    statements = (
        Statement(
            words="The Hessian and the gradient noise at the mean direction alone give how the directions scatter: an "
            "ideal gas in a potential of its own, or, for its entropy and mean loss, that the well is harmonic.",
            derivations=("implicit-potential", "harmonic-finite-steps"),
        ),
        Statement(
            words="The Hessian and the gradient noise at the mean direction alone give the fluctuations of the loss "
            "and the mean squared gradient, where no Gibbs law of the loss does.",
            derivations=("harmonic-fluctuations", "harmonic-thermometer"),
        ),
    )

    #: A ratio within 5 % counts as equal, and a covariance whose elements are within that in the mean square.
    margin = 0.05

    def verdicts(self, table: Table) -> list[Verdict]:
        """Judge the covariance, the fluctuations and the thermometer; energy and entropy beside them."""
        if "harmonic_temperature" not in table.data.variables:
            return [self._shape(table)]  # nothing was asked for: one line says so
        rows = [self._shape(table), *(self._judge(table, form) for form in FORMS), self._entropy(table)]
        return [replace(row, primary=row.title not in (ENERGY, ENTROPY)) for row in rows]

    def _shape(self, table: Table) -> Verdict:
        law = ground_of(table, "implicit-potential")
        if missing := _missing(table, "harmonic_shape"):
            return self.not_measured(table, SHAPE, law, 0.0, missing)
        state, inside = _chosen(table)
        found = _over_temperature(table, state.values(table, "harmonic_shape")[inside])
        return self.verdict(table, SHAPE, law, 0.0, self.margin**2, found, refused=_refused(table))

    def _judge(self, table: Table, form: str) -> Verdict:
        name, columns = FORMS[form]
        law = ground_of(table, name)
        if missing := _missing(table, *columns):
            return self.not_measured(table, form, law, 1.0, missing)
        if why := _partial(table):
            return replace(self.not_measured(table, form, law, 1.0, []), reason=why)
        measured, predicted = _sides(table, form)
        details: dict[str, object] = {"predicted": predicted.tolist(), "measured": measured.tolist()}
        estimate, refused = _over_temperature(table, measured, predicted), _refused(table)
        return self.verdict(table, form, law, 1.0, self.margin, estimate, details=details, refused=refused)

    def _entropy(self, table: Table) -> Verdict:
        law = ground_of(table, "implicit-potential")
        if missing := _missing(table, "harmonic_entropy", "entropy_sphere"):
            return self.not_measured(table, ENTROPY, law, 1.0, missing)
        if why := _partial(table):
            return replace(self.not_measured(table, ENTROPY, law, 1.0, []), reason=why)
        refused = _refused(table, on_entropy=True)
        row = self.verdict(table, ENTROPY, law, 1.0, self.margin, _slope(table), refused=refused)
        return uncalibrated_noted(table, row)

    def exhibits(self, table: Table) -> Sequence[Exhibit]:
        """Fluctuations and thermometer as predicted and as measured, in every run."""
        needed = {name for form in (FLUCTUATIONS, THERMOMETER) for name in FORMS[form][1]}
        if _missing(table, *needed) or _partial(table) or _no_well(table) or not _chosen(table)[1].any():
            return ()
        series = []
        for form, label in ((FLUCTUATIONS, "Var L/(R T²)"), (THERMOMETER, "E|∇L|²/(T tr H)")):
            measured, predicted = _sides(table, form)
            series.append(Series(label, predicted, measured))
        both = np.concatenate([np.r_[one.x, one.y] for one in series])
        ends = np.array([both.min(), both.max()])
        said = "; ".join(
            f"{one.label}: {np.mean(one.x):.3g} predicted, {np.mean(one.y):.3g} measured" for one in series
        )
        return (
            Plot(
                "own-potential",
                "Fluctuations and thermometer of the gas in its own potential",
                f"Mean over runs of {said}.",
                "Predicted from the Hessian and the gradient noise at the mean direction of each run, without a free "
                "parameter. The Gibbs law of the loss requires 1 of both.",
                "predicted",
                "measured",
                (*series, Series("equal", ends, ends, line=True)),
            ),
        )


def _missing(table: Table, *columns: str) -> list[str]:
    """What is not there; a prediction that is no number where there is no well is not missing."""
    predicted = [name for name in columns if name.startswith("harmonic_")]
    measured = [name for name in columns if name not in predicted]
    absent = table.missing(
        *(f"harmonic_{name}" for name in ("directions", "temperature", "laplacian", "lowest", "relaxations")),
        *measured,
    )
    unknown = [name for name in predicted if name not in table.data.variables]
    return list(dict.fromkeys([*absent, *unknown, *StateVariables.missing(table)]))


def _partial(table: Table) -> str:
    """Why no moment of all directions follows: H and Sigma are known between some; empty if between all."""
    known, directions = table.values("harmonic_directions").min(initial=np.inf), table.dimension - 1
    return "" if known >= directions else f"H and Sigma were taken between {known:.0f} of {directions:.0f} directions"


def _in_well(table: Table) -> NDArray[np.bool_]:
    """Which of the runs used are in a basin, so that there is a prediction."""
    positive = [table.values(f"harmonic_{name}") > 0 for name in ("lowest", "temperature", "laplacian")]
    return np.asarray(np.all(positive, axis=0) & np.isfinite(table.values("harmonic_energy")))


def _no_well(table: Table) -> str:
    """Why there is no harmonic well; empty if there is one in nearly all runs."""
    inside = _in_well(table)
    out = float((~inside).mean()) if len(inside) else 0.0
    if out <= MOST_LEFT_OUT:
        return ""
    lowest = table.values("harmonic_lowest")
    mean = table.values("harmonic_laplacian") / table.values("harmonic_directions")
    return (
        f"gate: {out:.0%} of the runs are in no basin: the loss curves down at their mean direction, or steps diverge "
        f"(lowest curvature {np.median(lowest):.2g}, mean {np.median(mean):.2g} in the median run)"
    )


def _chosen(table: Table) -> tuple[StateVariables, NDArray[np.bool_]]:
    """The state of the runs whose steps are small enough, and which of these are in a basin."""
    state = StateVariables.of(table)
    return state, _in_well(table)[state.within]


def _refused(table: Table, on_entropy: bool = False) -> str:
    """Why no moment can be compared: no basin, too few samples, or a direction that is too slow; empty if it can."""
    if why := _no_well(table) or unmixed(table, on_entropy):
        return why
    times = table.values("harmonic_relaxations")[_in_well(table)]
    share = float((times < FEWEST_RELAXATIONS).mean()) if len(times) else 0.0
    if share <= MOST_LEFT_OUT:
        return ""
    return (
        f"gate: in {share:.0%} of the runs the slowest direction of the well relaxes fewer than {FEWEST_RELAXATIONS} "
        f"times (minimum {times.min():.1f}): the runs are not mixing"
    )


def _sides(table: Table, form: str) -> tuple[FloatArray, FloatArray]:
    """What was measured and what H and Sigma give, over a common unit, in the runs that are judged."""
    state, inside = _chosen(table)

    def of(name: str) -> FloatArray:
        return state.values(table, name)[inside]

    heat, constant = of("harmonic_temperature"), (table.dimension - 1) / 2
    if form == FLUCTUATIONS:
        return of("loss_variance") / (constant * heat**2), of("harmonic_fluctuations")
    if form == THERMOMETER:
        return of("grad_mean_sq_unit") / (heat * of("harmonic_laplacian")), of("harmonic_thermometer")
    return (of("loss") - of("harmonic_minimum")) / (constant * heat), of("harmonic_energy")


def _clusters(table: Table) -> Clusters:
    """Which of the runs that are judged may share their scatter."""
    state, inside = _chosen(table)
    among = state.within.copy()
    among[among] = inside
    return clusters_of(table, among)


def _over_temperature(table: Table, values: FloatArray, below: FloatArray | None = None) -> Estimate:
    """Mean of a number of the runs that are judged, or its ratio to another, with its band over log T."""
    state, inside = _chosen(table)
    return over_temperature(state.temperature[inside], values, _clusters(table), below)


def _slope(table: Table) -> Estimate:
    """Slope of the measured entropy in that which H and Sigma give, ``R log T`` and a constant for small steps."""
    state, inside = _chosen(table)
    if not inside.any():
        return no_estimate("no run can be used")
    predicted = state.values(table, "harmonic_entropy")[inside]
    measured = state.entropy(table)[inside]
    design = np.c_[np.ones(len(predicted)), predicted - predicted.mean()]
    return fit(design, measured, [0.0, 1.0], _clusters(table))


def explained(rows: Iterable[Verdict]) -> list[str]:
    """Sentences on forms of V5 and V6 that disagree with the Gibbs law of the loss as V10 predicts from H and Sigma."""
    words = {(row.claim, row.title): row for row in rows}
    if any(words[key].verdict == "disagrees" for form in (SHAPE, *FORMS) if (key := ("V10", form)) in words):
        return []
    found = []
    for gibbs, own, what in (
        (("V5", OF_GIBBS_FLUCTUATIONS), ("V10", FLUCTUATIONS), "Var L/(R T²)"),
        (("V6", OF_GIBBS_THERMOMETER), ("V10", THERMOMETER), "E|∇L|²/(T tr H)"),
    ):
        pair = words.get(gibbs), words.get(own)
        if pair[0] is None or pair[1] is None or (pair[0].verdict, pair[1].verdict) != ("disagrees", "agrees"):
            continue
        predicted, measured = (float(np.mean(pair[1].details[name])) for name in ("predicted", "measured"))
        found.append(
            f"{gibbs[0]} disagrees because the noise has a shape of its own, not for want of an ideal gas: with the "
            f"measured H and Sigma, V10 predicts {what} = {predicted:.3g}, and {measured:.3g} was measured"
        )
    return found
