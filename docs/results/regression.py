"""Runs SGD on quadratic losses and writes docs/results/regression.md; half a minute of one core, once.

python docs/results/regression.py --runs runs
"""

import matplotlib.pyplot as plt
import numpy as np
from regression_sgd import GROUPS, Quadratic, Regression, kept, self_consistent
from tables import asked, save, shown, svg_style, table, write

from empirics.claims import judge
from empirics.claims.fits import jackknife
from thermo_theory.theory.gases.lyapunov import circulation, implicit_hessian, noise_temperature, stationary_covariance

# Fixed before the runs: sizes, seeds and what counts as equal.
MARGIN = 0.05  # of a number, relative
NOTHING = 0.01  # of a circulation that should be 0, in units of eta |H C + C H|
CURVATURES = np.array([0.2, 0.5, 1.0])
STEEPNESS = (0.02, 0.2, 1.0)  # eta x the largest curvature
SIMULATED = {"chains": 512, "burn_in": 2_500, "steps": 6_000}
BATCH, REAL_STEEPNESS = 4, (0.2, 0.4, 0.7, 1.0)
REAL = {"chains": 128, "burn_in": 12_000, "steps": 20_000}
INK = ("#0b62ab", "#c2410c", "#0f766e", "#7c3aed")


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


# ---------------------------------------------------------------------------------------------------------- the tables
def against(theory, one, margin=MARGIN):
    """A number with its interval, what theory says, and the verdict."""
    return f"{theory:.3f}: {shown(one)}, {judge(theory, one.low, one.high, margin)[0]}"


def simulated(folder):
    """The four cases: rows of the two tables, and points of the figure."""
    covariances, conditions, points = [], [], []
    for number, (name, problem) in enumerate(cases().items()):
        for steepness in STEEPNESS:
            eta = steepness / np.linalg.eigvalsh(problem.hessian)[-1]
            file = folder / f"case-{number}-{steepness:g}.npz"
            seed = [8, 75, number, round(100 * steepness)]
            found = kept(file, problem=problem, eta=eta, seed=seed, **SIMULATED)
            small = stationary_covariance(problem.hessian, problem.noise, eta=eta)
            exact = stationary_covariance(problem.hessian, problem.noise, eta=eta, steps=True)
            heat = noise_temperature(problem.noise, eta=eta)
            gibbs = stretch(implicit_hessian(small, heat), problem.hessian)
            sharp = stretch(implicit_hessian(exact, heat), problem.hessian)
            covariances.append(
                [name, f"{steepness:g}", against(1, ratio(found, small)), against(1, ratio(found, exact))]
                + [f"{a:.3f}; {b:.3f}" for a, b in zip(gibbs, sharp, strict=True)]
                + [shown(one) for one in potential(found, problem, heat)]
            )
            expected = circulation(problem.hessian, exact, eta=eta)
            # Where theory has no circulation it is looked for in the plane in which the last case turns.
            last = list(cases().values())[-1]
            plane = circulation(last.hessian, stationary_covariance(last.hessian, last.noise, eta=eta), eta=eta)
            scale = strength(problem, exact, eta)
            along = float(np.sum(plane * expected) / np.linalg.norm(plane)) / scale
            variance = np.trace(np.linalg.matrix_power(problem.hessian @ exact, 2)) / 2 / (3 * heat**2 / 2)
            spread = against(variance, fluctuation(found, heat), MARGIN * variance)
            flow = against(along, turning(found, plane, scale), MARGIN * along if along > NOTHING else NOTHING)
            conditions.append([name, f"{steepness:g}", spread, flow])
            points += pairs(found, expected, scale, number)
    return covariances, conditions, points


def pairs(found, expected, scale, number):
    """Circulation in each plane of two weights: the case, theory, measured."""
    for i, j in zip(*np.triu_indices(len(expected), 1), strict=True):
        (one,) = over_groups(found, lambda m, i=i, j=j: [(m["moved"][i, j] - m["moved"][j, i]) / scale])
        yield number, expected[i, j] / scale, one


def real(folder):
    """Minibatches of the diabetes data: rows of the table, and points of the figure."""
    problem, rows, points = Regression.of_diabetes(BATCH), [], []
    for steepness in REAL_STEEPNESS:
        eta = steepness / np.linalg.eigvalsh(problem.hessian)[-1]
        found = kept(
            folder / f"diabetes-{steepness:g}.npz",
            problem=problem,
            eta=eta,
            seed=[8, 75, 9, round(100 * steepness)],
            **REAL,
        )
        small = stationary_covariance(problem.hessian, problem.noise, eta=eta)
        steps = stationary_covariance(problem.hessian, problem.noise, eta=eta, steps=True)
        exact = self_consistent(problem, eta)
        heat = noise_temperature(problem.mean_noise(exact), eta=eta)
        expected = circulation(problem.hessian, exact, eta=eta)
        scale = strength(problem, exact, eta)
        turns = np.linalg.norm(expected) / scale
        kurtosis = over_groups(found, lambda one: one["fourth"] / mode_variance(problem, one["second"]) ** 2)
        bounds = zip(
            stretch(implicit_hessian(exact, heat), problem.hessian), potential(found, problem, heat), strict=True
        )
        rows.append(
            [f"{steepness:g}", *(shown(ratio(found, one)) for one in (small, steps)), against(1, ratio(found, exact))]
            + [f"{theory:.2f}: {shown(measured, 2)}" for theory, measured in bounds]
            + [against(turns, turning(found, expected, scale), MARGIN * turns), shown(kurtosis[-1], 2)]
        )
        losses = [np.trace(problem.hessian @ one) / 2 for one in (small, steps, exact)]
        points.append((steepness, over_groups(found, lambda one: [one["loss"]])[0], losses))
    return problem, rows, points


def mode_variance(problem, second):
    """Variances along the modes of H."""
    modes = np.linalg.eigh(problem.hessian)[1]
    return np.diag(modes.T @ second @ modes)


# ------------------------------------------------------------------------------------------------------------ the page
def draw(points, losses):
    """Circulations against theory, and the loss of the regression against three theories."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.6))
    for number, name in enumerate(cases()):
        mine = [(theory, one) for which, theory, one in points if which == number]
        theory, value, half = (
            np.array(part) for part in zip(*((t, o.value, (o.high - o.low) / 2) for t, o in mine), strict=True)
        )
        left.errorbar(theory, value, half, fmt="o", ms=4, color=INK[number], label=name)
    ends = np.array(left.get_xlim())
    left.plot(ends, ends, color="0.6", lw=1, zorder=0)
    left.set(xlabel="theory, η[H, C]", ylabel="measured", title="E[wᵢ dwⱼ − wⱼ dwᵢ] / η|HC + CH|")
    left.legend(frameon=False, fontsize=8)
    steepness = [one[0] for one in losses]
    for column, words in enumerate(("small steps", "exact step, noise of the minimum", "exact step, noise where w is")):
        right.plot(steepness, [one[2][column] for one in losses], color=INK[column], label=words)
    found = [one[1] for one in losses]
    halves = [(one.high - one.low) / 2 for one in found]
    right.errorbar(steepness, [one.value for one in found], halves, fmt="ko", ms=4, label="measured")
    right.set(xlabel="η × largest curvature", ylabel="E L − L at the minimum (nat)", title="Diabetes, batches of 4")
    right.legend(frameon=False, fontsize=8)
    save(figure, "regression")


def main():
    """Simulate what is not there yet and write the page."""
    folder = asked().runs / "regression"
    svg_style("regression")
    covariances, conditions, points = simulated(folder)
    problem, rows, losses = real(folder)
    draw(points, losses)
    write("regression", **parts(covariances, conditions, problem, rows))


def parts(covariances, conditions, problem, rows):
    """The tables, and what the page says of the real data."""
    commutator = problem.hessian @ problem.noise - problem.noise @ problem.hessian
    both = problem.hessian @ problem.noise + problem.noise @ problem.hessian
    curvatures = np.linalg.eigvalsh(problem.hessian)
    first = ["noise", "η h", "C over small steps", "C over exact", "minimum: small steps; exact", "maximum"]
    third = ["η h", "C over small steps", "C over exact step, noise of the minimum"]
    third += ["C over exact step, noise where w is", "smallest curvature of T C^-1 over H's", "largest", "circulation"]
    return {
        "covariances": table([*first, "minimum, measured", "maximum, measured"], covariances),
        "conditions": table(["noise", "η h", "Var L over d T²/2", "circulation"], conditions),
        "minibatches": table([*third, "kurtosis, steepest"], rows),
        "flattest": f"{curvatures[0]:.2g}",
        "steepest": f"{curvatures[-1]:.2g}",
        "batch": f"{BATCH}",
        "share": f"{np.linalg.norm(commutator) / np.linalg.norm(both):.3f}",
    }


if __name__ == "__main__":
    main()
