"""Updates and losses that were once read, derived or checked wrongly."""

from typing import Any

import numpy as np
import pytest

from thermo_theory import FixedLR, Gas, Harmonic, Optimizer, assumption, derivations, derive
from thermo_theory.symbols import T
from thermo_theory.updates import UpdateError


def test_a_second_moment_may_be_called_v() -> None:
    """A name of the glossary gives a buffer of another degree no unit."""
    adam = Optimizer("m = b*m + (1-b)*g; v = q*v + (1-q)*g**2; w = w - eta*(m/sqrt(v) + lam*w)")
    assert adam.derive("scaling-symmetry").verify()


def test_a_number_may_be_called_as_a_letter_of_the_theory() -> None:
    """k is the degree of a step, and here a number beside it."""
    assert Optimizer("w = w - eta*(k*g + lam*w)").derive("radius").verify()


@pytest.mark.parametrize("power", [2, 3, 4])
def test_steps_that_outgrow_decay_have_no_stationary_norm(power: int) -> None:
    """Simulated at degree -2 from 0.9 and 1.1 times the balance, |w| goes to 0 and to infinity."""
    with pytest.raises(UpdateError, match="no stationary norm"):
        Optimizer(f"w = w - eta*(g/norm(g)**{power} + lam*w)").radius  # noqa: B018


def test_numbers_alone_in_a_minimum() -> None:
    assert Optimizer("w = w - eta*(g + min(0, 0)*g + lam*w)").symmetry


@pytest.mark.parametrize(("loss", "d"), [("c^3", 50), ("1 - c^2", 300)])
def test_a_gas_far_from_the_equator_is_checked_there(loss: str, d: int) -> None:
    """Its weight at low temperature is where hardly any area is."""
    assert Gas(loss, d=d).verify()


WELL = Harmonic(np.diag([1.0, 2.0]), np.eye(2))


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: derivations(needs=3), "needs = 3: must be the name of an assumption"),  # type: ignore[arg-type]
        (lambda: derivations(about=3), "about = 3: must be words or a symbol"),  # type: ignore[arg-type]
        (lambda: assumption(3, "it holds"), "a line of text each; got 3: 'it holds'"),  # type: ignore[arg-type]
        (lambda: assumption("my\nown", "it holds"), "a line of text each"),
        (lambda: WELL.covariance("a"), "eta_eff = 'a': must be one positive number, or an expression"),
        (lambda: WELL.temperature([0.1, 0.2]), r"eta_eff = \[0.1, 0.2\]: must be one positive number"),
        (lambda: derive("ideal-gas-law", FixedLR).then("solve_for", "Q"), "has no Q; it has R, T, V, p"),
        (lambda: Optimizer("w = w - eta*g - lam*g").maxwell, "eta and lam scale alike in w = w - eta.g - lam.g"),
        (lambda: Optimizer("w = (1-lam)*w - eta*sign(g)").radius, r"beside a step of degree k, as w = w - eta\*\(u"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(call: Any, says: str) -> None:
    with pytest.raises(ValueError, match=says) as caught:
        call()
    assert "\n" not in str(caught.value)


def test_a_letter_may_be_given_by_its_name() -> None:
    law = derive("ideal-gas-law", FixedLR)
    assert law.then("solve_for", "T").claim.equation == law.then("solve_for", T).claim.equation
