"""Updates and losses that were once read, derived or checked wrongly."""

import pytest

from thermo_theory import Gas, Optimizer
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
