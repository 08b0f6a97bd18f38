"""A plugin of pytest for tests that take hours: a record of those that passed, so that an interrupted run goes on.

``python -m pytest -p tests.continued --continued RECORD --result FILE ...`` leaves out the tests that have passed on
the same files, as the record says, and when all have passed writes what was counted, with its date, to FILE. With
``--mended`` what passed before a mend counts, too: FILE says how many tests passed at which commit.
"""

import hashlib
import json
import os
import platform
import subprocess
import time
from collections import Counter
from pathlib import Path

import pytest


def pytest_addoption(parser):
    parser.addoption("--continued", type=Path, required=True, help="Record of the tests that have passed.")
    parser.addoption("--mended", action="store_true", help="Keep what has passed on other files.")
    parser.addoption("--result", type=Path, required=True, help="Where the counts go when all have passed.")


def pytest_configure(config):
    config.pluginmanager.register(Record(config), "continued tests")


def git(*words):
    return subprocess.run(["git", *words], capture_output=True, text=True, check=False).stdout.strip()


class Record:
    """Lines of JSON: the files that were tested, then a line for every test that passed or was skipped."""

    def __init__(self, config):
        self.path, self.result = config.getoption("continued"), config.getoption("result")
        self.writes = not hasattr(config, "workerinput")  # the workers of xdist read it alone
        files = (".", ":!docs/check-*.json")  # what this writes changes nothing that is tested
        state = git("ls-files", "--stage", "--", *files) + git("diff", "--", *files)
        self.files = hashlib.sha256(state.encode()).hexdigest()
        lines = [json.loads(line) for line in self.path.read_text().splitlines()] if self.path.is_file() else []
        self.lines = lines[1:] if lines and (lines[0] == self.files or config.getoption("mended")) else []
        changed = "-changed" if git("status", "--porcelain", "-uno") else ""
        self.commit = git("rev-parse", "--short", "HEAD") + changed
        self.passed = {}  # lines of tests whose teardown is still to come, by test
        if self.writes and lines[:1] != [self.files]:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self.path.write_text("".join(json.dumps(line) + "\n" for line in [self.files, *self.lines]))

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, config, items):
        before = {line["test"] for line in self.lines}
        config.hook.pytest_deselected(items=[item for item in items if item.nodeid in before])
        items[:] = [item for item in items if item.nodeid not in before]

    def pytest_runtest_logreport(self, report):
        """Keep a test that has passed once its teardown has passed as well."""
        if not self.writes:
            return
        if report.skipped or (report.when == "call" and report.passed):
            counts = [pair for pair in report.user_properties if not report.skipped]
            line = {"test": report.nodeid, "outcome": report.outcome, "seconds": report.duration, "counts": counts}
            self.passed[report.nodeid] = line | {"commit": self.commit}
        elif report.when == "teardown" and report.passed and (line := self.passed.pop(report.nodeid, None)):
            self.lines.append(line)
            with self.path.open("a") as file:
                file.write(json.dumps(line) + "\n")

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session, exitstatus):
        if (
            not self.writes
            or not self.lines
            or exitstatus not in (pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED)
        ):
            return
        session.exitstatus = pytest.ExitCode.OK
        counts, listed = Counter(), {}
        for name, value in (pair for line in self.lines for pair in line["counts"]):
            if isinstance(value, (int, float)):
                counts[name] += value
            else:
                listed.setdefault(name, []).append(value)
        result = {
            "date": time.strftime("%Y-%m-%d", time.gmtime()),
            "commits": Counter(line["commit"] for line in self.lines if line["outcome"] == "passed"),
            "python": platform.python_version(),
            "cores": os.cpu_count(),
            "tests": sum(line["outcome"] == "passed" for line in self.lines),
            "skipped": sum(line["outcome"] == "skipped" for line in self.lines),
            "minutes": round(sum(line["seconds"] for line in self.lines) / 60, 1),
            "counts": dict(sorted(counts.items())),
            "listed": listed,
        }
        self.result.write_text(json.dumps(result, indent=1, ensure_ascii=False) + "\n")
