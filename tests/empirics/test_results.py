import json

import numpy as np
import pytest
import xarray as xr
from tiny import tiny

import empirics
from empirics.experiment import ExperimentError
from empirics.results import VARIABLES, joined, label, write


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    return empirics.run(tiny(), tmp_path_factory.mktemp("runs") / "tiny", progress=False)


SUMMARY = """radius_sq log_radius grad_sq grad_variance grad_variance_unit grad_mean_sq
grad_mean_sq_unit radial_gradient loss loss_variance violation
entropy_sphere entropy_sphere_theiler entropy_lengths entropy temperature balance balance_error radius_drift
radius_drift_error effective_sample_size accuracy rotation diverged_at neighbour_lag path_entropy entropy_bias
entropy_bias_error status reason"""


def test_every_variable_is_there_with_its_name_and_unit(runs):
    assert set(runs.dataset.data_vars) == set(SUMMARY.split())
    assert set(runs.dataset.coords) == {"lr", "weight_decay", "protocol", "optimizer", "seed"}
    for group in ("summary", "trace", "blocks", "components", "snapshots"):
        dataset = runs.tree[group].to_dataset()
        for name, variable in dataset.variables.items():
            assert variable.attrs["long_name"] == VARIABLES[name].long_name
            assert variable.attrs["units"], name
    facts = {"dimension": 60 * 5 + 4 * 4 + 1, "weights": 61 * 5 + 5 * 4, "name": "tiny", "kind": "network"}
    assert runs.dataset.attrs == facts


def test_axes(runs):
    assert dict(runs.tree["summary"].sizes) == {"run": 6}
    assert dict(runs.tree["trace"].sizes) == {"run": 6, "step": 19}
    assert dict(runs.tree["blocks"].sizes) == {"run": 6, "block": 10}
    assert dict(runs.tree["components"].sizes) == {"run": 6, "component": 5 + 4}
    measured = {"radius_sq", "grad_variance", "grad_mean_sq"}
    assert set(runs.tree["components"].data_vars) == measured | {"parameters", "scale_invariant"}
    assert runs.tree["components"]["component_name"].values[[0, 8]].tolist() == ["layer 1[0]", "layer 2[3]"]
    assert runs.tree["components"]["parameters"].values[0].tolist() == [61] * 5 + [5] * 4
    assert dict(runs.tree["snapshots"].sizes) == {"run": 6, "snapshot": 40}
    named = {"radius_sq", "log_radius", "grad_sq", "grad_mean_sq", "loss", "radial_gradient"}
    assert set(runs.tree["blocks"].data_vars) == named
    at_snapshots = {"neighbour_lag", "turn", "radius_sq", "grad_mean_sq", "rotation"}
    assert set(runs.tree["snapshots"].data_vars) == at_snapshots
    assert runs.tree["trace"]["step"].values[-1] == 190
    np.testing.assert_array_equal(runs.dataset["lr"], [0.05] * 3 + [0.1] * 3)
    np.testing.assert_array_equal(runs.dataset["weight_decay"], [0.01, 0.02, 0.05] * 2)


def test_the_identities_between_the_variables(runs):
    data = runs.dataset
    parts, m = runs.tree["components"], data.attrs["dimension"] - 1
    assert m == data.attrs["weights"] - len(parts["component"])  # a sphere a filter
    lengths = ((parts["parameters"] - 1) * np.log(parts["radius_sq"]) / 2).sum("component")
    np.testing.assert_allclose(data["entropy"] - data["entropy_sphere"], m * data["log_radius"], rtol=1e-12)
    # With every sphere's own length in place of the relative ones.
    np.testing.assert_allclose(data["entropy_lengths"] + m * data["log_radius"], lengths, atol=0.02 * m)
    np.testing.assert_allclose(data["grad_variance"], data["grad_sq"] - data["grad_mean_sq"])
    eta, lam = data["lr"], data["weight_decay"]
    np.testing.assert_allclose(data["balance"], eta * data["grad_sq"] / (lam * (2 - eta * lam) * data["radius_sq"]))
    np.testing.assert_allclose(data["temperature"], eta / 2 / data["radius_sq"] * data["grad_variance_unit"] / m)
    blocks = runs.tree["blocks"]
    for name in blocks.data_vars:
        np.testing.assert_allclose(blocks[name].mean("block"), data[name], rtol=1e-9, err_msg=name)


def test_what_is_measured_at_snapshots_has_the_summary_for_its_mean(tmp_path):
    asked = tiny(("trace_points = 19", "hessian_probes = 1\nhessian_every = 2"))
    kept = empirics.run(asked, tmp_path / "probed", progress=False)
    snapshots, summary = kept.tree["snapshots"].to_dataset(), kept.dataset
    # Without halves the mean gradient and the curvature are measured at snapshots alone.
    np.testing.assert_allclose(snapshots["grad_mean_sq"].mean("snapshot"), summary["grad_mean_sq"])
    np.testing.assert_allclose((snapshots["rotation"] ** 2).mean("snapshot"), summary["rotation"] ** 2)
    np.testing.assert_allclose(snapshots["laplacian"].mean("snapshot"), summary["laplacian"])
    assert np.isfinite(snapshots["laplacian"]).sum("snapshot").values.tolist() == [20] * 6
    # The norm at the last step of a block is close to the mean of its two neighbours' blocks, not to another run's.
    at_once, mean = snapshots["radius_sq"].values[:, 3::4], kept.tree["blocks"]["radius_sq"].values
    np.testing.assert_allclose(at_once, mean, rtol=0.1)


def test_read_back_it_is_the_same(runs):
    again = empirics.load(runs.path)
    xr.testing.assert_identical(again.tree, runs.tree)
    assert again.experiment == tiny()
    assert again.provenance == runs.provenance
    assert again.dataset["status"].dtype.kind == "U"


def test_provenance(runs):
    kept = runs.provenance
    assert kept["seeds"] == [3]
    assert len(kept["data"]["sha256"]) == 64
    session = kept["sessions"][-1]
    assert {"python", "torch", "numpy", "xarray", "thermo-theory"} <= set(session["versions"])
    assert session["started"] <= session["ended"]
    assert session["machine"]["threads_per_shard"] == 1
    assert json.loads(runs.tree.attrs["provenance"]) == kept


def test_a_reader_sees_what_it_is(runs):
    shown = repr(runs)
    for piece in ("'tiny'", "6", "325", "0.05 to 0.1, 2 values", "fixed-lr", "sgd", "status"):
        assert piece in shown
    assert sum(runs.status_counts().values()) == 6
    html = runs._repr_html_()
    assert html.startswith("<table>")
    assert "fixed-lr" in html


def test_weights_are_kept_when_asked(tmp_path):
    kept = empirics.run(tiny(("trace_points = 19", "keep_snapshots = true")), tmp_path / "kept", progress=False)
    weights = kept.tree["snapshots"]["weights"]
    assert weights.dims == ("run", "snapshot", "parameter")
    assert weights.shape == (6, 40, 325)
    assert np.isfinite(weights).all()
    first, second = weights[2, 6].values.astype(float), weights[2, 7].values.astype(float)
    cosine = first @ second / np.sqrt(first @ first * (second @ second))
    turn = kept.tree["snapshots"]["turn"].values
    np.testing.assert_allclose(turn[2, 7], np.arccos(cosine), rtol=1e-6)
    assert np.isnan(turn[:, 0]).all()


def test_shards_of_different_length_keep_the_steps_of_each_run():
    shards = [
        {"trace/step": np.array([10, 20]), "trace/loss": np.array([[1.0, 2.0], [3.0, 4.0]])},
        {"trace/step": np.array([15, 30]), "trace/loss": np.array([[5.0, 6.0]])},
    ]
    found = joined(shards)
    assert found["trace/step"].tolist() == [1, 2]
    assert found["trace/training_step"].tolist() == [[10, 20], [10, 20], [15, 30]]
    assert found["trace/loss"][:, 0].tolist() == [1.0, 3.0, 5.0]


def test_the_most_common_status_comes_first():
    words = ["diverged", "ok", "too short", "ok", "too short", "ok"]
    summary = xr.Dataset({"status": ("run", words)})
    runs = empirics.Runs(None, xr.DataTree.from_dict({"/summary": summary}), None, {})
    assert list(runs.status_counts().items()) == [("ok", 3), ("too short", 2), ("diverged", 1)]


def test_a_broken_store_is_named(runs, tmp_path):
    write(label(tiny(), 325, {}, {"summary/loss": np.zeros(6)}), tmp_path)
    assert empirics.load(tmp_path).dataset["loss"].attrs["units"] == "nat"
    (tmp_path / "results.zarr" / "zarr.json").write_text("{")
    with pytest.raises(ExperimentError, match=r"results\.zarr"):
        empirics.load(tmp_path)


@pytest.mark.parametrize("damaged", ["zarr.json", "summary/loss/c/0"])
def test_status_does_not_call_finished_what_cannot_be_read(damaged, tmp_path):
    runs = empirics.run(tiny(), tmp_path, progress=False)
    assert empirics.status(tmp_path).counts == runs.status_counts()
    file = tmp_path / "results.zarr" / damaged
    file.write_bytes(file.read_bytes()[:9])
    for ask in (empirics.status, empirics.resume):
        with pytest.raises(
            ExperimentError, match=r"cannot read the results .* delete results\.zarr and resume to train"
        ):
            ask(tmp_path)


def test_results_of_0_1_0_are_read_as_what_they_mean(tmp_path):
    arrays = {"summary/loss": np.zeros(6)}
    old = {"entropy_sphere": 3.0, "entropy_sphere_theiler": 2.0, "log_radius": 0.5, "entropy": 3.0 + 316 * 0.5 - 7.0}
    spheres = arrays | {f"summary/{name}": np.full(6, value) for name, value in old.items()}
    write(label(tiny(), 325, {}, spheres, {"directions": 316}), tmp_path / "filters")
    write(label(tiny(), 325, {}, arrays), tmp_path / "sphere")
    facts = {"name": "tiny", "kind": "network"}
    data = empirics.load(tmp_path / "filters").dataset
    assert data.attrs == facts | {"weights": 325, "dimension": 317}
    names = ("entropy_sphere", "entropy_sphere_theiler", "entropy_lengths")
    assert [float(data[name][2]) for name in names] == pytest.approx([-4.0, -5.0, -7.0])
    assert data["entropy_lengths"].attrs["units"] == "nat"
    assert empirics.load(tmp_path / "sphere").dataset.attrs == facts | {"dimension": 325}


def test_a_folder_without_results_says_what_it_is(tmp_path):
    with pytest.raises(ExperimentError, match=r"no folder .*nowhere"):
        empirics.load(tmp_path / "nowhere")
    with pytest.raises(ExperimentError, match="holds no results"):
        empirics.load(tmp_path)
    (tmp_path / "experiment.toml").write_text(tiny().to_toml())
    with pytest.raises(ExperimentError, match="not finished: resume"):
        empirics.load(tmp_path)
