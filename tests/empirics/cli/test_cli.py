"""The command line: every verb, every refusal, what goes to stdout and what does not."""

import json
import signal
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from kill_and_resume import ended, until
from tiny import TINY

import empirics
from empirics import cli, steering
from empirics.claims import Verdict, Verdicts
from empirics.cli import app


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    """A finished small run, made by the command line."""
    folder = tmp_path_factory.mktemp("tiny")
    (folder / "tiny.toml").write_text(TINY)
    assert cli.main(["run", str(folder / "tiny.toml"), "--out", str(folder / "runs")]) == 0
    return folder / "runs"


def one_line(captured):
    """The line on stderr of a refusal; nothing else may be printed."""
    assert captured.out == ""
    lines = captured.err.strip().splitlines()
    assert len(lines) == 1, captured.err
    return lines[0]


def test_version_names_the_program(capsys):
    assert cli.main(["--version"]) == 0
    assert capsys.readouterr().out.startswith("thermo-theory ")


def test_no_verb_prints_the_help(capsys):
    assert cli.main([]) == 0
    out = capsys.readouterr().out
    assert all(verb in out for verb in ("list", "derive", "demo", "run", "resume", "status", "compare", "report"))


@pytest.mark.parametrize("verb", ["list", "derive", "demo", "run", "resume", "status", "compare", "report"])
def test_every_verb_has_a_help_with_an_example(verb, capsys):
    assert cli.main([verb, "--help"]) == 0
    out = capsys.readouterr().out
    assert f"Examples:\n    thermo-theory {verb}" in out


def test_list_and_derive_need_nothing_heavy():
    code = """
import sys
from empirics.cli import main
assert main(["list"]) == 0 and main(["derive", "radius"]) == 0
heavy = {"torch", "matplotlib", "sklearn", "jinja2", "zarr"} & set(sys.modules)
sys.exit(f"imported {heavy}" if heavy else 0)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_list_shows_derivations_claims_networks_and_experiments(capsys):
    assert cli.main(["list"]) == 0
    out = capsys.readouterr().out
    for title, entry in {"derivations": "maxwell", "claims": "V3", "networks": "mlp", "experiments": "digits"}.items():
        assert entry in out.split(f"{title} (")[1].split("\n\n")[0], title


def test_derive_prints_steps_and_takes_a_protocol(capsys):
    assert cli.main(["derive", "radius"]) == 0
    assert "radius, fixed LR" in capsys.readouterr().out
    assert cli.main(["derive", "radius", "--protocol", "fixed-elr", "--markdown"]) == 0
    assert "### radius, fixed ELR" in capsys.readouterr().out
    assert cli.main(["derive", "radius", "--latex"]) == 0
    assert r"\begin{equation}" in capsys.readouterr().out


def test_derive_takes_an_optimiser(capsys):
    for optimizer, title in {"momentum": "momentum", "nesterov": "Nesterov", "adamw": "AdamW", "adam-l2": "L2"}.items():
        assert cli.main(["derive", "temperature", "--optimizer", optimizer]) == 0
        assert title in capsys.readouterr().out.splitlines()[0]
    assert cli.main(["derive", "rotation", "--optimizer", "adamw"]) == 0
    assert capsys.readouterr().out.startswith("rotation-adamw")


def test_derive_takes_a_name_without_a_protocol(capsys):
    assert cli.main(["derive", "direction-diffusion"]) == 0
    assert "direction-diffusion" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (["lsit"], "list"),
        (["list", "--foo"], "--foo"),
        (["derive"], "NAME"),
        (["derive", "raduis"], "radius"),
        (["derive", "zzzz"], "thermo-theory list"),
        (["derive", "radius", "--protocol", "fixed"], "fixed-lr"),
        (["derive", "radius", "--optimizer", "adam"], "did you mean 'adamw'"),
        (["derive", "radius", "--optimizer", "adamw", "--protocol", "fixed-elr"], "fixed LR"),
        (["derive", "scaling-symmetry", "--optimizer", "adamw"], "not for"),
        (["derive", "radius", "--latex", "--markdown"], "not both"),
        (["run"], "FILE"),
        (["run", "nowhere.toml"], "nowhere.toml"),
        (["resume", "nowhere"], "nowhere"),
        (["status", "nowhere"], "nowhere"),
        (["compare", "nowhere"], "nowhere"),
        (["compare", "nowhere", "--format", "pdf"], "markdown"),
        (["report"], "DIR"),
        (["report", "nowhere"], "nowhere"),
        (["report", "nowhere", "--out", "page.pdf"], ".html"),
        (["report", "nowhere", "--out", "."], "folder"),
    ],
)
def test_a_wrong_request_is_one_line_and_writes_nothing(words, named, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert cli.main(words) == 2
    assert named in one_line(capsys.readouterr())
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("old", "new", "named"),
    [
        ('name = "tiny"', 'lerning_rate = 3\nname = "tiny"', "lerning_rate"),
        ("lr = [0.05, 0.1]", "lr = []", "lr"),
        ("lr = [0.05, 0.1]", "lr = [-0.05]", "lr"),
        ("batch_size = 16", 'batch_size = "many"', "batch_size"),
        ("[grid]", "[[[", "tiny.toml"),
    ],
)
def test_a_wrong_experiment_is_refused_before_anything_is_written(old, new, named, capsys, tmp_path):
    file = tmp_path / "tiny.toml"
    file.write_text(TINY.replace(old, new))
    assert cli.main(["run", str(file), "--out", str(tmp_path / "runs")]) == 2
    assert named in one_line(capsys.readouterr())
    assert list(tmp_path.iterdir()) == [file]


def test_a_folder_with_another_experiment_is_refused(tiny, capsys, tmp_path):
    other = tmp_path / "other.toml"
    other.write_text(TINY.replace("batch_size = 16", "batch_size = 8"))
    assert cli.main(["run", str(other), "--out", str(tiny)]) == 2
    assert "batch_size" in one_line(capsys.readouterr())


@pytest.mark.parametrize("where", [[], ["--cluster", "local:2"]], ids=["here", "cluster"])
@pytest.mark.parametrize("device", ["abacus", "meta", "xpu"])
def test_a_device_that_is_unknown_or_has_no_numbers_is_refused(device, where, capsys, tmp_path):
    file = tmp_path / "tiny.toml"
    file.write_text(TINY)
    assert cli.main(["run", str(file), "--out", str(tmp_path / "runs"), "--device", device, *where]) == 2
    assert device in one_line(capsys.readouterr())
    assert list(tmp_path.iterdir()) == [file]
    assert cli.main(["status", str(file)]) == 2
    assert f"{file} is a file" in one_line(capsys.readouterr())


def test_status_and_resume_of_a_finished_run_say_so(tiny, capsys):
    assert cli.main(["status", str(tiny)]) == 0
    assert "finished" in capsys.readouterr().out
    assert cli.main(["resume", str(tiny)]) == 0
    captured = capsys.readouterr()
    assert "finished" in captured.out
    assert "nothing to do" in captured.err


def test_compare_prints_only_json_when_asked(tiny, capsys):
    assert cli.main(["compare", str(tiny), "--format", "json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert "V3" in json.dumps(found)


def test_compare_prints_a_table_and_markdown(tiny, capsys):
    assert cli.main(["compare", str(tiny)]) == 0
    assert "V3" in capsys.readouterr().out
    assert cli.main(["compare", str(tiny), "--format", "markdown"]) == 0
    assert "|" in capsys.readouterr().out


@pytest.mark.parametrize(("kind", "code"), [("identity", 0), ("symmetry", 1), ("physics", 1)])
def test_strict_fails_on_symmetry_and_physics_only(kind, code, capsys, monkeypatch):
    judged = Verdicts([Verdict("V9", "a claim", "fixed-lr", kind, theory=1.0, verdict="disagrees")])
    monkeypatch.setattr(empirics, "load", lambda folder: None, raising=False)
    monkeypatch.setattr(empirics, "compare", lambda runs, claims: judged, raising=False)
    assert cli.main(["compare", "anywhere"]) == 0
    capsys.readouterr()
    assert cli.main(["compare", "anywhere", "--strict"]) == code
    assert ("V9" in capsys.readouterr().err) is bool(code)


def test_report_writes_beside_the_results_or_where_told(tiny, capsys, tmp_path):
    assert cli.main(["report", str(tiny)]) == 0
    assert capsys.readouterr().out.strip() == str(tiny / "report.html")
    assert 'id="verdicts"' in (tiny / "report.html").read_text(encoding="utf-8")
    for name, start in {"deep/page.md": "# ", "page.json": "{", "page.html": "<!DOCTYPE"}.items():
        assert cli.main(["report", str(tiny), "--out", str(tmp_path / name)]) == 0
        assert (tmp_path / name).read_text(encoding="utf-8").startswith(start)
    assert cli.main(["report", str(tiny), str(tiny), "--out", str(tmp_path / "page"), "--format", "json"]) == 0
    made = json.loads((tmp_path / "page").read_text(encoding="utf-8"))["experiments"]
    assert [experiment["name"] for experiment in made] == ["tiny (1)", "tiny (2)"]
    assert made[0]["verdicts"]


@pytest.mark.parametrize(("errors", "code"), [((), 0), (("V9: its code failed",), 1)])
def test_the_report_of_several_folders_is_in_the_first_and_a_failed_claim_ends_with_1(
    errors, code, capsys, monkeypatch
):
    monkeypatch.setattr(empirics, "load", lambda folder: folder, raising=False)
    monkeypatch.setattr(empirics, "compare", lambda runs, claims: SimpleNamespace(errors=errors), raising=False)
    monkeypatch.setattr(empirics, "report", lambda verdicts, path, **form: f"{path} {form}", raising=False)
    assert cli.main(["report", "one", "two"]) == code
    said = capsys.readouterr()
    assert said.out.strip() == f"{Path('one') / 'report.html'} {{'format': 'html'}}"
    assert all(error in said.err for error in errors)
    cli.main(["report", "one", "--format", "markdown", "--out", "page.html"])  # the format goes before the name
    assert capsys.readouterr().out.strip() == "page.html {'format': 'markdown'}"


def test_a_schedule_is_checked_with_momentum_and_index(capsys):
    shared = ["--weight-decay", "0.01", "--steps", "1000", "--format", "json"]

    def said(kind, *words):
        assert cli.main(["schedule", kind, *shared, *words]) == 0
        return json.loads(capsys.readouterr().out)

    plain = said("isobar", "--lr", "0.1", "--factor", "0.5")
    fast = said("isobar", "--lr", "0.01", "--factor", "0.5", "--optimizer", "momentum", "--momentum", "0.9")
    needed = [one["quasi_static"]["needed_steps"] for one in (plain, fast)]
    assert needed[0] == pytest.approx(needed[1], rel=1e-3)
    assert said("cooldown", "--lr", "0.1", "--factor", "0")["quasi_static"]["needed_steps"] is None
    held = said("adiabat", "--lr", "0.1", "--factor", "4", "--index", "1.7")
    assert [row["entropy"] for row in held["points"]] == pytest.approx([0] * len(held["points"]), abs=1e-9)
    assert held["points"][-1]["lr"] != pytest.approx(0.1, rel=0.1)


@pytest.mark.parametrize(
    ("words", "plan", "slow"),
    [
        (
            "cooldown --factor 0.04 --shape sqrt --hold 500 --no-correct --relaxation-steps 3000",
            lambda: steering.cooldown(factor=0.04, steps=1000, shape="sqrt", hold=500, correct=False),
            {"relaxation_steps": 3000},
        ),
        (
            "entropy-rate --rate -1e-3 --along isochore --index 1.7 --optimizer adam-l2 --sigma 0.5 --dimension 30",
            lambda: steering.entropy_rate(rate=-1e-3, steps=1000, along="isochore", index=1.7, optimizer="adam-l2"),
            {"sigma": 0.5, "dimension": 30},
        ),
    ],
)
def test_every_option_of_a_schedule_reaches_its_plan_and_its_check(words, plan, slow, capsys):
    rates = ["--lr", "0.1", "--weight-decay", "0.01", "--steps", "1000", "--points", "5"]
    assert cli.main(["schedule", *words.split(), *rates, "--format", "json"]) == 0
    said, made = json.loads(capsys.readouterr().out), plan()
    for row in said["points"]:
        lr, decay = made.at(row["step"])
        assert (row["lr"], row["weight_decay"]) == pytest.approx((0.1 * lr, 0.01 * decay))
    check = steering.quasi_static(made, lr=0.1, weight_decay=0.01, **slow)
    assert said["quasi_static"] == {
        "holds": False, "steps": 1000, "needed_steps": check.needed, "lag_norm": check.lag_norm,
        "lag_energy": check.lag_energy, "until_step": check.until, "tolerance": 0.05,
    }  # fmt: skip
    assert check.lag_norm != check.lag_energy
    assert len(said["points"]) == 5


def test_demo_ends_with_the_path_of_the_page(capsys, tmp_path, monkeypatch):
    (tmp_path / "digits.toml").write_text(TINY)
    monkeypatch.setattr("empirics.cli.runs.shipped", lambda: {"digits": tmp_path / "digits.toml"})
    assert cli.main(["demo", "--out", str(tmp_path / "out")]) == 0
    captured = capsys.readouterr()
    assert Path(captured.out.strip().splitlines()[-1]) == tmp_path / "out" / "report.html"
    assert (tmp_path / "out" / "report.html").is_file()
    assert "V3" in captured.out


def test_the_shipped_experiment_is_readable():
    from empirics.experiment import Experiment

    assert len(Experiment.from_file(app.shipped()["digits"]).runs) == 49


@pytest.mark.parametrize("started", [True, False])
def test_an_interrupted_run_says_how_to_go_on(started, capsys, tmp_path, monkeypatch):
    (tmp_path / "tiny.toml").write_text(TINY)
    folder = tmp_path / "runs"

    def interrupted(experiment, out, **options):
        if started:
            out.mkdir()
            (out / "experiment.toml").write_text(TINY)
        raise KeyboardInterrupt

    monkeypatch.setattr(empirics, "run", interrupted, raising=False)
    assert cli.main(["run", str(tmp_path / "tiny.toml"), "--out", str(folder)]) == 130
    assert (f"thermo-theory resume {folder}" in capsys.readouterr().err) is started
    assert cli.main(["demo", "--out", str(tmp_path / "demo")]) == 130
    assert (f"thermo-theory demo --out {tmp_path / 'demo'}\n" in capsys.readouterr().err) is started


def test_ctrl_c_leaves_a_run_that_resume_knows(capsys, tmp_path):
    long = TINY.replace("steps = 160", "steps = 4_000_000").replace("spacing = 4", "spacing = 100_000")
    (tmp_path / "tiny.toml").write_text(long)
    folder = tmp_path / "runs"
    words = [sys.executable, "-m", "empirics.cli", "run", str(tmp_path / "tiny.toml"), "--out", str(folder)]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as running:
        try:
            until((folder / "experiment.toml").exists, running, folder)
            running.send_signal(signal.SIGINT)
            out, err = ended(running, folder)
        finally:
            running.kill()
    assert running.returncode == 130, err
    assert out == ""
    assert err.splitlines()[-1] == f"interrupted; to continue: thermo-theory resume {folder}"
    assert "Traceback" not in err
    assert cli.main(["status", str(folder)]) == 0
    assert "of the training done" in capsys.readouterr().out


@pytest.mark.parametrize("words", [["derive", "maxwell", "--protocol", "fixed-lr"], ["list"]])
def test_a_reader_that_goes_away_is_nobodys_error(words):
    command = [sys.executable, "-m", "empirics.cli", *words]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as running:
        running.stdout.close()
        assert running.stderr.read() == ""
    assert running.returncode == 1


def test_an_unexpected_failure_is_one_line_and_a_traceback_on_request(capsys, monkeypatch):
    def broken(folder):
        raise RuntimeError("the disk\nis full")

    monkeypatch.setattr(empirics, "status", broken, raising=False)
    monkeypatch.delenv("THERMO_THEORY_DEBUG", raising=False)
    assert cli.main(["status", "anywhere"]) == 1
    line = one_line(capsys.readouterr())
    assert "the disk is full" in line
    assert "--debug" in line
    assert cli.main(["--debug", "status", "anywhere"]) == 1
    assert "Traceback" in capsys.readouterr().err
    monkeypatch.setenv("THERMO_THEORY_DEBUG", "1")
    assert cli.main(["status", "anywhere"]) == 1
    assert "Traceback" in capsys.readouterr().err


def test_without_torch_one_line_names_the_extra(tmp_path):
    (tmp_path / "tiny.toml").write_text(TINY)
    code = """
import sys
sys.modules["torch"] = None
class Absent:
    def find_spec(self, name, path=None, target=None):
        if name == "torch":
            raise ModuleNotFoundError("No module named 'torch'", name="torch")
del sys.modules["torch"]
sys.meta_path.insert(0, Absent())
from empirics.cli import main
sys.exit(main(["run", sys.argv[1], "--out", sys.argv[2]]))
"""
    words = [sys.executable, "-c", code, str(tmp_path / "tiny.toml"), str(tmp_path / "runs")]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.strip() == (
        "thermo-theory: this needs torch, which is not installed: pip install 'thermo-theory[empirics]'"
    )
    assert not (tmp_path / "runs").exists()
