"""Attacks on every claim: tables whose truth is known, and how often the verdict on them is wrong.

A claim's planted violation (`study_power`) is made in a strength that differs from run to run: the same everywhere it
is the violation; with a trend, or in a corner of the grid, it is right in the mean and wrong where it counts; as
scatter it is no violation at all, however it is shared between runs. Run as a script it prints the table of
docs/validation.md; a file keeps what was counted, and the study goes on where it was stopped.

    python tests/empirics/claims/study_attack.py [tables of each kind, 100] [file.json]
"""

import json
import sys
import zlib
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import xarray as xr
from gas_states import state_table
from optimizer_tables import optimizer_table
from study_power import LEVELS, SIGMA, D, cases, planted, table_of

from empirics.claims import claims
from empirics.claims.fluctuations import FLUCTUATIONS
from empirics.claims.potential import RADIUS

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


def trend(rng, data):
    """The violation grows with the temperature; in the mean there is none."""
    return STRENGTH * (_along(data) - _along(data).mean())


def corner(rng, data):
    """The violation is large where it is hot, and of the other sign elsewhere."""
    bent = ((_along(data) + 1) / 2) ** 2
    return 1.5 * STRENGTH * (bent - bent.mean())


def clustered(rng, data):
    """Half of the variance of the scatter is common to the runs of a row."""
    _, row = np.unique(data[next(iter(data.coords))].values, return_inverse=True)
    return SCATTER * (rng.standard_normal(row.max() + 1)[row] + rng.standard_normal(len(row))) / np.sqrt(2)


def uneven(rng, data):
    """The scatter is ten times as large where it is hot."""
    return SCATTER * 10 ** ((_along(data) - 1) / 2) * rng.standard_normal(len(data["run"]))


def outlier(rng, data):
    """One run is off by three times the planted violation."""
    return np.where(np.arange(len(data["run"])) == rng.integers(len(data["run"])), 3.0, 0.0)


def blended(rng, protocol, change, strength):
    """A true table in which every run has the planted change in a strength of its own."""
    data = _gas(rng, protocol)
    changed, share = change(data), strength(rng, data)
    mixed = {}
    for name in changed.data_vars:
        if changed[name].dtype.kind == "f" and not np.array_equal(changed[name].values, data[name].values):
            mixed[name] = data[name] + share * (changed[name] - data[name])
    return data.assign(mixed)


def _gas(rng, protocol, levels=LEVELS):
    return state_table(rng, protocol, D, levels=levels, sigma=SIGMA)


def truth(rng, protocol, change):
    """Nothing is done to them."""
    return _gas(rng, protocol)


def copied(rng, protocol, change):
    """The same rows five times."""
    return xr.concat([_gas(rng, protocol)] * 5, "run")


def small(rng, protocol, change):
    """A grid of three by three."""
    return _gas(rng, protocol, (3, 3))


def missing(rng, protocol, change):
    """A fifth of the cells is missing."""
    data = _gas(rng, protocol)
    runs = data.sizes["run"]
    return data.isel(run=np.sort(rng.permutation(runs)[: runs - runs // 5]))


def small_and_wrong(rng, protocol, change):
    """The planted violation on a grid of three by three."""
    return change(_gas(rng, protocol, (3, 3)))


def mislabelled(rng, protocol, change):
    """Runs by AdamW that are called SGD's."""
    data = optimizer_table(rng, "adamw", d=D, levels=LEVELS)
    return data.assign_coords(optimizer=("run", np.full(data.sizes["run"], "sgd")))


def miscounted(rng, protocol, change):
    """The dimension is a tenth too large."""
    return _gas(rng, protocol).assign_attrs(dimension=round(1.1 * D))


def path(rng, protocol, change, known=True):
    """Entropies of the path: they go with the diffusivity, twice as fast as those of a gas."""
    data = _gas(rng, protocol)
    sphere = 2 * data["entropy_sphere"]
    entropies = {"entropy_sphere": sphere, "entropy": data["entropy"] - data["entropy_sphere"] + sphere}
    if known:
        return data.assign(entropies | {"path_entropy": ("run", np.ones(data.sizes["run"], dtype=bool))})
    return data.assign(entropies).drop_vars(["path_entropy", "effective_sample_size"])


def moving(rng, protocol, change):
    """The norm is still growing: gradients push it a third more than weight decay takes away."""
    data = _gas(rng, protocol)
    pushed = {name: 1.3 * data[name] for name in ("grad_sq", "grad_variance", "balance") if name in data}
    return data.assign(pushed)


@dataclass(frozen=True)
class Attack:
    """A kind of table, which verdicts on it are wrong, and which claims it concerns (all if none is named)."""

    make: object
    wrong: tuple
    concerns: tuple = ()
    protocols: tuple = ()


FALSE, TRUE = ("agrees",), ("disagrees",)
ON_ENTROPY = ("V2", "V4", "V5")

#: By the names of the columns.
ATTACKS = {
    "truth": Attack(truth, TRUE),
    "planted": Attack(planted, FALSE),
    "trend": Attack(partial(blended, strength=trend), FALSE),
    "corner": Attack(partial(blended, strength=corner), FALSE),
    "copies": Attack(copied, TRUE),
    "clustered": Attack(partial(blended, strength=clustered), TRUE),
    "uneven": Attack(partial(blended, strength=uneven), TRUE),
    "outlier": Attack(partial(blended, strength=outlier), TRUE),
    "3x3": Attack(small, TRUE),
    "3x3, planted": Attack(small_and_wrong, FALSE),
    "missing cells": Attack(missing, TRUE),
    "wrong label": Attack(mislabelled, FALSE, ("V1", "V2", "V3", "V4", "V5", "V8"), ("fixed-lr",)),
    "wrong d": Attack(miscounted, FALSE, ("V3",)),
    "path": Attack(path, ("agrees", "disagrees"), ON_ENTROPY),
    "unknown entropy": Attack(partial(path, known=False), ("agrees", "disagrees"), ON_ENTROPY),
    "not stationary": Attack(moving, FALSE, protocols=("fixed-lr", "fixed-elr")),
}


def attacked():
    """The forms of claims that are attacked: those whose tables are of the gas, which have a planted change."""
    return [case for case in cases() if case.wrong[0] is planted]


def concerned(case, attack):
    """Whether an attack is one on this form of a claim: what does not use the entropy has none of its dangers."""
    if attack.concerns and case.claim not in attack.concerns:
        return False
    if attack.concerns == ON_ENTROPY and case.title in (FLUCTUATIONS, RADIUS):
        return False
    return not attack.protocols or case.protocol in attack.protocols


def verdict(case, attack, seed):
    """The verdict on one table."""
    rng = np.random.default_rng([seed, zlib.crc32(f"{case.claim} {case.protocol}".encode())])
    table = table_of(attack.make(rng, case.protocol, case.wrong[2]))
    rows = {row.title: row.verdict for row in claims()[case.claim].verdicts(table)}
    return rows[case.title] if case.title in rows else next(iter(rows.values()))  # V3 names the way it took


def study(tables, known):
    """Count verdicts by form and attack; what is known is not counted again, and more is kept as soon as it is."""
    kept = Path(known) if known else None
    found = json.loads(kept.read_text()) if kept and kept.exists() else {}
    for case in attacked():
        for name, attack in ATTACKS.items():
            key = f"{case.claim} | {case.protocol} | {case.title} | {name}"
            if not concerned(case, attack) or len(found.get(key, [])) >= tables:
                continue
            found[key] = [verdict(case, attack, seed) for seed in range(tables)]
            if kept:
                kept.write_text(json.dumps(found))
    return found


def wrong(found, case, name):
    """Share of wrong verdicts, None where the attack does not concern the claim."""
    verdicts = found.get(f"{case.claim} | {case.protocol} | {case.title} | {name}")
    return None if verdicts is None else sum(one in ATTACKS[name].wrong for one in verdicts) / len(verdicts)


def seen(found, case, name):
    """Share of the tables with a violation whose verdict is that it disagrees."""
    verdicts = found[f"{case.claim} | {case.protocol} | {case.title} | {name}"]
    return verdicts.count("disagrees") / len(verdicts)


def main():
    tables = int(sys.argv[1]) if len(sys.argv) > 1 else 100
    found = study(tables, sys.argv[2] if len(sys.argv) > 2 else "")
    print("Wrong verdicts by attack; in brackets the share of violations that are seen.\n")
    print(f"| claim | protocol | form | {' | '.join(ATTACKS)} |")
    print("|---" * (3 + len(ATTACKS)) + "|")
    for case in attacked():
        cells = ["" if (share := wrong(found, case, name)) is None else f"{share:.0%}" for name in ATTACKS]
        cells = [
            f"{cell} ({seen(found, case, name):.0%})" if cell and ATTACKS[name].wrong == FALSE else cell
            for cell, name in zip(cells, ATTACKS, strict=True)
        ]
        print(f"| {case.claim} | {case.protocol} | {case.title.replace('|', chr(92) + '|')} | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
