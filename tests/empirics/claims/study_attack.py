"""Attacks on every claim: tables whose truth is known, and how often the verdict on them is wrong.

A claim's planted violation (`attack_cases`) is made in a strength that differs from run to run: the same everywhere it
is the violation; with a trend, or in a corner of the grid, it is right in the mean and wrong where it counts; as
scatter it is no violation at all, however it is shared between runs. Run as a script it prints the table of
docs/validation.md; stopped, it goes on.

    python tests/empirics/claims/study_attack.py [tables of each kind, 100]
"""

import hashlib
import json
import sys
import zlib
from copy import deepcopy
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import attack_cases
import numpy as np
import optimizer_tables
import xarray as xr
from attack_cases import LEVELS, PROTOCOLS, D, cases, gas, table_of
from optimizer_tables import optimizer_table

import empirics.claims
from empirics.claims import claims
from empirics.claims.fluctuations import FLUCTUATIONS
from empirics.claims.potential import RADIUS
from empirics.results import Runs

#: Largest strength of a violation with a trend or in a corner, in units of the planted one, itself two margins.
STRENGTH = 4.0

#: Scatter of the strength from run to run where it is only scatter.
SCATTER = 0.15


def _along(data):
    """What the temperature goes with, from -1 to 1 over the grid."""
    rate = "effective_lr" if "effective_lr" in data.coords else "lr"
    u = np.log(data[rate].values)
    if rate == "lr" and "weight_decay" in data.coords:
        u = u + np.log(data["weight_decay"].values)
    if "radius" in data.coords:
        u = u - 2 * np.log(data["radius"].values)
    return 2 * (u - u.min()) / np.ptp(u) - 1


def trend(rng, data, levels):
    """The violation grows with the temperature; in the mean there is none."""
    return STRENGTH * (_along(data) - _along(data).mean())


def corner(rng, data, levels):
    """The violation is large where it is hot, and of the other sign elsewhere."""
    bent = ((_along(data) + 1) / 2) ** 2
    return 1.5 * STRENGTH * (bent - bent.mean())


def clustered(rng, data, levels):
    """Half of the variance of the scatter is common to the runs of a row."""
    row = np.arange(len(data["run"])) // levels[1]
    return SCATTER * (rng.standard_normal(levels[0])[row] + rng.standard_normal(len(row))) / np.sqrt(2)


def uneven(rng, data, levels):
    """The scatter is ten times as large where it is hot."""
    return SCATTER * 10 ** ((_along(data) - 1) / 2) * rng.standard_normal(len(data["run"]))


def outlier(rng, data, levels):
    """One run is off by three times the planted violation."""
    return np.where(np.arange(len(data["run"])) == rng.integers(len(data["run"])), 3.0, 0.0)


def groups_of(made):
    """Groups of what a case makes: a summary alone, or runs."""
    if isinstance(made, xr.Dataset):
        return {"/summary": made}
    return {f"/{name}": group.to_dataset() for name, group in made.tree.children.items()}


def drawn(rng, make):
    """Groups of the table that a case makes with this generator."""
    function, *settings = make
    return groups_of(function(rng, *settings))


def chosen(groups, index):
    """These of the runs, of every group."""
    return {name: group.isel(run=index) for name, group in groups.items()}


def blended(rng, case, strength):
    """Each run has the planted change in a strength of its own."""
    wrong = drawn(deepcopy(rng), case.wrong)
    true = drawn(rng, case.truth)
    share = xr.DataArray(strength(rng, true["/summary"], case.levels), dims="run")
    return {name: _mixed(group, wrong[name], share) for name, group in true.items()}


def _mixed(true, wrong, share):
    """What differs, by so many times the difference; a mean square of deviations is that of either sign."""
    differs = [n for n in true.data_vars if true[n].dtype.kind == "f" and not true[n].equals(wrong[n])]
    shares = {name: share**2 if name == "harmonic_shape" else share for name in differs}
    return true.assign({name: true[name] + shares[name] * (wrong[name] - true[name]) for name in differs})


def truth(rng, case):
    """Nothing is done to them."""
    return drawn(rng, case.truth)


def violated(rng, case):
    """The planted violation, on the whole grid."""
    return drawn(rng, case.wrong)


def copied(rng, case):
    """The same rows five times."""
    groups = truth(rng, case)
    return chosen(groups, np.tile(np.arange(groups["/summary"].sizes["run"]), 5))


def small(rng, case, make=truth):
    """Of a grid three by three."""
    rows, columns = (np.unique(np.linspace(0, n - 1, 3).astype(int)) for n in case.levels)
    return chosen(make(rng, case), (rows[:, None] * case.levels[1] + columns).ravel())


def missing(rng, case):
    """A fifth of the cells is missing."""
    groups = truth(rng, case)
    runs = groups["/summary"].sizes["run"]
    return chosen(groups, np.sort(rng.permutation(runs)[: runs - runs // 5]))


def mislabelled(rng, case):
    """Runs by AdamW that are called SGD's."""
    data = optimizer_table(rng, "adamw", d=D, levels=LEVELS)
    return groups_of(data.assign_coords(optimizer=("run", np.full(data.sizes["run"], "sgd"))))


def miscounted(rng, case):
    """The dimension is a tenth too large."""
    return groups_of(gas(rng, case.protocol).assign_attrs(dimension=round(1.1 * D)))


def path(rng, case, known=True):
    """Entropies of the path: they go with the diffusivity, twice as fast as those of a gas."""
    data = gas(rng, case.protocol)
    sphere = 2 * data["entropy_sphere"]
    entropies = {"entropy_sphere": sphere, "entropy": data["entropy"] - data["entropy_sphere"] + sphere}
    if known:
        return groups_of(data.assign(entropies | {"path_entropy": ("run", np.ones(data.sizes["run"], dtype=bool))}))
    return groups_of(data.assign(entropies).drop_vars(["path_entropy", "effective_sample_size"]))


def moving(rng, case):
    """The norm is still growing: gradients push it a third more than weight decay takes away."""
    data = gas(rng, case.protocol)
    return groups_of(data.assign({n: 1.3 * data[n] for n in ("grad_sq", "grad_variance", "balance") if n in data}))


@dataclass(frozen=True)
class Attack:
    """A kind of table, which verdicts on it are wrong, and which claims it concerns (all if none is named).

    What has protocols is done to tables of the isotropic gas under these.
    """

    make: object
    wrong: tuple
    concerns: tuple = ()
    protocols: tuple = ()


FALSE, TRUE = ("agrees",), ("disagrees",)
ON_ENTROPY = ("V2", "V4", "V5")

#: By the names of the columns.
ATTACKS = {
    "truth": Attack(truth, TRUE),
    "planted": Attack(violated, FALSE),
    "trend": Attack(partial(blended, strength=trend), FALSE),
    "corner": Attack(partial(blended, strength=corner), FALSE),
    "copies": Attack(copied, TRUE),
    "clustered": Attack(partial(blended, strength=clustered), TRUE),
    "uneven": Attack(partial(blended, strength=uneven), TRUE),
    "outlier": Attack(partial(blended, strength=outlier), TRUE),
    "3x3": Attack(small, TRUE),
    "3x3, planted": Attack(partial(small, make=violated), FALSE),
    "missing cells": Attack(missing, TRUE),
    "wrong label": Attack(mislabelled, FALSE, ("V1", "V2", "V3", "V4", "V5", "V8"), ("fixed-lr",)),
    "wrong d": Attack(miscounted, FALSE, ("V3",), PROTOCOLS),
    "path": Attack(path, ("agrees", "disagrees"), ON_ENTROPY),
    "unknown entropy": Attack(partial(path, known=False), ("agrees", "disagrees"), ON_ENTROPY),
    "not stationary": Attack(moving, FALSE, protocols=("fixed-lr", "fixed-elr")),
}


def concerned(case, attack):
    """Whether an attack is one on this form of a claim: what does not use the entropy has none of its dangers."""
    if attack.concerns and case.claim not in attack.concerns:
        return False
    if attack.concerns == ON_ENTROPY and case.title in (FLUCTUATIONS, RADIUS):
        return False
    return not attack.protocols or (case.truth[0] is gas and case.protocol in attack.protocols)


def verdict(case, attack, seed):
    """The verdict on one table."""
    rng = np.random.default_rng([seed, zlib.crc32(f"{case.claim} {case.protocol}".encode())])
    groups = attack.make(rng, case)
    table = table_of(Runs(None, xr.DataTree.from_dict(groups), None, {}))
    rows = {row.title: row.verdict for row in claims()[case.claim].verdicts(table)}
    return rows[case.title] if case.title in rows else next(iter(rows.values()))  # V3 names the way it took


def sources():
    """Hash of what decides the verdicts: claims and attacks."""
    mine = [Path(module.__file__) for module in (sys.modules[__name__], attack_cases, optimizer_tables)]
    files = [*sorted(Path(empirics.claims.__file__).parent.glob("*.py")), *mine]
    return hashlib.sha256(b"".join(path.read_bytes() for path in files)).hexdigest()[:12]


def study(tables):
    """Count verdicts by form and attack; what is known of the same sources is not counted again.

    build/attacks-HASH.json is what is known: tests, the page and a study that was stopped share it.
    """
    kept = Path(__file__).parents[3] / "build" / f"attacks-{sources()}.json"
    kept.parent.mkdir(exist_ok=True)
    found = json.loads(kept.read_text()) if kept.exists() else {}
    for case in cases():
        for name, attack in ATTACKS.items():
            key = f"{case.claim} | {case.protocol} | {case.title} | {name}"
            if not concerned(case, attack) or len(found.get(key, [])) >= tables:
                continue
            found[key] = [verdict(case, attack, seed) for seed in range(tables)]
            kept.write_text(json.dumps(found))
    return found


def wrong(found, case, name):
    """Share of wrong verdicts."""
    return sum(share(found, case, name, word) for word in ATTACKS[name].wrong)


def share(found, case, name, word):
    """Share of the tables of an attack that get this verdict."""
    verdicts = found[f"{case.claim} | {case.protocol} | {case.title} | {name}"]
    return verdicts.count(word) / len(verdicts)


def main():
    tables = int(sys.argv[1]) if len(sys.argv) > 1 else 100
    found = study(tables)
    print(f"Verdicts of {tables} tables of each kind. Columns of violations: how often it disagrees.\n")
    columns = ("planted", "trend", "corner", "3x3, planted")
    print(f"| claim | protocol | form | truth agrees | {' | '.join(columns)} | attacks | wrong |")
    print("|---" * (6 + len(columns)) + "|")
    for case in cases():
        cells = [f"{share(found, case, 'truth', 'agrees'):.0%}"]
        cells += [f"{share(found, case, name, 'disagrees'):.0%}" for name in columns]
        asked = [name for name, attack in ATTACKS.items() if concerned(case, attack)]
        mistaken = round(sum(tables * wrong(found, case, name) for name in asked))
        title = case.title.replace("|", "\\|")
        print(f"| {case.claim} | {case.protocol} | {title} | {' | '.join(cells)} | {len(asked)} | {mistaken} |")


if __name__ == "__main__":
    main()
