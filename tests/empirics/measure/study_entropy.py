"""How good the entropy estimators are: the figures of docs/validation.md. Run as a script it prints them.

Laws with an entropy in closed form, sampled independently or with a memory: the cold von Mises-Fisher gas, and a cold
gas whose spread differs between directions by a power law.
"""

import numpy as np

from empirics.measure import entropy_by_integration, sphere_entropy
from thermo_theory.numeric.vmf import entropy as vmf_exact
from thermo_theory.numeric.vmf_sampling import sample

METHODS = (("flat", 0), ("flat", "auto"), ("cap", "auto"), ("gaussian", "auto"), ("vmf", "auto"))
SPREADS = {0.0: "equal", 1.0: "1/i"}


def cold(n, d, temperature, memory, rng, power=0.0):
    """Directions near a pole: normal coordinates of variances T i^-power (mean T), memory in rows; exact entropy."""
    spread = np.arange(1, d) ** -power
    variance = temperature * spread / spread.mean()
    keep = np.exp(-1 / memory) if memory else 0.0
    x = rng.standard_normal((n, d - 1))
    for i in range(1, n):
        x[i] = keep * x[i - 1] + np.sqrt(1 - keep**2) * x[i]
    exact = 0.5 * (np.log(2 * np.pi * np.e * variance)).sum()
    return np.c_[np.ones(n), np.sqrt(variance) * x], exact


def absolute(repetitions=3):
    """Error in nats and half-width of the interval, independent samples of the von Mises-Fisher law, T = 0.2/d."""
    rng, rows = np.random.default_rng(1), []
    for d, n in ((3, 1000), (10, 1000), (100, 1000), (1000, 1000), (43_692, 400)):
        exact = vmf_exact(d=d, T=0.2 / d)
        errors = {method: [] for method in ("flat", "cap", "gaussian", "vmf")}
        half = {}
        for _ in range(repetitions):
            x = sample(d=d, T=0.2 / d, size=n, rng=rng)
            for method, found in errors.items():
                result = sphere_entropy(x, method=method, theiler=0)
                found.append(result.value - exact)
                half[method] = result.high - result.value
        rows.append((d, n, {m: (np.mean(e), half[m]) for m, e in errors.items()}))
    return rows


def correlated(d, n=1000, repetitions=4, powers=(0.0, 1.0), memories=(0, 5, 50)):
    """Error per dimension, and slope in log T over a decade, for each method, law and memory."""
    rng, rows = np.random.default_rng(2), []
    for power in powers:
        for memory in memories:
            for method, theiler in METHODS:
                errors, slopes = [], []
                for _ in range(repetitions):
                    pair = [cold(n, d, T, memory, rng, power) for T in (1e-7, 1e-6)]
                    found = [sphere_entropy(x, method=method, theiler=theiler).value for x, _ in pair]
                    errors.append((found[0] - pair[0][1]) / (d - 1))
                    slopes.append((found[1] - found[0]) / (pair[1][1] - pair[0][1]))
                rows.append((power, memory, method, theiler, np.mean(errors), np.mean(slopes), np.std(slopes)))
    return rows


def slope_against_memory(d=300, n=1000, repetitions=4):
    """The trap: T and the correlation time change together, tau ~ 1/T^2 as 1/(lr wd); slope of S over R log T.

    Here T grows by 10^(1/2) while the memory falls from 50 to 5 rows: a path entropy has a slope of 3, the gas of 1.
    """
    rng, rows = np.random.default_rng(3), []
    for power in (0.0, 1.0):
        for method, theiler in METHODS:
            slopes = []
            for _ in range(repetitions):
                one, before = cold(n, d, 1e-7, 50, rng, power)
                two, after = cold(n, d, 1e-7 * np.sqrt(10), 5, rng, power)
                a, b = (sphere_entropy(x, method=method, theiler=theiler).value for x in (one, two))
                slopes.append((b - a) / (after - before))
            rows.append((power, method, theiler, np.mean(slopes), np.std(slopes)))
    return rows


def integration(d=300, states=7, n=1000, memory=50, repetitions=20):
    """Thermodynamic integration over a decade of T from the mean loss of the same correlated samples; error over R."""
    rng, errors, inside = np.random.default_rng(4), [], 0
    T = np.geomspace(1e-7, 1e-6, states)
    worth = n * (1 - np.exp(-2 / memory)) / (1 + np.exp(-2 / memory))  # the loss forgets twice as fast
    for _ in range(repetitions):
        U = []
        for t in T:
            keep = np.exp(-2 / memory)
            # The loss is T/2 times chi^2 of d - 1; its series as one normal chain with that mean and variance.
            z = rng.standard_normal(n)
            for i in range(1, n):
                z[i] = keep * z[i - 1] + np.sqrt(1 - keep**2) * z[i]
            U.append(t / 2 * (d - 1) + t * np.sqrt((d - 1) / 2) * z.mean())
        found = entropy_by_integration(T, U, U_error=T * np.sqrt((d - 1) / 2 / worth))
        exact = (d - 1) / 2 * np.log(10)
        errors.append((found.value[-1] - exact) / exact)
        inside += found.low[-1] <= exact <= found.high[-1]
    return np.mean(errors), np.std(errors), inside / repetitions


def bias_exponent(d, sizes, repetitions, kappa=4.0, seed=5):
    """Exponent of the bias in n of both neighbour forms, and its standard error; theory -2/(d-1).

    The flat form on the uniform law: less the cap form on the same rows, which is unbiased there, so that almost all of
    the scatter cancels; at d = 3 the two are the same (Archimedes: a cap is as large as the disc of its chord). The cap
    form on the von Mises-Fisher law: less the mean of -log density on the same rows.
    """
    rng = np.random.default_rng(seed)
    log_partition = vmf_exact(d=d, T=1 / kappa) - kappa * (1 - _mean_cosine(d, kappa))
    results = {}
    flat, cap = (np.empty((len(sizes), repetitions)) for _ in range(2))
    for i, n in enumerate(sizes):
        for j in range(repetitions):
            uniform = rng.standard_normal((n, d))
            flat[i, j] = (
                sphere_entropy(uniform, theiler=0).value - sphere_entropy(uniform, method="cap", theiler=0).value
            )
            x = sample(d=d, T=1 / kappa, size=n, rng=rng)
            cap[i, j] = sphere_entropy(x, method="cap", theiler=0).value
            cap[i, j] -= log_partition + kappa * (1 - x[:, 0]).mean()
    for name, bias in (("flat", flat), ("cap", cap)):
        mean, error = bias.mean(axis=1), bias.std(axis=1, ddof=1) / np.sqrt(repetitions)
        weight = np.abs(mean) / error
        design = np.c_[np.ones(len(sizes)), np.log(sizes)] * weight[:, None]
        coefficients = np.linalg.lstsq(design, np.log(np.abs(mean)) * weight, rcond=None)[0]
        covariance = np.linalg.inv(design.T @ design)
        results[name] = (coefficients[1], np.sqrt(covariance[1, 1]), mean)
    return results


def _mean_cosine(d, kappa):
    """Length of the mean direction by quadrature."""
    from scipy.integrate import quad

    weight = [
        quad(lambda a, e=e: np.cos(a) ** e * np.exp(kappa * (np.cos(a) - 1)) * np.sin(a) ** (d - 2), 0, np.pi)[0]
        for e in (0, 1)
    ]
    return weight[1] / weight[0]


def main():
    print("| d | theory | flat, on the uniform law | cap, on the von Mises-Fisher law |\n|---|---|---|---|")
    for d, sizes, repetitions in (
        (3, (50, 100, 200, 400, 800), 300),
        (4, (50, 100, 200, 400, 800), 150),
        (6, (50, 200, 800), 100),
    ):
        found = bias_exponent(d, sizes, repetitions)
        flat, cap = (f"{exponent:.3f} ± {error:.3f}" for exponent, error, _ in found.values())
        print(f"| {d} | {-2 / (d - 1):.3f} | {flat if d > 3 else 'no bias'} | {cap} |", flush=True)
    print("\n| d | n | flat | cap | gaussian | vmf |\n|---|---|---|---|---|---|")
    for d, n, found in absolute():
        print(f"| {d:,} | {n:,} | " + " | ".join(f"{e:+.2f} ({h:.2f})" for e, h in found.values()) + " |", flush=True)
    methods = " | ".join(f"{method}{', window' if theiler else ''}" for method, theiler in METHODS)
    print(f"\n| d | spreads | memory | {methods} |\n|---|---|---{'|---' * len(METHODS)}|")
    for d in (300, 2000):
        rows = correlated(d, repetitions=3 if d > 1000 else 4)
        for i in range(0, len(rows), len(METHODS)):
            errors = " | ".join(f"{row[4]:+.2f}" for row in rows[i : i + len(METHODS)])
            print(f"| {d:,} | {SPREADS[rows[i][0]]} | {rows[i][1]} | {errors} |", flush=True)
    print(f"\n| spreads | {methods} |\n|---{'|---' * len(METHODS)}|")
    rows = slope_against_memory()
    for i in range(0, len(rows), len(METHODS)):
        slopes = " | ".join(f"{row[3]:.2f} ± {row[4]:.2f}" for row in rows[i : i + len(METHODS)])
        print(f"| {SPREADS[rows[i][0]]} | {slopes} |", flush=True)
    print("\n| relative error | scatter | inside the interval |\n|---|---|---|")
    print("| {:.2%} | {:.2%} | {:.0%} |".format(*integration()))


if __name__ == "__main__":
    main()
