import dataclasses
import hashlib
import math
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tiny import TINY, tiny

from empirics.experiment import Experiment, ExperimentError, Run
from empirics.experiment.schema import axis, integer, number, rate, share
from empirics.isotropic.experiment import GasRun
from empirics.isotropic.loop import identity as gas_identity
from empirics.training.sampling import identity
from empirics.training.tables import NoiseRule

DIGITS = Path(__file__).parents[3] / "experiments" / "digits.toml"

positive = st.floats(1e-6, 1e-1)
axes = st.lists(positive, min_size=1, max_size=4, unique=True).map(tuple)


def test_the_shipped_experiment_is_the_one_known_to_work():
    digits = Experiment.from_file(DIGITS)
    assert len(digits.runs) == 49
    assert digits.total_steps == 34_000
    assert math.isclose(digits.grid.lr[0], 10**-1.75, rel_tol=1e-11)
    assert math.isclose(digits.grid.lr[-1], 10**-0.75, rel_tol=1e-11)
    assert digits.training.initial_radius == NoiseRule(10.0)


def test_import_leaves_torch_out():
    code = "import sys, empirics, empirics.experiment; sys.exit('torch' in sys.modules or 'sklearn' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_runs_and_shards():
    experiment = tiny(("seeds = [3]", "seeds = [3, 4]"))
    assert len(experiment.runs) == 12
    assert len(set(experiment.runs)) == 12
    assert sum(experiment.cut(), ()) == experiment.runs
    assert [len(shard) for shard in tiny().cut()] == [4, 2]


@given(lr=axes, wd=axes, seeds=st.lists(st.integers(0, 2**40), min_size=1, max_size=3, unique=True), radius=positive)
def test_toml_round_trip(lr, wd, seeds, radius):
    experiment = dataclasses.replace(
        tiny(),
        name='a "quoted" \\ name\n',
        seeds=seeds,
        grid={"lr": lr, "weight_decay": wd},
        training=dataclasses.replace(tiny().training, initial_radius=radius),
    )
    assert Experiment.from_toml(experiment.to_toml()) == experiment


def test_shipped_experiment_survives_the_round_trip():
    digits = Experiment.from_file(DIGITS)
    assert Experiment.from_toml(digits.to_toml()) == digits


REFUSED = [
    (("seeds = [3]", "seeds = []"), ["seeds", "[]"]),
    (("seeds = [3]", "seeds = [3, 3]"), ["seeds", "twice"]),
    (("seeds = [3]", "seed = 3"), ["unknown key seed", "did you mean 'seeds'"]),
    (("seeds = [3]", "seeds = [true]"), ["seeds", "true"]),
    (('name = "tiny"', "name = 3"), ["name = 3"]),
    (('name = "tiny"\n', ""), ["name is missing"]),
    (('kind = "network"', 'kind = "netwrok"'), ["kind", "did you mean 'network'"]),
    (('name = "digits"', 'name = "digit"'), ["[data] name", "did you mean 'digits'"]),
    (('[data]\nname = "digits"\n', "data = 3\n"), ["data", "table"]),
    (('name = "mlp"', 'name = "resnet"'), ["[model] name", "mlp"]),
    (("hidden = [5, 4]", "hidden = []"), ["[model] hidden"]),
    (("hidden = [5, 4]", "hidden = [5, 0]"), ["[model] hidden"]),
    (("hidden = [5, 4]", "hidden = [5, 4]\nepsilon = 1"), ["unknown key [model] epsilon"]),
    (("hidden = [5, 4]", "hidden = [5, 4]\neps = -1e-3"), ["[model] eps = -0.001", "0 or more"]),
    (("hidden = [5, 4]", "hidden = [5, 4]\naffine = 1"), ["[model] affine = 1", "true or false"]),
    (('"fixed-lr"', '"fixed-rl"'), ["[training] protocol", "did you mean 'fixed-lr'"]),
    (('"sgd"', '"adam"'), ["[training] optimizer", "'sgd'"]),
    (("batch_size = 16", "batch_size = 1"), ["[training] batch_size = 1", "2 or more"]),
    (("batch_size = 16", "batch_size = 16.0"), ["[training] batch_size"]),
    (("batch_size = 16", 'batch_size = "16"'), ["[training] batch_size"]),
    (("{noise = 10.0}", "{niose = 10.0}"), ["[training] initial_radius", "{noise = number}"]),
    (("{noise = 10.0}", "0"), ["[training] initial_radius = 0"]),
    (("{noise = 10.0}", "inf"), ["[training] initial_radius = inf"]),
    (("burn_in = 30", "burn_in = -1"), ["[training] burn_in = -1"]),
    (("steps = 160", "steps = 161"), ["[training] steps = 161", "40 × 4 = 160"]),
    (("steps = 160", "steps = 160\nlerning_rate = 3"), ["lerning_rate"]),
    (("lr = [0.05, 0.1]", "lr = []"), ["[grid] lr = []", "not empty"]),
    (("lr = [0.05, 0.1]", "lr = 0.05"), ["[grid] lr = 0.05", "list"]),
    (("lr = [0.05, 0.1]", "lr = [0.05, 0]"), ["[grid] lr", "above 0"]),
    (("lr = [0.05, 0.1]", "lr = [0.05, -0.1]"), ["[grid] lr", "above 0"]),
    (("lr = [0.05, 0.1]", "lr = [0.05, nan]"), ["[grid] lr", "finite"]),
    (("lr = [0.05, 0.1]", 'lr = ["a"]'), ["[grid] lr"]),
    (("lr = [0.05, 0.1]", "lr = [0.05, 0.05]"), ["[grid] lr", "twice"]),
    (("lr = [0.05, 0.1]", "lr = [0.05, 1e-40]"), ["[grid] lr", "float32"]),
    (("lr = [0.05, 0.1]", "lr = {log10 = [-1, -2], count = 0}"), ["[grid] lr", "count"]),
    (("lr = [0.05, 0.1]", "lr = {log10 = [-1], count = 2}"), ["[grid] lr", "[start, stop]"]),
    (("lr = [0.05, 0.1]", "lr = {log = [-1, -2], count = 2}"), ["[grid] lr", "log10"]),
    (("lr = [0.05, 0.1]", "lr = {log10 = [-1, 400], count = 2}"), ["[grid] lr", "-30"]),
    (("lr = [0.05, 0.1]", "learning_rate = [0.05]"), ["unknown key [grid] learning_rate"]),
    (("lr = [0.05, 0.1]", "lr = [50.0]"), ["lr·wd reaches 2.5"]),
    (("lr = [0.05, 0.1]", "pairs = [[0.1, 0.2]]"), ["[grid] weight_decay", "left out with pairs"]),
    (("lr = [0.05, 0.1]", "pairs = [0.1, 0.2]"), ["[grid] pairs", "a list of pairs"]),
    (("lr = [0.05, 0.1]", "pairs = [[0.1, 0]]"), ["[grid] pairs", "above 0"]),
    (("lr = [0.05, 0.1]", "pairs = [[0.1, 0.2], [0.1, 0.2]]"), ["[grid] pairs", "twice"]),
    (("lr = [0.05, 0.1]", "pairs = 3"), ["[grid] pairs", "list"]),
    (("blocks = 10", "blocks = 9"), ["[measure] blocks = 9", "divide"]),
    (("runs_per_shard = 4", "runs_per_shard = 0"), ["[shards] runs_per_shard = 0"]),
    (("[shards]\nruns_per_shard = 4\n", ""), ["shards is missing"]),
    (("[shards]", "[[["), ["TOML"]),
]


@pytest.mark.parametrize(("change", "said"), REFUSED, ids=lambda value: str(value)[:40])
def test_wrong_experiments_are_refused_in_one_line_that_names_the_key(change, said):
    with pytest.raises(ExperimentError) as caught:
        tiny(change)
    message = str(caught.value)
    assert "\n" not in message
    assert [piece for piece in said if piece not in message] == []


def test_messages_name_the_file(tmp_path):
    wrong = tmp_path / "wrong.toml"
    wrong.write_text("lerning_rate = 3\n" + TINY)
    with pytest.raises(ExperimentError, match=r"wrong\.toml: unknown key lerning_rate"):
        Experiment.from_file(wrong)
    wrong.write_text(TINY + "\n[[[")
    with pytest.raises(ExperimentError, match=r"wrong\.toml is not TOML"):
        Experiment.from_file(wrong)
    wrong.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ExperimentError, match=r"wrong\.toml: not a text"):
        Experiment.from_file(wrong)
    with pytest.raises(ExperimentError, match=r"nowhere\.toml: No such file"):
        Experiment.from_file(tmp_path / "nowhere.toml")


@given(st.sampled_from(["lr", "weight_decay"]), st.one_of(st.floats(max_value=0), st.just(math.nan), st.just(math.inf)))
def test_no_rate_that_is_not_a_positive_number(key, value):
    grid = {"lr": [0.1], "weight_decay": [0.1]} | {key: [0.1, value]}
    with pytest.raises(ExperimentError, match=rf"\[grid\] {key}"):
        dataclasses.replace(tiny(), grid=grid)


def test_pairs_stand_for_the_axes():
    along = dataclasses.replace(tiny(), grid={"pairs": [[0.1, 0.2], [0.4, 0.05]]})
    assert [(run.lr, run.weight_decay) for run in along.runs] == [(0.1, 0.2), (0.4, 0.05)]
    assert Experiment.from_toml(along.to_toml()) == along
    with pytest.raises(ExperimentError, match="reaches 8"):
        dataclasses.replace(along, grid={"pairs": [[2.0, 4.0]]})


def test_difference_names_the_first_key():
    other = tiny(("batch_size = 16", "batch_size = 32"), ("blocks = 10", "blocks = 8"))
    assert tiny().difference(other) == "[training] batch_size = 32, not 16"
    assert tiny().difference(tiny()) is None
    assert tiny(("seeds = [3]", "seeds = [4]")).difference(tiny()) == "seeds = [3], not [4]"


@pytest.mark.parametrize(
    ("check", "good", "bad"),
    [
        (rate, 1.01e-30, 0.99e-30),
        (rate, 0.99e30, 1.01e30),
        (axis, {"log10": [-2, -1], "count": 100_000}, {"log10": [-2, -1], "count": 100_001}),
        (axis, {"log10": [-30, -1], "count": 2}, {"log10": [-30.1, -1], "count": 2}),
        (share, 0.99, 1.0),
        (integer(2), 2**63 - 1, 2**63),
    ],
)
def test_a_limit_from_both_sides(check, good, bad):
    check(good)
    with pytest.raises(ValueError, match="must"):
        check(bad)


def test_a_bound_that_is_excluded_is_no_value():
    assert number(above=0)(1e-300) == 1e-300
    with pytest.raises(ValueError, match="must be a number above 0"):
        number(above=0)(0)


def test_rates_of_an_axis_have_twelve_digits_on_every_machine():
    assert axis({"log10": [-2, -1], "count": 3}) == (0.01, 0.0316227766017, 0.1)


@pytest.mark.parametrize("rates", [{"lr": 0.1, "weight_decay": 0.01}, {"lr": 0.1, "weight_decay": None, "radius": 2.0}])
def test_a_run_equals_itself_field_by_field(rates):
    """As Python 3.13 compares dataclasses; NaN for what a protocol does not fix would differ from itself."""
    run, again = (Run(**rates, seed=1, protocol="fixed-lr", optimizer="sgd") for _ in range(2))
    assert {run: "found"}[again] == "found"
    for field in dataclasses.fields(run):
        assert getattr(run, field.name) == getattr(again, field.name), field.name
    assert math.isnan(run.number("effective_lr"))


def test_the_random_numbers_of_a_run_have_the_address_they_had():
    run = Run(lr=0.1, weight_decay=None, radius=2.0, seed=1, protocol="fixed-sphere", optimizer="sgd")
    address = "fixed-sphere|sgd|lr=0.1|radius=2.0|seed=1"
    assert identity(run) == int.from_bytes(hashlib.sha256(address.encode()).digest(), "big")
    gas = GasRun(**dataclasses.asdict(run), start=3.0)
    address = "isotropic|d=3|protocol='fixed-sphere'|optimizer='sgd'|lr=0.1|effective_lr=nan|weight_decay=nan"
    assert gas_identity(gas, 3) == hashlib.sha256(f"{address}|radius=2.0|start=3.0|seed=1".encode()).digest()
