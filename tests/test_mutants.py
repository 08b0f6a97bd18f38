"""The battery of mutants: its files fit the code, and it tells caught, surviving, stale and broken mutants apart."""

import json
import subprocess
from collections import Counter

import pytest
from mutants import battery

SOURCE = "def gain(x):\n    return 2 * x + 1\n"
TESTS = "from empirics.toy.gain import gain\n\ndef test_gain():\n    assert gain(0) == 1\n"
CAUGHT = ("x + 1", "x - 1", "The gain is 2 too small.")
SURVIVES = ("2 * x", "3 * x", "The gain grows too fast.")


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A project of one file and one test, and the function that runs mutants of it."""
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    monkeypatch.setattr(battery, "LIBRARIES", ("pytest",))
    root = tmp_path / "project"
    for name, text in (("empirics/toy/gain.py", SOURCE), ("tests/empirics/toy/test_gain.py", TESTS)):
        (root / name).parent.mkdir(parents=True)
        (root / name).write_text(text)
    (root / "pytest.ini").write_text("[pytest]\nmarkers = long\n")
    subprocess.run(["git", "init", "-q"], cwd=root, check=True)

    def run(*mutants, words=("--workers", "1")):
        """Each mutant is (before, after, notice) and perhaps the reason why it survives."""
        folder = tmp_path / "mutants"
        folder.mkdir(exist_ok=True)
        names = ("before", "after", "notice", "survives")
        lines = []
        for one in mutants:
            lines += ["[[mutant]]", 'file = "empirics/toy/gain.py"', 'tests = "tests/empirics/toy/test_gain.py"']
            lines += [f"{name} = {json.dumps(value)}" for name, value in zip(names, one, strict=False)]
        (folder / "toy.toml").write_text("\n".join(lines))
        return battery.main(list(words), root, folder)

    run.root = root
    return run


def test_a_caught_and_a_surviving_mutant(project, capsys):
    assert project(CAUGHT, SURVIVES) == 1
    said = capsys.readouterr().out
    assert "2 mutants, 1 caught\n" in said
    assert "too small. Caught by tests/empirics/toy/test_gain.py::test_gain" in said
    assert "too fast. SURVIVED" in said
    assert (project.root / "empirics/toy/gain.py").read_text() == SOURCE
    # The surviving one may be listed with its reason, what was found is kept, and a caught one may not be listed.
    assert project(CAUGHT, (*SURVIVES, "The test is too weak.")) == 0
    said = capsys.readouterr().out
    assert "Reason: The test is too weak." in said
    assert "SURVIVED" not in said
    result = project.root / "counts.json"
    project(CAUGHT, (*SURVIVES, "Why."), words=("--sample", "1", "--result", str(result)))
    assert not result.exists(), "a sample is not the battery"
    project(CAUGHT, (*SURVIVES, "Why."), words=("--result", str(result)))
    found = json.loads(result.read_text())
    assert (found["mutants"], found["caught"], found["rooms"]) == (2, 1, {"toy": [2, 1]})
    assert found["survived"] == ["empirics/toy/gain.py: The gain grows too fast. Why."]
    assert project((*CAUGHT, "Not true.")) == 1
    assert "listed as a survivor, but caught" in capsys.readouterr().out


def test_what_is_kept_is_kept_of_these_tests_only(project, capsys):
    project(CAUGHT, SURVIVES)
    tests = project.root / "tests/empirics/toy/test_gain.py"
    tests.write_text(f"{TESTS}    assert gain(1) == 3\n")
    capsys.readouterr()
    assert project(CAUGHT, SURVIVES) == 0
    assert "2 mutants, 2 caught" in capsys.readouterr().out


def test_a_stale_mutant_is_named(project, capsys):
    assert project(("x + 2", "x", "Nothing."), CAUGHT) == 1
    said = capsys.readouterr().out
    assert "stale mutant: empirics/toy/gain.py has 0 times 'x + 2'" in said
    assert "Caught" not in said


@pytest.mark.parametrize(
    ("mutant", "says"), [(("x + 1", "x +", "?"), "no Python"), (("x + 1", "y + 1", "?"), "pytest ended with 1")]
)
def test_a_mutant_that_is_no_program_is_not_caught(project, capsys, mutant, says):
    assert project(mutant) == 1
    said = capsys.readouterr().out
    assert "1 mutants, 0 caught" in said
    assert says in said


def test_tests_that_fail_without_a_mutant_are_an_error(project, capsys):
    (project.root / "tests/empirics/toy/test_gain.py").write_text(TESTS.replace("== 1", "== 7"))
    assert project(CAUGHT) == 1
    said = capsys.readouterr().out
    assert "without a mutant, the tests of toy fail" in said
    assert "assert 1 == 7" in said
    assert "1 mutants, 0 caught" in said


@pytest.fixture
def stub(monkeypatch):
    """Stands in for pytest, which takes seconds: fails where "x + 1" is gone, and hangs where a loop has no end."""

    def pytest_run(copy, tests, cache, seconds=0):
        text = (copy.folder / "empirics/toy/gain.py").read_text()
        if "while True" in text:
            return -1, "after 5 s"
        return (0, "") if "x + 1\n" in text else (1, "FAILED test_gain.py::test_gain - assert 0")

    monkeypatch.setattr(battery.Copy, "pytest", pytest_run)


@pytest.mark.usefixtures("stub")
def test_a_mutant_that_hangs_is_caught(project, capsys):
    assert project(("    return", "    while True: pass\n    return", "It never ends.")) == 0
    assert "Caught by a time limit: hangs after 5 s" in capsys.readouterr().out


@pytest.mark.usefixtures("stub")
def test_a_sample_and_a_list(project, capsys):
    many = [("x + 1", f"x + {n}", f"Mutant {n}.") for n in range(20, 27)]
    assert project(*many, words=("--sample", "0")) == 0
    said = capsys.readouterr().out.splitlines()
    assert said == [f"empirics/toy/gain.py: Mutant {n}." for n in range(20, 27)] + ["7 mutants"]
    assert project(*many, words=("--sample", "2", "--seed", "3", "--workers", "2")) == 0
    assert "2 mutants, 2 caught" in capsys.readouterr().out
    assert project(*many) == 0
    said = capsys.readouterr().out
    assert "7 mutants, 7 caught" in said
    assert said.count("Caught by") == 5, "two are known from the sample"


def test_a_file_that_goes_into_a_kernel_gets_a_cache_of_its_own():
    def of(name):
        return battery.compiled(battery.ROOT / "empirics" / name)

    assert of("training/philox_formulas.py")
    assert of("isotropic/kernels.py")
    assert of("models/kernels/lanes.py")
    assert not of("training/summary.py")
    assert not of("claims/fits.py")


def test_the_mutants_fit_the_code():
    mutants = battery.read(battery.ROOT / "tests/mutants")
    assert not battery.wrong(mutants, battery.ROOT)
    assert not [one for one in mutants if not one.notice.endswith(".")]
    assert len({(one.file, one.before, one.after) for one in mutants}) == len(mutants)
    count = Counter(one.room for one in mutants)
    assert len(mutants) >= 200
    assert min(count.values()) >= 5, count
