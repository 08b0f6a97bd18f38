"""Somebody else's runs: tables, whole and broken."""

import hashlib
import math

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from gas_table import gas_table

import empirics
from empirics.cli import main
from empirics.experiment import ExperimentError
from empirics.importing import survey
from empirics.importing.foreign import needs
from thermo_theory import FixedELR

D = 5001


@pytest.fixture
def frame():
    """A gas as somebody would write it down."""
    data = gas_table(np.random.default_rng(1), d=D)
    table = data[["radius_sq", "grad_sq", "grad_variance", "entropy"]].to_dataframe()[
        ["radius_sq", "grad_sq", "grad_variance", "entropy"]
    ]
    table = table.reset_index(drop=True)
    return table.assign(lr=data["lr"].values, weight_decay=data["weight_decay"].values, dimension=D)


def write(frame, path):
    """The table in the format that the ending says."""
    if path.suffix == ".parquet":
        frame.to_parquet(path)
    elif path.suffix == ".nc":
        frame.drop(columns="dimension").to_xarray().rename(index="run").assign_attrs(dimension=D).to_netcdf(path)
    else:
        frame.to_csv(path, index=False, sep="\t" if path.suffix == ".tsv" else ",")
    return path


def maxwell(runs):
    return {verdict.verdict for verdict in empirics.compare(runs) if verdict.claim == "V3"}


@pytest.mark.parametrize("ending", [".csv", ".tsv", ".parquet", ".nc"])
def test_every_format_gives_the_same_runs_and_they_are_judged(frame, tmp_path, ending):
    path = write(frame, tmp_path / f"gas{ending}")
    runs = empirics.import_runs(path, tmp_path / "out", "fixed-lr")
    again = empirics.load(tmp_path / "out")
    for one in (runs, again):
        assert one.dataset.attrs["dimension"] == D
        for name in ("lr", "weight_decay", "radius_sq", "entropy"):
            np.testing.assert_allclose(one.dataset[name], frame[name], rtol=1e-12)
    assert maxwell(again) == {"agrees"}
    assert again.provenance["imported"]["file"] == str(path)
    page = empirics.report(empirics.compare(again), tmp_path / "page.html")
    assert "Maxwell" in page.read_text(encoding="utf-8")


def test_results_of_ours_are_not_taken_for_a_folder_of_records(frame, tmp_path):
    empirics.import_runs(write(frame, tmp_path / "gas.csv"), tmp_path / "out", "fixed-lr")
    with pytest.raises(
        ExperimentError, match=r"out holds results already, which need no import: `thermo-theory compare"
    ):
        survey(tmp_path / "out", "fixed-lr")


def test_netcdf_of_the_newer_kind_and_a_grid_of_runs(frame, tmp_path):
    grid = frame.drop(columns="dimension").set_index(["lr", "weight_decay"]).to_xarray()
    for engine in ("scipy", "h5netcdf"):
        path = tmp_path / f"{engine}.nc"
        grid.to_netcdf(path, engine=engine)
        runs = empirics.read_runs(path, "fixed-lr", dimension=D)
        assert dict(runs.dataset.sizes) == {"run": 35}
        assert maxwell(runs) == {"agrees"}


def test_what_follows_is_filled_in_and_says_so(frame, tmp_path):
    data = empirics.read_runs(write(frame, tmp_path / "t.csv"), "fixed-lr").dataset
    np.testing.assert_allclose(data["log_radius"], np.log(frame["radius_sq"]) / 2)
    np.testing.assert_allclose(data["entropy_sphere"], frame["entropy"] - (D - 1) / 2 * np.log(frame["radius_sq"]))
    np.testing.assert_allclose(data["temperature"], frame["lr"] / 2 * frame["grad_variance"] / (D - 1))
    lr, wd = frame["lr"], frame["weight_decay"]
    np.testing.assert_allclose(data["balance"], lr * frame["grad_sq"] / (wd * (2 - lr * wd) * frame["radius_sq"]))
    assert data["log_radius"].attrs["origin"].startswith("derived")
    assert data["radius_sq"].attrs["origin"] == "column radius_sq"
    assert data["seed"].values.tolist() == [0] * 35
    of_directions = frame.assign(entropy_sphere=data["entropy_sphere"].values).drop(columns="entropy")
    again = empirics.read_runs(write(of_directions, tmp_path / "s.csv"), "fixed-lr").dataset
    np.testing.assert_allclose(again["entropy"], frame["entropy"])


@pytest.mark.parametrize("missing", ["grad_sq", "grad_variance", "radius_sq"])
def test_a_part_is_what_is_left_of_the_whole(frame, tmp_path, missing):
    whole = frame.assign(grad_mean_sq=0.3 * frame["grad_sq"], grad_variance=0.7 * frame["grad_sq"])
    table = whole.assign(log_radius=np.log(frame["radius_sq"]) / 2).drop(columns=missing)
    data = empirics.read_runs(write(table, tmp_path / "t.csv"), "fixed-lr").dataset
    np.testing.assert_allclose(data[missing], whole[missing])


def test_other_protocols_and_repeated_runs(frame, tmp_path):
    table = frame.rename(columns={"lr": "effective_lr"})
    again = table.assign(radius_sq=1.001 * table["radius_sq"])
    data = empirics.read_runs(write(pd.concat([table, again]), tmp_path / "e.csv"), "fixed-elr").dataset
    assert sorted(set(data["seed"].values)) == [0, 1]
    expected = table["effective_lr"] / 2 * table["radius_sq"] * table["grad_variance"] / (D - 1)
    np.testing.assert_allclose(data["temperature"][:35], expected)
    sphere = frame.drop(columns=["weight_decay", "radius_sq"]).assign(radius=2.0)
    data = empirics.read_runs(write(sphere, tmp_path / "s.csv"), "fixed-sphere").dataset
    np.testing.assert_allclose(data["radius_sq"], 4.0)
    np.testing.assert_allclose(data["temperature"], frame["lr"] / 2 * frame["grad_variance"] / (D - 1))


def test_columns_by_other_names(frame, tmp_path):
    path = write(frame.rename(columns={"weight_decay": "wd", "entropy": "S"}), tmp_path / "t.csv")
    out = tmp_path / "out"
    words = ["import", str(path), "--protocol", "fixed-lr", "--out", str(out)]
    assert main([*words, "--map", "weight_decay=wd", "--map", "entropy=S"]) == 0
    runs = empirics.load(out)
    np.testing.assert_allclose(runs.dataset["entropy"], frame["entropy"])
    imported = runs.provenance["imported"]
    assert (imported["columns"]["entropy"], imported["columns"]["lr"]) == ("S (given)", "lr (certain)")
    assert imported["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
    assert runs.provenance["seeds"] == [0]
    assert main([*words, "--map", "weight_decay=wd", "--optimizer", "adamw"]) == 0  # an import can be repeated
    assert set(empirics.load(out).dataset["optimizer"].values) == {"adamw"}


def test_the_command_says_which_claims_a_missing_column_takes_away(frame, tmp_path, capsys):
    path = write(frame.drop(columns="entropy"), tmp_path / "t.csv")
    assert main(["import", str(path), "--protocol", "fixed-lr", "--out", str(tmp_path / "out")]) == 0
    said = capsys.readouterr().err
    assert any("V3 cannot be judged" in line and "entropy" in line for line in said.splitlines()), said


def test_claims_that_are_refused_on_these_runs_are_said_not_to_be_judged(frame, tmp_path):
    found = survey(write(frame[:3], tmp_path / "t.csv"), "fixed-lr")
    refused = {row.claim: row.reason for row in empirics.compare(found.read()) if row.verdict == "refused"}
    said = found.judged()
    assert refused
    assert all(
        any(line.startswith(f"{name} cannot be") and why in line for line in said) for name, why in refused.items()
    )


def change(text, old, new):
    assert old in text
    return text.replace(old, new, 1)


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        (
            lambda t: change(t, "weight_decay", "something"),
            r"t\.csv: column weight_decay is missing.*--map weight_decay=",
        ),
        (lambda t: change(t, ",dimension", ",size"), r"t\.csv: column dimension .* is missing"),
        (lambda t: t.replace("5001", "5001.5"), r"t\.csv, line 2, column dimension: '5001.5' is not a whole number"),
        (lambda t: t[: t.rstrip().rindex("5001")] + "77\n", r"t\.csv, line 36, column dimension: 77 differs from 5001"),
        (lambda t: t + "1,2\n", r"t\.csv, line 37: 2 cells under 7 column names"),
        (lambda t: t.splitlines()[0], r"t\.csv has no rows"),
        (lambda t: "", r"t\.csv has no rows"),
        (lambda t: change(t, "grad_sq", "radius_sq"), r"t\.csv, line 1: two columns are called 'radius_sq'"),
        (lambda t: change(t, "grad_sq", " "), r"t\.csv, line 1: column 2 has no name"),
        (lambda t: t + '"1,2\n', r"t\.csv, line 37: unexpected end of data"),
    ],
)
def test_a_broken_table_names_what_is_wrong(frame, tmp_path, broken, message):
    path = write(frame, tmp_path / "t.csv")
    path.write_text(broken(path.read_text()))
    with pytest.raises(ExperimentError, match=message):
        empirics.read_runs(path, "fixed-lr")


@pytest.mark.parametrize(
    ("column", "cell", "message"),
    [
        ("lr", "fast", r"line 5, column lr: 'fast' is not a number"),
        ("lr", "", r"line 5, column lr: '' must be a finite number above 0"),
        ("lr", "nan", r"line 5, column lr: 'nan' must be a finite"),
        ("weight_decay", "-0.1", r"line 5, column weight_decay: '-0.1' must be above 0"),
        ("radius_sq", "0", r"line 5, column radius_sq: '0' must be above 0"),
        ("seed", "1.5", r"line 5, column seed: '1.5' is not a whole number"),
        ("protocol", "fixed-elr", r"column protocol has 'fixed-elr', but --protocol is 'fixed-lr'"),
    ],
)
def test_a_broken_cell_is_named(frame, tmp_path, column, cell, message):
    table = frame.assign(seed=1, protocol="fixed-lr").astype(object)
    table.loc[3, column] = cell
    with pytest.raises(ExperimentError, match=message):
        empirics.read_runs(write(table, tmp_path / "t.csv"), "fixed-lr")


def test_an_empty_cell_of_a_measurement_is_a_run_that_lacks_it(frame, tmp_path):
    frame.loc[3, "entropy"] = math.nan
    data = empirics.read_runs(write(frame, tmp_path / "t.csv"), "fixed-lr").dataset
    assert np.flatnonzero(np.isnan(data["entropy"])).tolist() == [3]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"protocol": "fixed"}, "unknown protocol 'fixed'; known: fixed-lr"),
        ({"dimension": 1}, "dimension = 1: must be"),
        ({"dimension": 7}, "has dimension 5001, but --dimension is 7"),
        ({"columns": {"entrpy": "entropy"}}, "unknown name entrpy; did you mean 'entropy'"),
        ({"columns": {"entropy": "entrop"}}, "has no column 'entrop' to map to entropy; did you mean 'entropy'"),
    ],
)
def test_wrong_options(frame, tmp_path, options, message):
    with pytest.raises(ExperimentError, match=message):
        empirics.read_runs(write(frame, tmp_path / "t.csv"), **{"protocol": "fixed-lr", **options})


def test_files_that_are_not_what_they_say(tmp_path, frame):
    for name, message in (("x.parquet", "cannot read"), ("x.nc", "not NetCDF"), ("x.xlsx", "must end in one of .csv")):
        (tmp_path / name).write_bytes(b"nonsense")
        with pytest.raises(ExperimentError, match=message):
            empirics.read_runs(tmp_path / name, "fixed-lr")
    (tmp_path / "x.nc").write_bytes(b"\x89HDF\r\n\x1a\nnonsense")
    with pytest.raises(ExperimentError, match="cannot read"):
        empirics.read_runs(tmp_path / "x.nc", "fixed-lr")
    (tmp_path / "x.csv").write_bytes(b"lr\xff\n1\n")
    with pytest.raises(ExperimentError, match="not text in UTF-8"):
        empirics.read_runs(tmp_path / "x.csv", "fixed-lr")
    with pytest.raises(ExperimentError, match="no file or folder"):
        empirics.read_runs(tmp_path / "none.csv", "fixed-lr")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ExperimentError, match="is neither a table nor a folder of runs"):
        empirics.read_runs(tmp_path / "empty", "fixed-lr")


def test_what_is_not_installed_is_named(tmp_path):
    with pytest.raises(ExperimentError, match=r"needs no_such_reader.*thermo-theory\[tables\]"):
        needs("no_such_reader.parquet", tmp_path, "tables")


def test_nothing_is_overwritten(frame, tmp_path):
    path = write(frame, tmp_path / "t.csv")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "letter.txt").write_text("mine")
    (tmp_path / "ours").mkdir()
    (tmp_path / "ours" / "experiment.toml").write_text("")
    for name, message in (
        ("mine", "is not empty"),
        ("ours", "holds an experiment; give another folder"),
        ("t.csv", "is a file"),
    ):
        with pytest.raises(ExperimentError, match=message):
            empirics.import_runs(path, tmp_path / name, "fixed-lr")
    assert main(["import", str(path), "--protocol", "fixed-lr", "--out", str(tmp_path / "new"), "--map", "lr"]) == 2
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize(
    ("words", "value"), [(("no", "No", "FALSE", "0", "0.0"), 0.0), (("yes", "YES", " true", "1", "1.0"), 1.0)]
)
def test_truth_values_are_read_as_they_are_meant(frame, tmp_path, words, value):
    for word in words:
        data = empirics.read_runs(write(frame.assign(path_entropy=word), tmp_path / "t.csv"), "fixed-lr").dataset
        assert (data["path_entropy"] == value).all(), word
    for word in ("perhaps", "2"):
        with pytest.raises(ExperimentError, match=rf"line 2, column path_entropy: '{word}' is neither true nor false"):
            empirics.read_runs(write(frame.assign(path_entropy=word), tmp_path / "t.csv"), "fixed-lr")


def test_a_csv_as_excel_saves_it(frame, tmp_path):
    path = write(frame[["lr", *(name for name in frame if name != "lr")]], tmp_path / "plain.csv")
    (tmp_path / "excel.csv").write_text(path.read_text(), encoding="utf-8-sig", newline="\r\n")
    assert (tmp_path / "excel.csv").read_bytes().startswith(b"\xef\xbb\xbflr,")
    plain, excel = (empirics.read_runs(tmp_path / f"{name}.csv", "fixed-lr").dataset for name in ("plain", "excel"))
    xr.testing.assert_identical(plain.drop_attrs(), excel.drop_attrs())
    assert excel["lr"].attrs["origin"] == "column lr"  # the mark is no part of the name


@pytest.mark.parametrize("protocol", ["fixed-lr", "fixed-elr"])
def test_temperatures_are_those_of_the_derivation(frame, tmp_path, protocol):
    table = frame if protocol == "fixed-lr" else frame.rename(columns={"lr": "effective_lr"})
    data = empirics.read_runs(write(table, tmp_path / "t.csv"), protocol).dataset
    lr, noise = frame["lr"].to_numpy(), frame["radius_sq"] * frame["grad_variance"] / (D - 1)
    rate = lr / frame["radius_sq"].to_numpy() if protocol == "fixed-lr" else lr
    np.testing.assert_allclose(data["temperature"], rate / 2 * noise, rtol=1e-15, atol=0)
    np.testing.assert_allclose(
        data["temperature"], FixedELR.temperature(eta_eff=rate, sigma=np.sqrt(noise)), rtol=1e-15
    )


def test_in_a_mixed_table_no_run_gets_the_law_of_another_optimiser(frame, tmp_path):
    """Runs of SGD get what they get alone; the claims work out the others by their own laws."""
    names = np.array(["sgd", "momentum", "adamw"])[np.arange(len(frame)) % 3]
    mixed = frame.assign(optimizer=names, momentum=np.where(names == "sgd", 0.0, 0.9))
    data = empirics.read_runs(write(mixed, tmp_path / "mixed.csv"), "fixed-lr").dataset
    for name in ("sgd", "momentum", "adamw"):
        here = names == name
        alone = empirics.read_runs(write(mixed[here], tmp_path / "one.csv"), "fixed-lr").dataset
        for column in ("temperature", "balance"):
            if name == "sgd":
                np.testing.assert_array_equal(data[column][here], alone[column])
                assert np.isfinite(alone[column]).all()
            else:
                assert np.isnan(data[column][here]).all()
                assert column not in alone


def test_a_grid_that_has_other_axes_is_refused(tmp_path):
    data = xr.Dataset({"lr": ("run", [0.1, 0.2]), "weight_decay": ("run", [0.1, 0.2])})
    data["loss"] = (("run", "step"), np.ones((2, 3)))
    data.to_netcdf(tmp_path / "t.nc", engine="scipy")
    with pytest.raises(ExperimentError, match=r"t\.nc: variable loss has the dimension step"):
        empirics.read_runs(tmp_path / "t.nc", "fixed-lr", dimension=5)
