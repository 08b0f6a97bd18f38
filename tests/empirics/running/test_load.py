"""Many runs, many folders, many processes, and snapshots that no memory holds: peak memory of a process of its own."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import zarr
from gas_table import gas_table
from kill_and_resume import same_numbers
from tiny import tiny

import empirics
from empirics.data.loading import load
from empirics.training import memory
from empirics.training.ensemble import Ensemble

pytestmark = [pytest.mark.long, pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs /proc")]

#: MB of a process that has loaded the program and trained or judged something small.
LOADED = 900

#: Runs Python code, and prints the seconds of computing and the peak of memory in MB.
MEASURED = """
import resource, sys
sys.argv.pop(0)
exec(sys.argv[0])
used = resource.getrusage(resource.RUSAGE_SELF)
peak = next(line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM"))  # maxrss is the parent's
print("\\n", used.ru_utime + used.ru_stime, int(peak) / 1000)
"""
VERB = "from empirics import cli; assert cli.main(sys.argv[1:]) == 0"


def measured(code, *words):
    """Seconds of computing and MB at the peak."""
    words = [sys.executable, "-c", MEASURED, code, *map(str, words)]
    done = subprocess.run(words, capture_output=True, text=True, env=os.environ | {"OMP_NUM_THREADS": "1"})
    assert done.returncode == 0, done.stderr[-2000:]
    seconds, megabytes = map(float, done.stdout.split()[-2:])
    print(f"{code[:40]} {words[4:6]}: {seconds:.0f} s, {megabytes:.0f} MB")
    return seconds, megabytes


def test_256_runs_at_once_fit_into_the_memory_that_is_stated(tmp_path):
    axis = "{{log10 = [{}, {}], count = 16}}".format
    grid = tiny(
        ("lr = [0.05, 0.1]", f"lr = {axis(-2, -1)}"),
        ("weight_decay = [0.01, 0.02, 0.05]", f"weight_decay = {axis(-2.5, -1.5)}"),
        ("runs_per_shard = 4", "runs_per_shard = 256"),
        ("hidden = [5, 4]", "hidden = [64, 64]"),
    )
    (tmp_path / "grid.toml").write_text(grid.to_toml())
    stated = memory.needed(grid, Ensemble(grid, grid.runs[:1], load(grid.data)), 256) / 1e6
    _, megabytes = measured(VERB, "run", tmp_path / "grid.toml", "--out", tmp_path / "out")
    print(f"stated: {stated:.0f} MB")
    assert megabytes < LOADED + 1.2 * stated
    assert empirics.load(tmp_path / "out").dataset.sizes["run"] == 256


def test_20000_imported_runs_are_judged_and_reported_in_a_minute_and_2_gb(tmp_path):
    table = gas_table(np.random.default_rng(1), d=201, levels=(10, 10), seeds=200).to_dataframe()
    names = ["lr", "weight_decay", "seed", "dimension", "radius_sq", "grad_sq", "grad_variance", "entropy"]
    table = table.assign(seed=np.repeat(np.arange(200), 100), dimension=201)[names]
    table.to_csv(tmp_path / "many.csv", index=False)
    out = tmp_path / "many"
    steps = {
        "import": measured(VERB, "import", tmp_path / "many.csv", "--protocol", "fixed-lr", "--out", out),
        "compare": measured(VERB, "compare", out, "--format", "json"),
        "report": measured(VERB, "report", out),
    }
    assert all(megabytes < 2000 for _, megabytes in steps.values()), steps
    assert steps["report"][0] < 60, steps  # it judges, too
    assert (out / "report.html").stat().st_size < 20e6


def test_70_gb_of_snapshots_are_left_where_they_are(tmp_path):
    """A store that says it has them, of chunks that are zero and so take no place on the disk."""
    runs = empirics.run(tiny(("spacing = 4", "spacing = 4\nkeep_snapshots = true")), tmp_path / "out", progress=False)
    group = zarr.open_group(runs.path / "results.zarr")["snapshots"]
    shape, names = (6, 40, 73_000_000), dict(group["weights"].attrs)
    del group["weights"]
    large = group.create_array(
        "weights", shape=shape, chunks=(1, 1, 1_000_000), dtype="f4", dimension_names=["run", "snapshot", "parameter_"]
    )
    large.attrs.update(names)
    assert large.nbytes > 70e9
    for verb in ("compare", "report", "status"):
        seconds, megabytes = measured(VERB, verb, runs.path)
        assert seconds < 60
        assert megabytes < LOADED
    found = empirics.load(runs.path).tree["snapshots"]["weights"]
    assert found.shape == shape
    assert not found[2, 3, :1000].values.any()


def test_a_report_over_fifty_folders(tmp_path):
    first = empirics.run(tiny(), tmp_path / "00", progress=False).path
    folders = [first, *(shutil.copytree(first, tmp_path / f"{i:02d}") for i in range(1, 50))]
    seconds, megabytes = measured(VERB, "report", *folders, "--out", tmp_path / "all.html")
    assert megabytes < 2000
    assert seconds < 300
    assert (tmp_path / "all.html").stat().st_size < 60e6


def test_eight_processes_in_one_folder(tmp_path):
    """One works; the others wait for nothing and say so in a line, or find the work done."""
    (tmp_path / "tiny.toml").write_text(tiny().to_toml())
    words = [sys.executable, "-m", "empirics.cli", "run", str(tmp_path / "tiny.toml"), "--out", str(tmp_path / "out")]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE, "text": True}
    processes = [subprocess.Popen(words, **quiet) for _ in range(8)]
    ended = [(process.communicate()[1], process.returncode) for process in processes]
    assert {code for _, code in ended} <= {0, 2}, ended
    assert 0 in {code for _, code in ended}
    assert all("another process is working on" in errors for errors, code in ended if code == 2), ended
    same_numbers(empirics.load(tmp_path / "out"), empirics.run(tiny(), tmp_path / "whole", progress=False))
    assert [[line["event"] for line in lines] for lines in empirics.load(tmp_path / "out").provenance["shards"]] == [
        ["begun", "finished"]
    ] * 2
