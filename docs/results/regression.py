"""SGD on quadratic losses, simulated and on real data: covariance, potential, fluctuations and currents."""

from functools import cache

import numpy as np
import regression_sgd
import stored
from regression_sgd import GROUPS, Quadratic, Regression, self_consistent, simulate
from tables import INK, INKS, MUTED, panels, save, shown, table

from empirics.claims import judge
from empirics.claims.fits import Estimate, jackknife
from thermo_theory.theory.gases.lyapunov import circulation, implicit_hessian, noise_temperature, stationary_covariance

# Fixed before the runs: sizes, seeds and what counts as equal.
MARGIN = 0.05  # of a number, relative
NOTHING = 0.01  # of a circulation that should be 0, in units of eta |H C + C H|
CURVATURES = np.array([0.2, 0.5, 1.0])
STEEPNESS = (0.02, 0.2, 1.0)  # eta x the largest curvature
SIMULATED = {"chains": 512, "burn_in": 2_500, "steps": 6_000}
BATCH, REAL_STEEPNESS = 4, (0.2, 0.4, 0.7, 1.0)
REAL = {"chains": 128, "burn_in": 12_000, "steps": 20_000}
NAMES = ("regression",)
#: Judged columns of the table of real data.
WORDS_OF = {"covariance": 3, "circulation": 6}


def turned(angle):
    """A rotation of the first two modes, then of the last two."""
    c, s = np.cos(angle), np.sin(angle)
    return np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]]) @ np.array([[1, 0, 0], [0, c, -s], [0, s, c]])


def cases():
    """The four cases by name: noise of trace 3 each."""
    wide = np.diag([0.25, 0.75, 2.0])
    turn = turned(np.pi / 4)
    return {
        "Sigma = 1": Quadratic(np.diag(CURVATURES), np.eye(3)),
        "Sigma ∝ H": Quadratic(np.diag(CURVATURES), np.diag(CURVATURES * 3 / CURVATURES.sum())),
        "H ∝ 1, Sigma of any shape": Quadratic(np.eye(3), turn @ wide @ turn.T),
        "H and Sigma do not commute": Quadratic(np.diag(CURVATURES), turn @ wide @ turn.T),
    }


# ---------------------------------------------------------------------------------------------------- what is measured
def ratio(found, covariance):
    """Measured covariance over a theory's, a mean over all directions: tr(C^-1 C_measured)/d."""
    inverse = np.linalg.inv(covariance)
    return over_groups(found, lambda one: [np.trace(inverse @ one["second"]) / len(inverse)])[0]


def over_groups(found, statistic):
    """Numbers from the means over groups of chains, with jackknife intervals."""
    return jackknife(
        lambda chosen: np.array(statistic({name: part[chosen].mean(0) for name, part in found.items()})), GROUPS, 1
    )


def stretch(matrix, hessian):
    """Least and largest curvature of a potential over that of the loss: both 1 if the potential is the loss."""
    values, vectors = np.linalg.eigh(hessian)
    root = vectors / np.sqrt(values) @ vectors.T
    found = np.linalg.eigvalsh(root @ matrix @ root)
    return found[[0, -1]]


def potential(found, problem, temperature):
    """Least and largest curvature of the measured potential T C^-1 over that of the loss."""
    return over_groups(found, lambda one: stretch(implicit_hessian(one["second"], temperature), problem.hessian))


def fluctuation(found, temperature):
    """Variance of the loss over d T^2/2, that of a Gibbs law."""
    d = found["second"].shape[1]
    return over_groups(found, lambda one: [(one["loss_sq"] - one["loss"] ** 2) / (d * temperature**2 / 2)])[0]


def turning(found, direction, scale):
    """Mean of w_i dw_j - w_j dw_i along a direction, in units of `scale`."""
    unit = direction / np.linalg.norm(direction)
    return over_groups(found, lambda one: [np.sum(unit * (one["moved"] - one["moved"].T)) / scale])[0]


def strength(problem, covariance, eta):
    """Size of eta (H C + C H), what the circulation is compared with."""
    both = problem.hessian @ covariance
    return eta * float(np.linalg.norm(both + both.T))


# ----------------------------------------------------------------------------------------------------------- the study
@cache
def diabetes():
    """The regression on real data."""
    return Regression.of_diabetes(BATCH)


def rate(problem, steepness):
    """The learning rate of this steepness."""
    return steepness / np.linalg.eigvalsh(problem.hessian)[-1]


def theory(problem, eta):
    """Covariances for small steps, for exact steps, and for exact steps with noise where the weights are."""
    small, steps = (stationary_covariance(problem.hessian, problem.noise, eta=eta, steps=one) for one in (False, True))
    return small, steps, steps if isinstance(problem, Quadratic) else self_consistent(problem, eta)


def plane_of(problem, exact, eta):
    """Where to look for circulation: along that of theory; if that has none, along that of the last case."""
    if isinstance(problem, Quadratic):
        problem = list(cases().values())[-1]
        exact = stationary_covariance(problem.hessian, problem.noise, eta=eta)
    return circulation(problem.hessian, exact, eta=eta)


def measured(problem, steepness, seed, sizes):
    """Simulate at one steepness: estimates by name, each a list of value, low, high."""
    eta = rate(problem, steepness)
    found = simulate(problem, eta, seed=[*seed, round(100 * steepness)], **sizes)
    covariances = theory(problem, eta)
    exact = covariances[-1]
    heat, scale = noise_temperature(problem.mean_noise(exact), eta=eta), strength(problem, exact, eta)
    estimates = {
        "covariance": [ratio(found, one) for one in covariances],
        "potential": potential(found, problem, heat),
        "fluctuation": [fluctuation(found, heat)],
        "turning": [turning(found, plane_of(problem, exact, eta), scale)],
        "loss": over_groups(found, lambda one: [one["loss"]]),
    }
    if isinstance(problem, Quadratic):
        estimates["pairs"] = [
            over_groups(found, lambda m, i=i, j=j: [(m["moved"][i, j] - m["moved"][j, i]) / scale])[0]
            for i, j in zip(*np.triu_indices(len(exact), 1), strict=True)
        ]
    else:
        estimates["kurtosis"] = over_groups(
            found, lambda one: one["fourth"][-1:] / mode_variance(problem, one["second"])[-1:] ** 2
        )
    return {name: [[one.value, one.low, one.high] for one in of] for name, of in estimates.items()}


def mode_variance(problem, second):
    """Variances along the modes of H."""
    modes = np.linalg.eigh(problem.hessian)[1]
    return np.diag(modes.T @ second @ modes)


def study(folder):
    """Simulate all cases: a minute on one core."""
    found = {
        name: {f"{one:g}": measured(problem, one, [8, 75, number], SIMULATED) for one in STEEPNESS}
        for number, (name, problem) in enumerate(cases().items())
    }
    found["diabetes"] = {f"{one:g}": measured(diabetes(), one, [8, 75, 9], REAL) for one in REAL_STEEPNESS}
    stored.record_study("regression", found, [__file__, regression_sgd.__file__])


# ---------------------------------------------------------------------------------------------------------- the tables
def against(theory, one, margin=MARGIN):
    """A number with its interval, what theory says, and the verdict."""
    return f"{theory:.3f}: {shown(one)}, {judge(theory, one.low, one.high, margin)[0]}"


def estimates_of(kept):
    """Estimates by name."""
    return {name: [Estimate(*one) for one in of] for name, of in kept.items()}


def simulated(kept):
    """The four cases: rows of the two tables, and points of the figure."""
    covariances, conditions, points = [], [], []
    for number, (name, problem) in enumerate(cases().items()):
        for steepness in STEEPNESS:
            eta, found = rate(problem, steepness), estimates_of(kept[name][f"{steepness:g}"])
            small, exact, _ = theory(problem, eta)
            heat = noise_temperature(problem.noise, eta=eta)
            gibbs, sharp = (stretch(implicit_hessian(one, heat), problem.hessian) for one in (small, exact))
            covariances.append(
                [name, f"{steepness:g}", *(against(1, one) for one in found["covariance"][:2])]
                + [f"{a:.3f}; {b:.3f}" for a, b in zip(gibbs, sharp, strict=True)]
                + [shown(one) for one in found["potential"]]
            )
            expected, scale = circulation(problem.hessian, exact, eta=eta), strength(problem, exact, eta)
            plane = plane_of(problem, exact, eta)
            along = float(np.sum(plane * expected) / np.linalg.norm(plane)) / scale
            variance = np.trace(np.linalg.matrix_power(problem.hessian @ exact, 2)) / 2 / (3 * heat**2 / 2)
            spread = against(variance, found["fluctuation"][0], MARGIN * variance)
            flow = against(along, found["turning"][0], MARGIN * along if along > NOTHING else NOTHING)
            conditions.append([name, f"{steepness:g}", spread, flow])
            planes = expected[np.triu_indices(len(expected), 1)] / scale
            points += [(number, *pair) for pair in zip(planes, found["pairs"], strict=True)]
    return covariances, conditions, points


def real(kept):
    """Minibatches of the diabetes data: rows of the table, and points of the figure."""
    problem, rows, points = diabetes(), [], []
    for steepness in REAL_STEEPNESS:
        eta, found = rate(problem, steepness), estimates_of(kept["diabetes"][f"{steepness:g}"])
        covariances = theory(problem, eta)
        exact = covariances[-1]
        heat = noise_temperature(problem.mean_noise(exact), eta=eta)
        turns = np.linalg.norm(circulation(problem.hessian, exact, eta=eta)) / strength(problem, exact, eta)
        bounds = zip(stretch(implicit_hessian(exact, heat), problem.hessian), found["potential"], strict=True)
        rows.append(
            [f"{steepness:g}", *map(shown, found["covariance"][:2]), against(1, found["covariance"][2])]
            + [f"{value:.2f}: {shown(one, 2)}" for value, one in bounds]
            + [against(turns, found["turning"][0], MARGIN * turns), shown(found["kurtosis"][0], 2)]
        )
        losses = [np.trace(problem.hessian @ one) / 2 for one in covariances]
        points.append((steepness, found["loss"][0], losses))
    return rows, points


# ------------------------------------------------------------------------------------------------------------ the page
def draw(found):
    """Circulations against theory, and the loss of the regression against three theories."""
    kept = found["regression"].more["regression"]
    (*_, points), (_, losses) = simulated(kept), real(kept)
    off = max(abs(one.value - theory) for _, theory, one in points)
    steepest, measured, predicted = losses[-1][0], losses[-1][1], losses[-1][2]
    title = f"Currents flow only where H and Σ do not commute, within {off:.3f} of theory; at η·h = {steepest:g} "
    title += f"the loss is {measured.value / predicted[0]:.1f} times that for small steps, "
    title += f"{measured.value / predicted[2]:.2f} "
    title += "times that with noise where w is"
    figure, (left, right) = panels(title, height=3.7)
    for number, name in enumerate(cases()):
        mine = [(theory, one) for which, theory, one in points if which == number]
        theory, value, half = (
            np.array(part) for part in zip(*((t, o.value, (o.high - o.low) / 2) for t, o in mine), strict=True)
        )
        label = name.replace("Sigma", "Σ")
        left.errorbar(theory, value, half, fmt="os^D"[number], ms=4.5, mfc="none", color=INKS[number], label=label)
    reach = np.array(left.get_xlim())
    left.plot(reach, reach, color=MUTED, lw=1, zorder=0)
    left.set(xlabel="theory, $\\eta\\,[H, C]$", ylabel="measured")
    left.set_title("circulation, in units of η|HC + CH|")
    left.legend(fontsize=8, title="without a current: all three at 0", alignment="left")
    steepness = [one[0] for one in losses]
    names = ("small steps", "exact step, noise of the minimum", "exact step, noise where w is")
    for column, (words, style) in enumerate(zip(names, ("-", (0, (5, 1.5)), (0, (2, 1))), strict=True)):
        right.plot(steepness, [one[2][column] for one in losses], color=INKS[column], ls=style, label=words)
    halves = [(one[1].high - one[1].low) / 2 for one in losses]
    right.errorbar(steepness, [one[1].value for one in losses], halves, fmt="o", color=INK, ms=4, label="measured")
    right.set(xlabel="$\\eta$ × largest curvature", ylabel="$E\\,L - L_{\\min}$ (nat)")
    right.set_title("regression on diabetes, batches of 4")
    right.legend(fontsize=8, title="theory", alignment="left")
    alt = f"Left: circulation against theory, at most {off:.3f} apart. Right: loss of a regression against "
    alt += "the step; at the "
    save(
        figure,
        "regression",
        f"{alt}largest step it is {measured.value:.3f}, theories give {', '.join(f'{one:.3f}' for one in predicted)}.",
    )


def parts(found):
    """The tables, and what the page says of them."""
    kept, problem = found["regression"].more["regression"], diabetes()
    (covariances, conditions, _), (rows, _) = simulated(kept), real(kept)
    commutator = problem.hessian @ problem.noise - problem.noise @ problem.hessian
    both = problem.hessian @ problem.noise + problem.noise @ problem.hessian
    curvatures = np.linalg.eigvalsh(problem.hessian)
    first = ["noise", "η h", "C / small steps", "C / exact", "minimum: small steps; exact", "maximum"]
    third = ["η h", "C / small steps", "C / exact step, noise of the minimum"]
    third += ["C / exact step, noise where w is", "smallest curvature of T C^-1 over H's", "largest", "circulation"]
    judged = [(f"{words}, {row[0]} at η h = {row[1]}", row[k]) for words, k, of in (
        ("covariance", 3, covariances), ("variance of the loss", 2, conditions), ("circulation", 3, conditions),
    ) for row in of]  # fmt: skip
    judged += [(f"{words}, diabetes at η h = {row[0]}", row[k]) for row in rows for words, k in WORDS_OF.items()]
    other = [f"{words} ({found})" for words, found in judged if not found.endswith(", agrees")]
    of = {key: estimates_of(one) for key, one in kept["diabetes"].items()}
    turns = [of[f"{one:g}"]["turning"][0].value for one in REAL_STEEPNESS]
    steep = [of["1"]["potential"][k].value for k in (0, 1)]
    return {
        "covariances": table([*first, "minimum, measured", "maximum, measured"], covariances),
        "conditions": table(["noise", "η h", "Var L / (d T²/2)", "circulation"], conditions),
        "minibatches": table([*third, "kurtosis, steepest"], rows),
        "flattest": f"{curvatures[0]:.2g}",
        "steepest": f"{curvatures[-1]:.2g}",
        "spanned": f"{curvatures[-1] / curvatures[0]:.0f}",
        "batch": f"{BATCH}",
        "share": f"{np.linalg.norm(commutator) / np.linalg.norm(both):.3f}",
        "agreeing": f"{len(judged) - len(other)} of {len(judged)}",
        "others": "; ".join(other) or "none",
        "minimum_slow": shown(of["0.2"]["covariance"][1]),
        "minimum_fast": shown(of["1"]["covariance"][1]),
        "exact_slow": shown(of["0.2"]["covariance"][2]),
        "exact_fast": shown(of["1"]["covariance"][2]),
        "small_fast": ", ".join(shown(estimates_of(kept[name]["1"])["covariance"][0]) for name in cases()),
        "kurtosis": shown(of["1"]["kurtosis"][0], 1),
        "turns": f"{min(turns):.3f} to {max(turns):.3f}",
        "shallow": f"{steep[0]:.2f}",
        "steep": f"{steep[1]:.0f}",
    }
