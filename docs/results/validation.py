"""What `make check-long` counted when it last passed, for the page of validation."""

import json

from stored import HERE

DOCS = HERE.parent


def parts(_):
    """The two results that `make check-long` writes, as a paragraph and two tables."""
    return {"check_long": _long(), "check_mutants": _mutants()}


def _read(name):
    path = DOCS / f"{name}.json"
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else None


def _long():
    if not (one := _read("check-long")):
        return "(No result of `make check-long` is stored.)"
    lines = [
        f"On {one['date']}, under Python {one['python']} on {one['cores']} cores, {one['tests']} tests passed "
        f"({_commits(one)}) and {one['skipped']} were skipped, in {one['minutes']:.0f} minutes of tests, several at a "
        "time.\n",
        "| counted | number |",
        "|---|---|",
    ]
    return lines + [f"| {name} | {number:,} |" for name, number in one["counts"].items()]


def _commits(one):
    """At which commit how many passed: after a mend the tests that had failed are run again, and no others."""
    return ", ".join(f"{number} at commit {commit}" for commit, number in one["commits"].items())


def _mutants():
    if not (one := _read("check-mutants")):
        return "(No result of `make check-mutants` is stored.)"
    lines = [f"On {one['date']}: {one['mutants']} mutants, {one['caught']} caught.\n", "| room | mutants | caught |"]
    rooms = [f"| {room} | {number} | {caught} |" for room, (number, caught) in one["rooms"].items()]
    return [*lines, "|---|---|---|", *rooms, *(f"\nSurvived: {text}" for text in one["survived"])]
