"""Hand-written changes of behaviour in empirics, one at a time: do the fast tests of the room notice?

``python tests/mutants/battery.py`` (``make check-mutants``) runs the mutants of the TOML files beside it, one file for
each folder of empirics (`top.toml` for its single modules). Of a mutant, `before` stands exactly once in `file`,
`notice` says what a user would notice, `tests` are run first and, if they pass, all fast tests of the room.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import queue
import random
import re
import shutil
import subprocess
import sys
import tempfile
import time
import tomllib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
LIMIT = 600  # seconds of one run of tests, after which a mutant counts as caught: it hangs
#: A test that fails with one of these has met a file that is no program, not a change of behaviour.
BROKEN = ("SyntaxError", "IndentationError", "ImportError", "ModuleNotFoundError", "NameError", "UnboundLocalError")
#: What is loaded before a test: neither what has a changed copy, nor numba, which reads its environment when it is
#: loaded, nor plugins of pytest, which must be loaded by it.
LIBRARIES = ("pytest", "torch", "scipy.stats", "scipy.optimize", "sympy", "pandas", "xarray", "matplotlib", "sklearn")


class BatteryError(Exception):
    """A stale or a broken mutant, or tests that fail without any."""


@dataclass(frozen=True)
class Mutant:
    room: str
    file: str
    before: str
    after: str
    notice: str
    tests: str
    survives: str = ""  # the reason why no fast test notices, which is rare

    def tests_of(self, root: Path, whole: bool) -> list[str]:
        """The tests that are run first, or all of the room: its folder of tests and the doctests of its sources."""
        if not whole:
            return self.tests.split()
        if self.room == "top":
            return [str(path.relative_to(root)) for path in sorted((root / "tests/empirics").glob("test_*.py"))]
        return [f"tests/empirics/{self.room}", f"empirics/{self.room}"]

    def mutated(self, root: Path) -> str:
        text = (root / self.file).read_text(encoding="utf-8")
        if (count := text.count(self.before)) != 1:
            raise BatteryError(f"stale mutant: {self.file} has {count} times {self.before!r} ({self.notice})")
        return text.replace(self.before, self.after)


def read(folder: Path, room: str = "") -> list[Mutant]:
    return [
        Mutant(path.stem, **entry)
        for path in sorted(folder.glob("*.toml"))
        if room in ("", path.stem)
        for entry in tomllib.loads(path.read_text(encoding="utf-8"))["mutant"]
    ]


def wrong(mutants: list[Mutant], root: Path) -> list[str]:
    """What is wrong with mutants before any is run: stale, equal to the code, no Python, in another room's file."""
    found = []
    for mutant in mutants:
        try:
            compile(mutant.mutated(root), mutant.file, "exec")
        except (BatteryError, OSError) as error:
            found.append(str(error))
        except SyntaxError as error:
            found.append(f"no Python: {mutant.file}, line {error.lineno}: {error.msg} ({mutant.notice})")
        parts = Path(mutant.file).parts
        if mutant.room != (parts[1] if len(parts) > 2 else "top"):
            found.append(f"{mutant.file} does not belong into {mutant.room}.toml")
        if mutant.before == mutant.after:
            found.append(f"{mutant.file}: nothing is changed ({mutant.notice})")
        missing = [one for one in mutant.tests.split() if not (root / one.split("::")[0]).exists()]
        found += [f"{mutant.file}: there is no {one} ({mutant.notice})" for one in missing]
    return found


def key(mutant: Mutant, root: Path, whole: bool) -> str:
    """Hash of all that decides an outcome: the mutant, the room's sources, and its first tests or all of them."""
    top = mutant.room == "top"
    paths = ["empirics" if top else f"empirics/{mutant.room}", *mutant.tests_of(root, whole)]
    made = hashlib.sha256(repr((mutant.file, mutant.before, mutant.after, mutant.tests)).encode())
    for path in (root / one.split("::")[0] for one in paths):
        for one in sorted(path.glob("*.py" if top else "**/*.py")) if path.is_dir() else [path]:
            made.update(one.read_bytes())
    return made.hexdigest()[:20]


def compiled(path: Path) -> bool:
    """Whether numba compiles a file or what stands in it; its cache on disk does not see every change of that."""
    jitted = [text for one in path.parent.glob("*.py") if "njit(" in (text := one.read_text(encoding="utf-8"))]
    return any(re.search(rf"\b{path.stem}\b", text) for text in jitted) or "njit(" in path.read_text(encoding="utf-8")


class Copy:
    """A copy of the files that git tracks or would, in which one mutant at a time is put and taken out."""

    def __init__(self, root: Path, folder: Path) -> None:
        self.folder, self.numba, self.changes = folder, folder.with_name(f"{folder.name}-numba"), 0
        self.warm: subprocess.Popen[str] | None = None
        listed = subprocess.run(
            ["git", "ls-files", "-coz", "--exclude-standard"], cwd=root, capture_output=True, check=True
        )
        for name in filter(None, listed.stdout.decode().split("\0")):
            if (root / name).exists():
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(root / name, folder / name, follow_symlinks=False)
        if (root / ".venv").exists():
            (folder / ".venv").symlink_to((root / ".venv").resolve())

    def pytest(self, tests: list[str], cache: Path, seconds: int = LIMIT) -> tuple[int, str]:
        """Exit code (-1: hangs) and output of fast tests, up to the first that fails."""
        words = ["-x", "-q", "-rfE", "-p", "no:cacheprovider", "-m", "not long", *tests]
        here = {"PYTHONPATH": str(self.folder), "NUMBA_CACHE_DIR": str(cache), "OMP_NUM_THREADS": "1"}
        if self.warm is None:
            program = [sys.executable, str(Path(__file__).with_name("warm.py")), *LIBRARIES]
            self.warm = subprocess.Popen(
                program, env=os.environ | here, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
            )
        assert self.warm.stdin
        assert self.warm.stdout
        print(json.dumps([str(self.folder), words, here, seconds]), file=self.warm.stdin, flush=True)
        code, said = json.loads(self.warm.stdout.readline())
        return (-1, f"after {seconds} s") if code == -1 else (code, said)

    def close(self) -> None:
        if self.warm:
            self.warm.communicate()

    def caught_by(self, mutant: Mutant) -> tuple[str, bool]:
        """The test that notices a mutant, empty if none does; and whether all tests of the room were needed."""
        path, text = self.folder / mutant.file, mutant.mutated(self.folder)
        before, stamp = path.read_bytes(), path.stat().st_mtime
        numba = self.folder.with_name(f"{self.folder.name}-{self.changes}") if compiled(path) else self.numba
        try:
            path.write_text(text, encoding="utf-8")
            self.changes += 1  # another second for every change, or Python takes the code it has stored
            os.utime(path, (stamp + self.changes, stamp + self.changes))
            for whole in (False, True):
                code, said = self.pytest(mutant.tests_of(self.folder, whole), numba)
                if code != 0:
                    return self._test(mutant, code, said), whole
        finally:
            path.write_bytes(before)
            os.utime(path, (stamp, stamp))
        return "", True

    def _test(self, mutant: Mutant, code: int, said: str) -> str:
        if code == -1:
            return f"a time limit: hangs {said}"
        failed = re.search(r"^(?:FAILED|ERROR) (\S+)(?: - (\w+))?", said, re.MULTILINE)
        if code != 1 or failed is None or failed[2] in BROKEN:
            raise BatteryError(f"{mutant.file} ({mutant.notice}): pytest ended with {code}: {said[-1500:]}")
        return failed[1]


def passes_unchanged(copy: Copy, mutants: list[Mutant]) -> str:
    """Why the first tests of mutants fail without any, when nothing that fails means anything; empty if they pass."""
    tests = sorted({one for mutant in mutants for one in mutant.tests.split()})
    code, said = copy.pytest(tests, copy.numba, 10 * LIMIT)  # nearly all of the room, perhaps on a busy machine
    return f"without a mutant, the tests of {mutants[0].room} fail: {said[-1500:]}" if code else ""


def stored(mutants: list[Mutant], root: Path, progress: Path) -> dict[Mutant, str]:
    lines = progress.read_text(encoding="utf-8").splitlines() if progress.exists() else []
    known = {one["key"]: one["caught"] for one in map(json.loads, lines)}
    keys = {mutant: [key(mutant, root, whole) for whole in (False, True)] for mutant in mutants}
    return {mutant: known[name] for mutant, names in keys.items() for name in names if name in known}


def run(mutants: list[Mutant], root: Path, workers: int, progress: Path, result: Path | None) -> int:
    outcomes = stored(mutants, root, progress)
    todo = [mutant for mutant in mutants if mutant not in outcomes]
    rooms = {mutant.room: [one for one in todo if one.room == mutant.room] for mutant in todo}
    errors: list[str] = []
    progress.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch, ThreadPoolExecutor(workers) as pool:
        copies: queue.Queue[Copy] = queue.Queue()
        for number in range(workers if todo else 0):
            copies.put(Copy(root, Path(scratch) / str(number)))

        def lent(work: Callable[[Copy, Any], Any], what: Any) -> Any:
            copy = copies.get()
            try:
                return work(copy, what)
            except BatteryError as error:
                errors.append(str(error))
                return None
            finally:
                copies.put(copy)

        def one(mutant: Mutant) -> None:
            if (found := lent(Copy.caught_by, mutant)) is None:
                return
            caught, whole = found
            outcomes[mutant] = caught
            print(f"{mutant.file}: {mutant.notice} {'Caught by ' + caught if caught else 'SURVIVED'}", flush=True)
            with progress.open("a", encoding="utf-8") as file:
                file.write(json.dumps({"key": key(mutant, root, whole), "caught": caught}) + "\n")

        errors += filter(None, pool.map(lambda some: lent(passes_unchanged, some), rooms.values()))
        list(pool.map(one, [] if errors else todo))
        while not copies.empty():
            copies.get().close()
    if result and len(outcomes) == len(mutants):
        result.write_text(json.dumps(counts(mutants, outcomes), indent=1) + "\n", encoding="utf-8")
    return summary(mutants, outcomes, errors)


def counts(mutants: list[Mutant], outcomes: dict[Mutant, str]) -> dict[str, Any]:
    """What a page says of the whole battery: the day, mutants and caught ones by room, survivors with reasons."""
    rooms = {mutant.room: [outcomes[one] for one in mutants if one.room == mutant.room] for mutant in mutants}
    return {
        "date": time.strftime("%Y-%m-%d", time.gmtime()),
        "mutants": len(mutants),
        "caught": sum(map(bool, outcomes.values())),
        "rooms": {room: [len(found), sum(map(bool, found))] for room, found in rooms.items()},
        "survived": [f"{one.file}: {one.notice} {one.survives}".strip() for one in mutants if not outcomes[one]],
    }


def summary(mutants: list[Mutant], outcomes: dict[Mutant, str], errors: list[str]) -> int:
    print(f"{len(mutants)} mutants, {sum(map(bool, outcomes.values()))} caught")
    wrong = len(errors)
    for mutant, caught in outcomes.items():
        if not caught:
            print(f"  survived: {mutant.file}: {mutant.notice} Reason: {mutant.survives or 'none is given'}")
        elif mutant.survives:
            print(f"  listed as a survivor, but caught by {caught}: {mutant.file}: {mutant.notice}")
        wrong += bool(caught) == bool(mutant.survives)
    for error in errors:
        print(f"  error of the battery: {error}")
    return int(wrong > 0)


def main(words: list[str] | None = None, root: Path = ROOT, folder: Path = Path(__file__).parent) -> int:
    parser = argparse.ArgumentParser(description="Run hand-written mutants of empirics against its fast tests.")
    parser.add_argument("--sample", type=int, help="how many to draw (default: all); 0 lists all and runs none")
    parser.add_argument("--seed", type=int, default=0, help="of the draw")
    parser.add_argument("--workers", type=int, default=2, help="how many to run at a time")
    parser.add_argument("--room", default="", help="one room only")
    parser.add_argument("--fresh", action="store_true", help="forget earlier outcomes (build/mutants.jsonl)")
    parser.add_argument("--result", type=Path, help="where the counts of the whole battery go, with the day")
    asked = parser.parse_args(words)
    mutants = read(folder, asked.room)
    if errors := wrong(mutants, root):
        return summary(mutants, {}, errors)
    if asked.sample == 0:
        for mutant in mutants:
            print(f"{mutant.file}: {mutant.notice}")
        print(f"{len(mutants)} mutants")
        return 0
    if asked.sample:
        mutants = random.Random(asked.seed).sample(mutants, min(asked.sample, len(mutants)))
    progress = root / "build/mutants.jsonl"
    if asked.fresh:
        progress.unlink(missing_ok=True)
    return run(mutants, root, asked.workers, progress, None if asked.sample or asked.room else asked.result)


if __name__ == "__main__":
    sys.exit(main())
