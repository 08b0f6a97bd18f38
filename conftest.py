"""What the test run says at its end: how much was proved, tried and shown, so that nothing goes unseen."""

from __future__ import annotations

import signal
from collections import Counter
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from _pytest.doctest import DoctestItem
from hypothesis import HealthCheck, settings

# A shell starts its background jobs with Ctrl-C ignored, and children inherit that: the tests of Ctrl-C need it heard.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


# Examples take as long as they take: a machine with every core busy is no failure.
settings.register_profile("busy", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("busy")

# What stands on a package that is an extra cannot be imported without it.
collect_ignore = [
    f"empirics/probe/{module}.py"
    for module, needs in (("lightning", ("lightning", "pytorch_lightning")), ("huggingface", ("transformers",)))
    if not any(find_spec(package) for package in needs)
]


GPU = Path(__file__).parent / "tests" / "gpu"


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Leave out tests/gpu unless it alone is asked for: its pretended card must come before torch."""
    return True if collection_path == GPU and not config.pluginmanager.has_plugin(str(GPU / "conftest.py")) else None


@pytest.fixture
def one_thread() -> Iterator[None]:
    """Torch on one thread: sums that are cut differently among threads round differently."""
    import torch  # the tests of the theory do without

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[None]:
    """Count the examples of a doctest; the count travels with the report, also from another process."""
    if isinstance(item, DoctestItem) and call.when == "call":
        item.user_properties.append(("doctest examples", len(item.dtest.examples)))
    return (yield)


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Print the counts: derivations verified, doctest examples and mutants executed, mutants missed, tests skipped."""
    totals: Counter[str] = Counter()
    missed: list[str] = []
    for outcome in ("passed", "failed"):
        for report in terminalreporter.stats.get(outcome, []):
            for name, value in getattr(report, "user_properties", []):
                if name == "mutant missed":
                    missed.append(value)
                else:
                    totals[name] += value
    if totals:
        terminalreporter.section("executed")
    for name in sorted(totals):
        caught = f", {totals[name] - len(missed)} of them caught" if name == "mutants" else ""
        terminalreporter.write_line(f"{totals[name]} {name}{caught}")
    for line in missed:
        terminalreporter.write_line(f"  not caught: {line}")
