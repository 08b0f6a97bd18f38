"""Results on disk: a Zarr store readable by xarray, every variable with its meaning and unit."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from empirics.experiment import Experiment, ExperimentError, Run

if TYPE_CHECKING:
    import xarray as xr

STORE = "results.zarr"
EXPERIMENT = "experiment.toml"

#: Suffix of what is still being written.
ASIDE = ".partial"


class Variable(NamedTuple):
    """Meaning and unit of a name in the results."""

    long_name: str
    units: str


# Units: losses and entropies in nat; weights have their own unit, so that the units of formulas can be checked.
VARIABLES: dict[str, Variable] = {
    "lr": Variable("learning rate", "weight^2 nat^-1"),
    "weight_decay": Variable("weight decay, coupled (pressure)", "nat weight^-2"),
    "effective_lr": Variable("effective learning rate, where it is fixed", "nat^-1"),
    "radius": Variable("norm of the weights, where it is fixed", "weight"),
    "protocol": Variable("training protocol", "1"),
    "optimizer": Variable("optimiser", "1"),
    "seed": Variable("seed", "1"),
    "component": Variable("component of the mixture: a block on its own sphere, or another tensor", "1"),
    "component_name": Variable("its tensor, and its number in the tensor", "1"),
    "parameters": Variable("number of weights, without flat directions", "1"),
    "scale_invariant": Variable("whether the loss is unchanged when the component alone is rescaled", "1"),
    "momentum": Variable("momentum coefficient, or Adam's beta1, if not in the experiment", "1"),
    "step": Variable("training step", "step"),
    "block": Variable("consecutive block of the measured steps", "1"),
    "snapshot": Variable("snapshot of the weights", "1"),
    "parameter": Variable("index of the weight", "1"),
    "radius_sq": Variable("squared norm of the weights, mean", "weight^2"),
    "log_radius": Variable("logarithm of the norm of the weights, mean", "log(weight)"),
    "grad_sq": Variable("squared norm of the minibatch gradient at the actual norm, mean", "nat^2 weight^-2"),
    "grad_variance": Variable("trace of the gradient covariance at the actual norm", "nat^2 weight^-2"),
    "grad_variance_unit": Variable("trace of the gradient covariance at unit norm", "nat^2"),
    "grad_mean_sq": Variable("squared norm of the expected gradient, from independent minibatches", "nat^2 weight^-2"),
    "grad_mean_sq_unit": Variable("squared norm of the expected gradient at unit norm", "nat^2"),
    "laplacian": Variable("trace of the Hessian on the sphere at unit norm (Laplace-Beltrami), mean", "nat"),
    "hessian_noise": Variable("trace of Hessian times gradient covariance at unit norm, mean", "nat^3"),
    "hessian_gradient": Variable("curvature along minibatch gradients, g.H g at unit norm, mean", "nat^3"),
    "batch_sharpness": Variable("curvature of minibatches along their own gradients, E[g.H_B g]/E|g|^2", "nat"),
    "harmonic_directions": Variable("number of directions between which H and Sigma are known", "1"),
    "harmonic_temperature": Variable("temperature by the noise at the mean direction", "nat"),
    "harmonic_laplacian": Variable("trace of the Hessian on the sphere at the mean direction, unit norm", "nat"),
    "harmonic_lowest": Variable("lowest curvature on the sphere at the mean direction, unit norm", "nat"),
    "harmonic_relaxations": Variable("relaxation times of the direction of lowest curvature in the run", "1"),
    "harmonic_minimum": Variable("loss at the minimum of the quadratic well at the mean direction", "nat"),
    "harmonic_energy": Variable("mean loss above it that H and Sigma give, over R T", "1"),
    "harmonic_fluctuations": Variable("variance of the loss that H and Sigma give, over R T^2", "1"),
    "harmonic_thermometer": Variable("mean squared gradient that H and Sigma give, over T tr H", "1"),
    "harmonic_entropy": Variable("entropy of the directions that H and Sigma give", "nat"),
    "harmonic_shape": Variable(
        "mean square by which the covariance of the directions differs from what H and Sigma give", "1"
    ),
    "loss": Variable("loss, mean: minibatch cross-entropy (network), 1 - mu.w/|w| (isotropic gas)", "nat"),
    "loss_variance": Variable("variance over time of the expected loss", "nat^2"),
    "violation": Variable("violation of scale invariance, mean of |w.g| / (|w| |g|)", "1"),
    "entropy_sphere": Variable("entropy of the directions w/|w|, flat nearest neighbour", "nat"),
    "entropy_sphere_theiler": Variable("the same, without neighbours close in time (Theiler window)", "nat"),
    "entropy_lengths": Variable("share of it from relative radii of spheres, sum of (d_l-1) E log(r_l/r)", "nat"),
    "entropy": Variable("entropy of the weights: that of the directions plus (d-1) log radius", "nat"),
    "entropy_sphere_error": Variable("standard error of the entropy of the directions", "nat"),
    "entropy_bias": Variable("bias of the entropy of the directions, on the harmonic gas of the run itself", "nat"),
    "entropy_bias_error": Variable("error of that bias, by the scatter of the simulated gases", "nat"),
    "temperature": Variable("temperature, half the effective learning rate times the noise per direction", "nat"),
    "balance": Variable("norm balance, 1 in every stationary run", "1"),
    "balance_error": Variable("standard error of the norm balance, from blocks", "1"),
    "radial_balance": Variable("norm balance as the change of the norm alone gives it, growth over decay of r^2", "1"),
    "radius_sq_variance": Variable("variance over time of the squared norm", "weight^4"),
    "initial_radius": Variable("norm of the weights at step 0", "weight"),
    "rotation": Variable("rotation of the weights per step, root mean square", "rad"),
    "turn": Variable("angle between the weights at consecutive snapshots", "rad"),
    "radius_drift": Variable("log radius, last quarter of the measured steps minus the first", "1"),
    "radius_drift_error": Variable("standard error of the drift of log radius", "1"),
    "effective_sample_size": Variable("effective number of independent snapshots", "1"),
    "accuracy": Variable("fraction of training samples classified correctly", "1"),
    "test_accuracy": Variable("fraction of test samples classified correctly", "1"),
    "test_loss": Variable("loss of test minibatches, mean", "nat"),
    "radial_gradient": Variable("w.g, mean: 0 if all trained tensors are scale-invariant", "nat"),
    "training_step": Variable("training step, where the runs differ in length", "step"),
    "diverged_at": Variable("step at which the run became non-finite, -1 if it never did", "step"),
    "neighbour_lag": Variable("lag of a snapshot's nearest neighbour (summary: median size)", "snapshot"),
    "path_entropy": Variable("whether nearest neighbours are mostly consecutive in time", "1"),
    "weights": Variable("weights at the snapshots", "weight"),
    "status": Variable("whether the run may be used in a fit", "1"),
    "reason": Variable("reason of the status", "1"),
}

_DIMS = {
    "summary": ("run",),
    "trace": ("run", "step"),
    "blocks": ("run", "block"),
    "components": ("run", "component"),
}
#: Variables that are the same in every run.
_COMMON = {"step": ("step",), "component_name": ("component",)}


def label(
    experiment: Experiment,
    dimension: int,
    provenance: Mapping[str, Any],
    arrays: Mapping[str, NDArray],
    attributes: Mapping[str, Any] | None = None,
) -> xr.DataTree:
    """Put names, coordinates and units on the arrays of all runs.

    Parameters
    ----------
    experiment
        The experiment; its runs, shard after shard, label the first axis.
    dimension
        The d of the formulas: one more than the number of directions.
    provenance
        Provenance of the run.
    arrays
        ``group/variable``; the first axis is the run, except for variables common to all runs.
    attributes
        Further facts about the measurements.

    Returns
    -------
    xarray.DataTree
        Groups ``/summary``, ``/trace``, ``/blocks``, ``/components``, ``/snapshots``.
    """
    import xarray as xr

    runs = experiment.told([run for shard in experiment.cut() for run in shard])
    groups: dict[str, dict[str, xr.Variable]] = {}
    for path, values in arrays.items():
        group, name = path.split("/")
        dims = _COMMON.get(name) or _DIMS.get(group, ("run", "snapshot", "parameter"))[: values.ndim]
        groups.setdefault(group, {})[name] = _variable(name, dims, values)
    for group, variables in groups.items():
        sizes = {dim: size for v in variables.values() for dim, size in zip(v.dims, v.shape, strict=True)}
        indices = {
            str(dim): _variable(str(dim), (str(dim),), np.arange(n))
            for dim, n in sizes.items()
            if dim not in ("run", "step")
        }
        groups[group] = _coordinates(runs) | indices | variables
    names = [*_coordinates(runs), "component", "component_name", "step", "block", "snapshot", "parameter"]
    tree = {f"/{g}": xr.Dataset(v).set_coords([n for n in names if n in v]) for g, v in groups.items()}
    facts = {"dimension": dimension, "name": experiment.name, "kind": experiment.kind} | dict(attributes or {})
    tree["/summary"].attrs = facts
    root = xr.Dataset(attrs=facts)
    root.attrs |= {"experiment": experiment.to_toml(), "provenance": json.dumps(provenance)}
    return xr.DataTree.from_dict({"/": root, **tree})


def joined(shards: Sequence[Mapping[str, NDArray]]) -> dict[str, NDArray]:
    """Concatenate the arrays of consecutive shards.

    Variables common to all runs are kept once. If shards differ in length, the points of the trace are numbered, and
    ``trace/training_step`` is the step of each point in each run.
    """
    first = dict(shards[0])
    common = [path for path in first if path.split("/")[1] in _COMMON]
    if not all(np.array_equal(shard["trace/step"], first["trace/step"]) for shard in shards):
        shards = [
            {**shard, "trace/training_step": np.tile(shard["trace/step"], (len(shard["trace/loss"]), 1))}
            for shard in shards
        ]
        first = dict(shards[0]) | {"trace/step": np.arange(1, len(first["trace/step"]) + 1)}
    return {
        path: first[path] if path in common else np.concatenate([shard[path] for shard in shards]) for path in first
    }


def _variable(name: str, dims: Sequence[str], values: NDArray) -> xr.Variable:
    import xarray as xr

    return xr.Variable(dims, values, VARIABLES[name]._asdict())


def _coordinates(runs: Sequence[Run]) -> dict[str, xr.Variable]:
    """Coordinates of the runs, without an effective learning rate or radius that no run fixes."""
    columns = {n: np.array([run.number(n) for run in runs]) for n in ("lr", "weight_decay", "effective_lr", "radius")}
    columns |= {name: np.array([getattr(run, name) for run in runs]) for name in ("protocol", "optimizer", "seed")}
    optional = [name for name in ("effective_lr", "radius") if np.isnan(columns[name]).all()]
    return {name: _variable(name, ("run",), column) for name, column in columns.items() if name not in optional}


def write(tree: xr.DataTree, folder: Path) -> None:
    """Write the results into `folder`, completely or not at all; existing results are replaced."""
    store, aside, old = folder / STORE, folder / f"{STORE}{ASIDE}", folder / f"{STORE}.old{ASIDE}"
    if old.exists() and not store.exists():  # killed between the two renames below
        old.rename(store)
    for left in (aside, old):
        shutil.rmtree(left, ignore_errors=True)
    try:
        tree.map_over_datasets(_texts_for_zarr).to_zarr(aside, zarr_format=3, consolidated=False)
        if store.exists():
            store.rename(old)  # at once: half a removed store would look like a damaged one
        aside.rename(store)
        shutil.rmtree(old, ignore_errors=True)
    except BaseException:
        shutil.rmtree(aside, ignore_errors=True)  # it may be what fills the disk
        if old.exists() and not store.exists():
            old.rename(store)
        raise


def _texts_for_zarr(dataset: xr.Dataset) -> xr.Dataset:
    """Convert strings to a type that Zarr 3 stores; numpy's fixed-length ones have no stable form there."""
    texts = {n: v.astype(np.dtypes.StringDType()) for n, v in dataset.variables.items() if v.dtype.kind == "U"}
    return dataset.assign({n: v for n, v in texts.items() if n not in dataset.coords}).assign_coords(
        {n: v for n, v in texts.items() if n in dataset.coords}
    )


def _texts_for_numpy(dataset: xr.Dataset) -> xr.Dataset:
    """Convert strings to numpy's fixed-length type, which every function accepts."""
    texts = {
        n: v.copy(data=np.array(v.values.tolist(), dtype=str))
        for n, v in dataset.variables.items()
        if v.dtype.kind in "TO"
    }
    return dataset.assign({n: v for n, v in texts.items() if n not in dataset.coords}).assign_coords(
        {n: v for n, v in texts.items() if n in dataset.coords}
    )


@dataclass(frozen=True, eq=False, repr=False)
class Runs:
    """Runs and their measurements.

    Attributes
    ----------
    path
        The output folder, or None if the runs are in memory only.
    tree
        All results: groups ``/summary``, ``/trace``, ``/blocks``, ``/components``, ``/snapshots``.
    experiment
        The experiment, if known.
    provenance
        Command, versions, seeds, checksum of the data, machine, times.
    """

    path: Path | None
    tree: xr.DataTree
    experiment: Experiment | None
    provenance: dict[str, Any]

    @property
    def dataset(self) -> xr.Dataset:
        """The summary: one value of each variable per run."""
        return self.tree["summary"].to_dataset()

    def status_counts(self) -> dict[str, int]:
        """Number of runs per status, the most common first."""
        return _counted(self.dataset["status"].values)

    def _facts(self) -> dict[str, str]:
        """Collect the main facts for display."""
        data = self.dataset
        facts = {"runs": str(data.sizes["run"]), "d": str(data.attrs.get("dimension", "unknown"))}
        if data.attrs.get("weights", data.attrs.get("dimension")) != data.attrs.get("dimension"):
            facts["weights"] = str(data.attrs["weights"])
        for name in ("lr", "weight_decay", "effective_lr", "radius"):
            if name in data.coords:
                values = np.unique(data[name].values)
                ends = f"{values.min():.3g} to {values.max():.3g}, {len(values)} values"
                facts[name] = ends if len(values) > 1 else f"{values[0]:.3g}"
        for name in ("protocol", "optimizer", "seed"):
            if name in data.coords:
                facts[name] = ", ".join(map(str, np.unique(data[name].values)))
        if "status" in data:
            facts["status"] = ", ".join(f"{count} {status}" for status, count in self.status_counts().items())
        if self.path is not None:
            facts["folder"] = str(self.path)
        return facts

    def __repr__(self) -> str:
        facts = self._facts()
        width = max(map(len, facts))
        title = f"Runs {self.dataset.attrs.get('name', '')!r}"
        return "\n".join([title, *(f"  {key:<{width}}  {value}" for key, value in facts.items())])

    def _repr_html_(self) -> str:
        rows = "".join(
            f"<tr><th style='text-align:left'>{escape(key)}</th><td style='text-align:left'>{escape(value)}</td></tr>"
            for key, value in self._facts().items()
        )
        return f"<table><caption>Runs {escape(str(self.dataset.attrs.get('name', '')))}</caption>{rows}</table>"


def _counted(statuses: NDArray) -> dict[str, int]:
    names, counts = np.unique(np.array(statuses.tolist(), dtype=str), return_counts=True)
    return {str(names[i]): int(counts[i]) for i in np.argsort(-counts, kind="stable")}


def status_counts(folder: Path) -> dict[str, int]:
    """Number of runs per status in finished results, of which the summary alone is read unless that fails."""
    import zarr

    try:
        summary = zarr.open_group(_complete(folder / STORE), mode="r")["summary"]
        columns = {name: np.asarray(array[...]) for name, array in summary.arrays()}
        return _counted(columns["status"])
    except Exception:  # a codec may raise anything on damaged bytes
        return load(folder).status_counts()


def _read(dataset: xr.Dataset) -> xr.Dataset:
    """Read all of a group into memory, but the weights at the snapshots."""
    for name, variable in dataset.variables.items():
        if name != "weights":
            variable.load()
    return _texts_for_numpy(dataset)


def has_store(folder: Path) -> bool:
    """Whether a folder has finished results.

    Raises
    ------
    ExperimentError
        If there is a file in their place: training again would end at it.
    """
    if (store := folder / STORE).exists() and not store.is_dir():
        raise ExperimentError(f"{store} is a file, not a folder of results: move it away, or bring the results back")
    return store.is_dir()


def _damaged(store: Path) -> Path | None:
    """Find the first array of a store that cannot be read."""
    import zarr

    if lost := next(_nameless(store), None):
        return lost
    for group in sorted({path.parent for path in store.rglob("zarr.json")} - {store}):
        try:
            found = zarr.open(group, mode="r")
            if isinstance(found, zarr.Array):
                found[...]
        except Exception:
            return group
    return None


def _nameless(group: Path) -> Iterator[Path]:
    """Find members of a group that have lost their metadata: zarr only warns of them, and leaves them out."""
    for member in sorted(group.iterdir()):
        if member.is_dir() and not (member / "zarr.json").is_file():
            yield member
        elif member.is_dir() and b'"group"' in (member / "zarr.json").read_bytes():
            yield from _nameless(member)


def _complete(store: Path) -> Path:
    """Return a store in which every member of a group has its metadata.

    Raises
    ------
    FileNotFoundError
        If one has not.
    """
    if next(_nameless(store), None):
        raise FileNotFoundError("zarr.json is missing")
    return store


def load(path: str | Path) -> Runs:
    """Read the results in an output folder.

    Parameters
    ----------
    path
        A folder filled by :func:`empirics.run`.

    Returns
    -------
    Runs
        All results, in memory; the weights at the snapshots, which may not fit there, are read where they are used.

    Raises
    ------
    ExperimentError
        If there is no such folder, or it has no finished results; the message says what it has instead.
    """
    import xarray as xr

    folder = Path(path)
    if not folder.is_dir():
        raise ExperimentError(f"no folder {folder}: give one filled by `run`")
    if not has_store(folder):
        if (folder / EXPERIMENT).exists():
            raise ExperimentError(f"the run in {folder} is not finished: resume it first")
        raise ExperimentError(f"{folder} holds no results ({STORE} is missing): give a folder filled by `run`")
    try:
        tree = xr.open_datatree(_complete(folder / STORE), engine="zarr", consolidated=False).map_over_datasets(_read)
        current(tree)
        text, provenance = tree.attrs.get("experiment"), json.loads(tree.attrs.get("provenance", "{}"))
    except Exception as error:  # a codec may raise anything on damaged bytes
        where, reason = _damaged(folder / STORE) or folder / STORE, (str(error) or repr(error)).splitlines()[0]
        raise ExperimentError(
            f"cannot read the results {where}: {reason}; copy it again, or delete {STORE} and resume to train again"
        ) from None
    if "dimension" not in tree["summary"].attrs:
        raise ExperimentError(f"the results in {folder} do not say their dimension: copy them again")
    experiment = Experiment.from_toml(text, str(folder / STORE)) if text else None
    return Runs(folder, tree, experiment, provenance)


def current(tree: xr.DataTree) -> None:
    """Convert results of version 0.1.0 to the present form.

    There `dimension` was the number of weights, the number of directions was stored beside it, and the entropy of the
    directions (not that of the weights) lacked the relative radii of several spheres. Entropies that are no estimate
    from neighbours did not say so.
    """
    for facts in (tree.attrs, tree["summary"].attrs):
        if "directions" in facts:
            facts["weights"], facts["dimension"] = facts["dimension"], facts.pop("directions") + 1
    data = tree["summary"].to_dataset()
    if "symmetric" in data.attrs.get("entropy_method", "") and "path_entropy" not in data:
        for name, kind in (("path_entropy", bool), ("entropy_bias", float), ("entropy_bias_error", float)):
            import xarray as xr

            none = np.zeros(data.sizes["run"], dtype=kind)
            tree["summary"][name] = xr.DataArray(none, dims="run", attrs=VARIABLES[name]._asdict())
    needed = ("entropy", "entropy_sphere", "entropy_sphere_theiler", "log_radius")
    if "entropy_lengths" in data or data.attrs.get("weights") is None or any(name not in data for name in needed):
        return
    lengths = data["entropy"] - data["entropy_sphere"] - (data.attrs["dimension"] - 1) * data["log_radius"]
    if (np.abs(lengths) <= 1e-9 * np.abs(data["entropy"])).all():
        return
    for name in ("entropy_sphere", "entropy_sphere_theiler"):
        tree["summary"][name] = (data[name] + lengths).assign_attrs(data[name].attrs)
    tree["summary"]["entropy_lengths"] = lengths.assign_attrs(VARIABLES["entropy_lengths"]._asdict())
