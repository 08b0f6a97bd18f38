"""What is registered when a run begins, hashes of its experiment, the claims and the code; and what changed since."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from empirics.claims.base import BUILT_IN, Claim
from empirics.claims.own import together
from empirics.claims.suite import CLAIMS
from empirics.experiment import Experiment, ExperimentError
from empirics.results import EXPERIMENT

__all__ = ["changes", "registration"]

#: The package folders whose files are hashed, and the one among them that holds the claims.
ROOT = Path(__file__).parents[2]
PACKAGES, JUDGING = ("empirics", "thermo_theory"), Path(__file__).parent


def registration(experiment: str, known: Iterable[Claim] | None = None) -> dict[str, Any]:
    """Hash what a verdict depends on, ready for JSON.

    Parameters
    ----------
    experiment : str
        The experiment as TOML.
    known : iterable of Claim, optional
        The claims; by default those of the package and of this session.

    Returns
    -------
    dict
        SHA-256 of the experiment, of the code of the claims, and of all other code of the two packages; the margins of
        the claims, by claim and attribute; SHA-256 of the files that hold the user's claims, if there are any.
    """
    claims = tuple(together(CLAIMS).values() if known is None else known)
    judging, rest = _code()
    own = {one.name: _digest_of(Path(one.origin)) for one in claims if one.origin != BUILT_IN}
    return {
        "experiment_sha256": _digest(experiment.encode()),
        "claims_sha256": judging,
        "code_sha256": rest,
        "margins": {key: value for one in claims for key, value in _margins(one).items()},
    } | ({"own_claims": own} if own else {})


def changes(runs: Any, known: Iterable[Claim]) -> list[str]:
    """Say, in a sentence each, whether experiment, claims or code changed since a run began.

    Parameters
    ----------
    runs : Runs or xarray.Dataset
        What is judged. Of runs that were trained elsewhere, and of a summary alone, nothing is said.
    known : iterable of Claim
        The claims that judge it.
    """
    facts: Mapping[str, Any] = getattr(runs, "provenance", None) or {}
    sessions = facts.get("sessions") or []
    if not sessions or "imported" in facts:
        return []
    if (began := sessions[0].get("registered")) is None:
        return ["whether experiment, claims or code changed since the run began is unknown: it did not record them"]
    now = registration(facts.get("experiment", ""), known)
    stages = [one["registered"] for one in sessions[1:] if "registered" in one] + [now]
    said = [_experiment_changed(runs, began["experiment_sha256"]), _claims_changed(began, now)]
    if any(stage["code_sha256"] != began["code_sha256"] for stage in stages):
        version, commit = sessions[0].get("versions", {}).get("thermo-theory", "unknown"), sessions[0].get("commit")
        then = f"thermo-theory {version}" + (f", commit {commit[:12]}" if commit else "")
        said.append(f"the code that trains, measures and derives changed since the run began (then {then})")
    return [sentence for sentence in said if sentence]


def _experiment_changed(runs: Any, began: str) -> str:
    """Say whether the results hold another experiment than the run began with, or its folder an edited file."""
    text = str(runs.provenance.get("experiment", ""))
    if _digest(text.encode()) != began or Experiment.from_toml(text).difference(runs.experiment):
        return "the experiment in the results is not the one that the run began with"
    file = runs.path / EXPERIMENT if runs.path is not None else None
    if file is None or not file.is_file() or _digest_of(file) == began:
        return ""
    try:
        how = runs.experiment.difference(Experiment.from_file(file))
    except ExperimentError as error:
        how = str(error)
    return how and f"{EXPERIMENT} in the folder was edited after the run began ({how}); what was run is judged"


def _claims_changed(began: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    """Say what is different in the claims, their margins, or those of the user's."""
    found = [
        f"{name} is {now['margins'].get(name, 'gone')}, was {margin}"
        for name, margin in began["margins"].items()
        if now["margins"].get(name) != margin
    ]
    before = began.get("own_claims", {})
    for name, digest in now.get("own_claims", {}).items():
        if name not in before:
            found.append(f"{name} was not registered")
        elif digest != before[name]:
            found.append(f"the file with {name} is another")
    if began["claims_sha256"] != now["claims_sha256"]:
        found.append("their code is another")
    return f"the claims changed since the run began: {'; '.join(found)}" if found else ""


def _margins(claim: Claim) -> dict[str, float]:
    """Return the margins of a claim, by its name and that of the attribute."""
    names = [name for name in dir(type(claim)) if name == "margin" or name.endswith("_margin")]
    values = {f"{claim.name} {name}": getattr(claim, name) for name in names}
    return {key: float(value) for key, value in values.items() if isinstance(value, int | float)}


@cache
def _code() -> tuple[str, str]:
    """SHA-256 of the code of the claims, and of the rest, as it was when it was first asked for."""
    judging, rest = hashlib.sha256(), hashlib.sha256()
    for file in sorted(path for name in PACKAGES for path in (ROOT / name).rglob("*.py")):
        digest = judging if file.is_relative_to(JUDGING) else rest
        digest.update(f"{file.relative_to(ROOT).as_posix()} {_digest_of(file)}\n".encode())
    return judging.hexdigest(), rest.hexdigest()


def _digest_of(file: Path) -> str:
    """SHA-256 of a file; empty if there is none, as for a claim made in a notebook."""
    try:
        return _digest(file.read_bytes())
    except OSError:
        return ""


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
