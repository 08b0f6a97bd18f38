"""What the test run says at its end counts what was executed."""

from types import SimpleNamespace

import conftest


class Reporter:
    """Stands in for pytest's: reports go in, lines come out."""

    def __init__(self, *reports):
        self.stats = {"passed": [SimpleNamespace(user_properties=list(properties)) for properties in reports]}
        self.lines = []

    def section(self, title):
        self.lines.append(title)

    def write_line(self, line):
        self.lines.append(line)


def test_counts_add_up_over_reports():
    reporter = Reporter(
        [("derivations verified", 1), ("steps verified", 7)],
        [("derivations verified", 1), ("steps verified", 5)],
        [("doctest examples", 3)],
        [("mutants", 40), ("mutant missed", "radius, step 2")],
        [],
    )
    conftest.pytest_terminal_summary(reporter)
    assert reporter.lines == [
        "executed",
        "2 derivations verified",
        "3 doctest examples",
        "40 mutants, 39 of them caught",
        "12 steps verified",
        "  not caught: radius, step 2",
    ]


def test_nothing_is_said_of_nothing():
    reporter = Reporter([])
    conftest.pytest_terminal_summary(reporter)
    assert reporter.lines == []
