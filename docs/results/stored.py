"""Summaries of experiments: what the pages need of each, as text in the repository, so that no page needs a run.

A summary, ``summaries/NAME.json``, holds the verdicts with their reasons, one number per run of everything that was
measured, to seven digits, what pages reduce further data to, and what all this stands on: the hash of the experiment
and the version of the code that measured it.
"""

import hashlib
import json
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
import xarray as xr

import empirics
from empirics import Experiment
from empirics.claims.verdicts import verdict_of
from empirics.running import provenance

HERE = Path(__file__).parent
SUMMARIES = HERE / "summaries"
EXPERIMENTS = HERE.parents[1] / "experiments"
#: What of a verdict follows from its form, and is not stored.
DERIVED = ("source", "derivation", "needs")
DIGITS = 7


@dataclass
class Stored:
    """The summary of an experiment, or of a study that a script makes without an experiment's file.

    Attributes
    ----------
    name, toml : str
        Of the experiment, and what it is; a study has no file.
    experiment_sha256, version, commit, measured : str
        Hash of the experiment; version and commit of the code that ran it; the day.
    verdicts, notes : list
        What was reached by `empirics.compare`.
    runs : dict
        For every coordinate and variable with one number per run, its numbers.
    attrs : dict
        Attributes of the results, such as ``dimension``.
    more : dict
        By page, what it keeps besides.
    """

    name: str
    experiment_sha256: str
    version: str
    commit: str
    measured: str
    toml: str = ""
    attrs: dict = field(default_factory=dict)
    verdicts: list = field(default_factory=list)
    notes: list = field(default_factory=list)
    runs: dict = field(default_factory=dict)
    more: dict = field(default_factory=dict)

    @cached_property
    def experiment(self):
        """The experiment that was run."""
        return Experiment.from_toml(self.toml, f"the experiment in {self.name}.json")

    @cached_property
    def dataset(self):
        """The numbers of the runs, as `empirics.load` gives them."""
        coords = {"seed", "protocol", "optimizer", "lr", "weight_decay", "effective_lr", "radius"} & self.runs.keys()
        columns = {name: ("run", np.array([np.nan if v is None else v for v in of])) for name, of in self.runs.items()}
        data = xr.Dataset({name: column for name, column in columns.items() if name not in coords}, attrs=self.attrs)
        return data.assign_coords({name: columns[name] for name in coords})

    @property
    def stamp(self):
        """Hash of the experiment, version and commit of the code, ``+`` if files differed from it: one line."""
        commit = self.commit[:9] + "+" * self.commit.endswith("+")
        return f"{self.name} `{self.experiment_sha256[:12]}`, measured by {self.version} at commit {commit}"


def load(name):
    """Read the summary of an experiment.

    Raises
    ------
    ValueError
        If there is none, or it is that of another experiment than the file of this name describes.
    """
    path = SUMMARIES / f"{name}.json"
    if not path.exists():
        raise ValueError(f"{name}: docs/results/summaries has none of this name; `make measure-PAGE` writes it")
    content = json.loads(path.read_text(encoding="utf-8"))
    found = Stored(**content | {"verdicts": [verdict_of(row | {"needs": ()}) for row in content["verdicts"]]})
    if found.name != name:
        raise ValueError(f"{name}: the summary of this name is that of {found.name}")
    if found.toml and (changed := Experiment.from_file(EXPERIMENTS / f"{name}.toml").difference(found.experiment)):
        raise ValueError(f"{name}: the summary is not of the experiment in experiments/{name}.toml: it has {changed}")
    for one in found.verdicts:
        _check(name, one)
    return found


def _check(name, one):
    """Refuse an agreement that its own numbers contradict."""
    word = empirics.claims.judge(one.theory, one.low, one.high, one.margin)[0]
    if one.verdict == "agrees" != word:
        numbers = f"{one.theory:g} ± {one.margin:g} and an interval of {one.low:g} to {one.high:g}"
        raise ValueError(f"{name}: {one.claim} is stored as {one.verdict!r}, with {numbers}, which is {word!r}")


def record(name, folder, page, reduce):
    """Run an experiment, or read its results, and write its summary.

    Parameters
    ----------
    name : str
        Of the experiment.
    folder : Path
        Where the results are, or will be.
    page : str
        For which page.
    reduce : callable or None
        What that page needs besides, made from the runs: a dict of what JSON can hold.
    """
    runs = empirics.run(EXPERIMENTS / f"{name}.toml", folder / name)
    verdicts, data, began = empirics.compare(runs), runs.dataset, runs.provenance["sessions"][0]
    found = Stored(
        name=name,
        experiment_sha256=began["registered"]["experiment_sha256"],
        version=began["versions"]["thermo-theory"],
        commit=began["commit"] or "unknown",
        measured=began["started"][:10],  # a session that was cut off has no end
        toml=runs.experiment.to_toml(),
        attrs={key: value for key, value in data.attrs.items() if key != "name"},
        verdicts=[{key: value for key, value in asdict(one).items() if key not in DERIVED} for one in verdicts],
        notes=list(verdicts.notes),
        runs={name: data[name].values for name in sorted(data.variables) if data[name].dims == ("run",)},
    )
    found.more = _of_other_pages(found) | ({page: reduce(runs)} if reduce else {})
    _write(found)


def record_study(name, more, sources):
    """Write the summary of a study that a script makes: `more`, and the hash of the files that define it.

    Parameters
    ----------
    name : str
        Of the study; its page shows it by ``more``.
    more : dict
        What JSON can hold.
    sources : iterable of Path
        The files with its settings.
    """
    digest = hashlib.sha256(b"".join(Path(one).read_bytes() for one in sources)).hexdigest()
    now = provenance.session("cpu", {})
    version, commit = now["versions"]["thermo-theory"], now["commit"] or "unknown"
    _write(Stored(name, digest, version, commit, now["started"][:10], more={name: more}))


def _of_other_pages(found):
    """What pages keep of the same runs that are stored already."""
    path = SUMMARIES / f"{found.name}.json"
    before = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    same = all(before.get(key) == getattr(found, key) for key in ("experiment_sha256", "commit", "measured"))
    return before["more"] if same else {}


def _write(found):
    """Write a summary: a line for each verdict, note and column, and for what each page keeps."""
    parts = []
    for key, value in plain(asdict(found)).items():
        if isinstance(value, list):
            lines, ends = [_text(one) for one in value], "[]"
        elif isinstance(value, dict):
            lines, ends = [f"{_text(name)}: {_text(one)}" for name, one in value.items()], "{}"
        else:
            lines, ends = [], ("", _text(value))
        parts.append(f'"{key}": {ends[0]}' + ",".join(f"\n {line}" for line in lines) + ends[1])
    SUMMARIES.mkdir(exist_ok=True)
    (SUMMARIES / f"{found.name}.json").write_text("{" + ",\n".join(parts) + "}\n", encoding="utf-8")


def _text(value):
    return json.dumps(value, ensure_ascii=False, allow_nan=False)


def plain(value, digits=DIGITS):
    """Make values JSON's: numbers to so many digits, what is not finite null."""
    if isinstance(value, dict):
        return {str(key): plain(one, digits) for key, one in value.items()}
    if isinstance(value, np.ndarray | np.generic):
        value = value.tolist()
    if isinstance(value, list | tuple):
        return [plain(one, digits) for one in value]
    if isinstance(value, float):
        return float(f"{value:.{digits}g}") if np.isfinite(value) else None
    return value
