"""Bad input of more than 200 kinds through the command line: exit code, one line, nothing executed, nothing lost.

``python -m pytest tests/empirics/fuzz -m long -s`` tries every kind several times; the seed is printed, and
``FUZZ_SEED`` gives it back. A case is known by its seed, surface and name, and what was found once stands in `KEPT`.
"""

import contextlib
import hashlib
import io
import os
import random
import re
import resource
import shutil
import signal
import sys
import time
import warnings
from collections import Counter
from pathlib import Path

import pytest
from damages import ANY, DAMAGES, DIFFER, REFUSE, SAME, Valid
from kill_and_resume import program
from tiny import tiny

import empirics
from empirics import cli

#: Limits of a case: seconds of computing and of waiting, MB of memory beyond what was in use, length of a message.
COMPUTING, WAITING, MEGABYTES, LONGEST = 30, 300, 700, 1200

#: Every so many cases one more runs in a process of its own, whose exit code must be the same.
SAMPLE = 60

KINDS = [(surface, name) for surface, damages in DAMAGES.items() for name in damages]

#: What was found once, by surface, and the seeds that find it again where it is not any.
FOUND = {
    "toml": [f"value {'1' * 20}", "nested lists", "nested tables", "a name that is a path, ../evil"],
    "csv": ["a zero byte"],
    "json": ["a duplicated key", "5000 digits"],
    "npz": ["a shape of 5000 digits", "a file that is no array"],
    "images": ["a link to itself", "links in a ring", "a hard link to nothing", "an image beyond the warning"],
    "checkpoints": ["complex", "a step nan", "a step below 0", "a step of 400 digits", "a seed of 400 digits"],
    "folder": [
        *("provenance: nested", "group: removed", "variable: removed", "group: a flipped bit"),
        *("group: a folder instead", "variable: a folder instead"),
    ],
    "words": ["schedule --hold", "import --out"],
}
SEEDS = {
    "provenance: nested": "6",
    "group: removed": "11",
    "variable: removed": "6",
    "schedule --hold": "2",
    "group: a flipped bit": "5",
    "status 1": "7",
    "group: a folder instead": "908759.0",
    "variable: a folder instead": "908759.3",
    "import --out": "908759.2",
}
KEPT = [(SEEDS.get(name, "1"), surface, name) for surface, names in FOUND.items() for name in names]


class Reached(Exception):
    """The training was reached: the input was accepted."""


class TooLongError(BaseException):
    """No part of the program catches this."""


def reached(*_):
    raise Reached


def late(*_):
    raise TooLongError


@pytest.fixture(scope="module")
def valid(tmp_path_factory):
    home = tmp_path_factory.mktemp("valid")
    finished = empirics.run(tiny(), home / "finished", progress=False).path
    return Valid(home, finished)


@pytest.fixture(autouse=True)
def untrained(monkeypatch):
    """Let the training count as reached, and forget where the test stood."""
    monkeypatch.setattr("empirics.running.dispatch.run_shard", reached)
    monkeypatch.chdir(Path.cwd())


def contents(folder):
    """Every file in a folder, with its content."""
    found = {}
    for path in sorted(folder.rglob("*")):
        if path.is_symlink():
            found[str(path)] = os.readlink(path)
        elif path.is_file():
            found[str(path)] = hashlib.sha256(path.read_bytes()).hexdigest()
    return found


def numbers(out):
    """What was understood: the experiment and its data, or the runs."""
    if (out / "results.zarr").is_dir():
        data = empirics.load(out).dataset
        return data.to_dataframe().sort_index(axis=1).to_csv() + str(data.attrs["dimension"])
    record = out / "provenance.json"
    data = re.findall(r'"sha256": "(\w+)"', record.read_text()) if record.exists() else []
    return (out / "experiment.toml").read_text() + "".join(data)


def called(words, main):
    """Call the command line; gives exit code (or what went wrong), stdout and stderr."""
    out = io.TextIOWrapper(io.BytesIO(), encoding="utf-8")
    err = io.TextIOWrapper(io.BytesIO(), encoding="utf-8", errors="backslashreplace")
    with contextlib.ExitStack() as stack:
        for number, timer, seconds in (
            (signal.SIGPROF, signal.ITIMER_PROF, COMPUTING),
            (signal.SIGALRM, signal.ITIMER_REAL, WAITING),
        ):
            stack.callback(signal.signal, number, signal.signal(number, late))
            stack.callback(signal.setitimer, timer, 0)
            signal.setitimer(timer, seconds)
        told = stack.enter_context(warnings.catch_warnings(record=True))
        warnings.simplefilter("always")
        stack.enter_context(contextlib.redirect_stdout(out))
        stack.enter_context(contextlib.redirect_stderr(err))
        try:
            code = main(words)
            out.flush()
        except TooLongError:
            code = "no end"
        except BaseException as error:
            code = f"raised {error!r}"
    err.flush()
    told = "".join(f"warning: {one.message}\n" for one in told)
    return code, out.buffer.getvalue().decode(), err.buffer.getvalue().decode() + told


class Case:
    """A damaged input, and what comes of it."""

    def __init__(self, valid, home, seed, surface, name, second=""):
        self.valid, self.home, self.key = valid, home, (seed, surface, name, second)
        dice = random.Random(f"{seed}/{surface}/{name}")
        self.scratch, self.executed = valid.scratch(surface, home, dice), home.parent / "executed"
        os.chdir(home)
        self.must, do = DAMAGES[surface][name]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            do(self.scratch, dice)
            if second:
                self.must = ANY
                with contextlib.suppress(Exception):  # there may be nothing left to damage
                    DAMAGES[surface][second][1](self.scratch, dice)
                self.scratch.names = []  # the message may be about either

    def wrong(self, main=cli.main):
        """Say what is wrong with how the program took it; nothing if nothing is."""
        files, memory = contents(self.home), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        code, out, err = called(self.scratch.words, main)
        accepted = code == 0 or (code == 1 and "Reached" in err)
        grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - memory) / 1000
        lines = [line for line in err.strip().splitlines() if "Reached" not in line]
        after = contents(self.home)
        told = any(name in err for name in self.scratch.names) or not self.scratch.names
        self.code = 0 if accepted else code
        checks = {
            "something was executed": self.executed.exists(),
            f"exit code {code}": not accepted and code != 2,
            "no line, or several": not accepted and not 1 <= len(lines) <= 3,
            "a traceback": "Traceback" in out + err,
            "a warning": "Warning" in err or "\nwarning:" in "\n" + err,
            "control characters": re.search(r"[\x00-\x08\x0b-\x1f\x7f\u202e]", err) and not accepted,
            "too long a message": not accepted and len(err) > LONGEST,
            f"the message does not name one of {self.scratch.names}": not accepted and not told,
            f"{grown:.0f} MB": grown > MEGABYTES,
            "a file was lost or changed": any(after.get(path) != one for path, one in files.items()),
            "something was written": not accepted and after.keys() - files.keys(),
            "accepted": accepted and self.must == REFUSE,
            "refused": not accepted and self.must == SAME,
        }
        found = [what for what, holds in checks.items() if holds]
        if accepted and not found and self.must in (SAME, DIFFER) and (self.same() != (self.must == SAME)):
            found.append("accepted as if it were undamaged" if self.must == DIFFER else "other numbers than undamaged")
        return f"{self.key} {self.scratch.words}: {', '.join(found)}: {err.strip()[:400]}" if found else ""

    def same(self):
        """Whether the numbers are those of the undamaged input, of the same random choices."""
        found = numbers(self.home / "out")
        os.chdir(self.home.parent)
        shutil.rmtree(self.home)
        whole = self.valid.scratch(self.key[1], self.home, random.Random("/".join(self.key[:3])))
        os.chdir(self.home)
        called(whole.words, cli.main)
        return numbers(self.home / "out") == found


def cases(seed):
    """Every kind in a random order, again and again; every fourth with a second damage."""
    dice = random.Random(seed)
    for turn in range(10**6):
        for surface, name in dice.sample(KINDS, len(KINDS)):
            second = dice.choice(list(DAMAGES[surface])) if dice.random() < 0.25 and turn else ""
            yield f"{seed}.{turn}", surface, name, second


def fuzz(valid, home, seconds, turns, most=10**9):
    """Try cases for some time, `most` at most; gives what went wrong, and the kinds of damage that were tried."""
    seed = os.environ.get("FUZZ_SEED", "7" if turns == 0 else str(random.SystemRandom().randrange(10**6)))
    began, counts, wrong, tried = time.monotonic(), Counter(), [], set()
    for number, (at, surface, name, second) in enumerate(cases(seed)):
        if number >= most or time.monotonic() - began > seconds or int(at.split(".")[1]) > turns:
            break
        case = Case(valid, home / "case", at, surface, name, second)
        if said := case.wrong():
            wrong.append(said)
        counts[surface, "accepted" if case.code == 0 else "refused"] += 1
        tried.add((surface, name))
        if turns and number % SAMPLE == 0 and surface != "folder" and case.code == 2:
            code, _, err = program(case.scratch.words, None, cwd=case.home)
            if code != 2 or len(err.strip().splitlines()) != 1:
                wrong.append(f"{case.key} in a process of its own: exit code {code}: {err[-300:]}")
        os.chdir(home)
        shutil.rmtree(home / "case")
        home.joinpath("executed").unlink(missing_ok=True)
    print(f"seed {seed}: {number} cases, {len(tried)} of {len(KINDS)} kinds, {time.monotonic() - began:.0f} s")
    print(*sorted(counts.items()), sep="\n")
    return wrong, tried


def test_a_sample_of_bad_input(valid, tmp_path):
    """The first cases of the first turn, always the same: however fast a machine is."""
    wrong, tried = fuzz(valid, tmp_path, float("inf"), 0, most=150)
    assert not wrong, "\n".join(wrong)
    assert len(tried) == 150


@pytest.mark.long
def test_bad_input_of_every_kind(valid, tmp_path, record_property):
    wrong, tried = fuzz(valid, tmp_path, float(os.environ.get("FUZZ_SECONDS", "900")), 3)
    record_property("kinds of bad input", len(tried))
    assert not wrong, "\n".join(wrong)
    assert len(tried) == len(KINDS), "too slow a machine, or too few seconds"


@pytest.mark.parametrize(("seed", "surface", "name"), KEPT)
def test_what_was_found_once(valid, tmp_path, seed, surface, name):
    assert not Case(valid, tmp_path / "case", seed, surface, name).wrong()


def says(*lines, code=2, do=lambda case: None):
    """A program that does something, prints lines and ends with a code."""

    def main(words):
        do(Path.cwd())
        print(*lines, sep="\n", file=sys.stderr)
        return code

    return main


def held(home):
    del home
    held.kept = bytearray(b"x") * (MEGABYTES + 300 << 20)
    held.kept = None


WRONG_PROGRAMS = {
    "accepted": says(code=0),
    "exit code 1": says("mine.toml", code=1),
    "raised": lambda words: words[9],
    "no line, or several": says(*["mine.toml"] * 4),
    "a traceback": says("Traceback of mine.toml"),
    "does not name": says("no"),
    "control characters": says("mine.toml \x1b[2J"),
    "too long": says("mine.toml" * LONGEST),
    "something was executed": says("mine.toml", do=lambda home: (home.parent / "executed").touch()),
    "a file was lost or changed": says("mine.toml", do=lambda home: (home / "mine.toml").write_text("")),
    "something was written": says("mine.toml", do=lambda home: (home / "out.txt").touch()),
    " MB": says("mine.toml", do=held),
    "a warning": says("mine.toml", do=lambda home: warnings.warn("mine", stacklevel=1)),
}


@pytest.mark.parametrize("fault", WRONG_PROGRAMS)
def test_the_fuzzer_sees_what_is_wrong(valid, tmp_path, fault):
    case = Case(valid, tmp_path / "case", "7", "toml", "no equals sign")
    assert fault in case.wrong(WRONG_PROGRAMS[fault])


def test_the_fuzzer_sees_a_program_without_end_and_numbers_that_did_not_change(valid, tmp_path, monkeypatch):
    monkeypatch.setattr("test_fuzz.COMPUTING", 0.2)
    assert "no end" in Case(valid, tmp_path / "case", "7", "toml", "empty").wrong(
        lambda words: [0 for _ in iter(int, 1)]
    )
    shutil.rmtree(tmp_path / "case")
    monkeypatch.setitem(DAMAGES["csv"], "nothing", (DIFFER, lambda s, dice: None))
    assert "as if it were undamaged" in Case(valid, tmp_path / "case", "7", "csv", "nothing").wrong()
