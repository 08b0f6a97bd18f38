"""Tests on a card that is not there (see pretended_card.py); it must come before torch, so they run by themselves."""

from collections.abc import Iterator
from pathlib import Path

import pretended_library
import pytest

HOME = Path(__file__).parent
#: Why there is no card, if so.
MISSING: list[str] = []


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--write-budgets", action="store_true", help="write what is measured to tests/gpu/budgets.json")


def pytest_configure(config: pytest.Config) -> None:
    """Put the card into the process, unless tests of other folders are to run in it.

    Raises
    ------
    pytest.UsageError
        If they are.
    """
    here = config.invocation_params.dir
    if any(not (here / arg.partition("::")[0]).resolve().is_relative_to(HOME) for arg in config.args):
        raise pytest.UsageError("tests/gpu pretends a CUDA card before torch is imported: run it by itself")
    try:
        pretended_library.load()
        from pretended_card import install

        install()
    except pretended_library.Unavailable as reason:
        MISSING.append(str(reason))


@pytest.fixture
def card() -> Iterator["Ledger"]:  # noqa: F821 - it comes after torch
    """The card's ledger, empty."""
    if MISSING:
        pytest.skip(MISSING[0])
    from card_ledger import LEDGER

    LEDGER.clear()
    yield LEDGER
    LEDGER.mode = "default"
