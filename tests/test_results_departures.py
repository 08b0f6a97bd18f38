"""What the page on departures from the ideal gas fits, and how averages and schedules are judged."""

import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import xarray as xr

PAGES = Path(__file__).parents[1] / "docs" / "results"


@pytest.fixture
def script(monkeypatch):
    """Import a script of docs/results by name, and forget it."""
    monkeypatch.syspath_prepend(str(PAGES))
    known = set(sys.modules)
    yield lambda name: __import__(name)
    for name in set(sys.modules) - known:
        if str(PAGES) in str(getattr(sys.modules[name], "__file__", "")):
            del sys.modules[name]


def gas(form, *given, size=5):
    """Runs of a real gas on a grid: at every volume and temperature the weight decay that holds them."""
    work, volume = (one.ravel() for one in np.meshgrid(np.geomspace(0.02, 0.2, size), np.geomspace(1, 9, size)))
    decay = form(volume, work, *given) * work / volume
    # The noise that makes W what it is: lr, mean gradient and lr·wd/2 are small here, but for the last.
    rate = 0.01 + 0 * work
    noise = 4 * work * (1 - rate * decay / 2) / rate
    columns = {"lr": rate, "weight_decay": decay, "radius_sq": 2 * volume, "grad_variance": noise}
    columns |= {"grad_mean_sq": 0 * work, "radial_gradient": 0 * work}
    return SimpleNamespace(dataset=xr.Dataset({name: ("run", of) for name, of in columns.items()}))


@pytest.mark.parametrize(
    ("form", "given"), [("van der Waals", (0.005, 0.4)), ("length scale", (-0.05, 0.4)), ("power law", (0.05, 0.7))]
)
def test_constants_of_a_real_gas_are_found_again_and_its_volume_at_a_pressure(script, form, given):
    module = script("departures")
    one = gas(module.FORMS[form][0], *given)
    assert module.constants(form, one) == pytest.approx(given, rel=1e-4)
    assert np.sqrt(module.missed("ideal gas", (), one).mean()) > 0.05  # and above its critical temperature
    assert module.volume_error(form, given, one) < 1e-6
    # (w, lr, wd, length²) -> (c w, c² lr, wd/c², c² length²) is a symmetry: the same gas with a tenth of the length
    for name, factor in {"lr": 0.1, "radius_sq": 0.1, "weight_decay": 10, "grad_variance": 10}.items():
        one.dataset[name] = one.dataset[name] * factor
    assert module.constants(form, one, length=0.1) == pytest.approx(given, rel=1e-3)


def test_best_rates_and_what_is_said_of_them(script):
    module = script("averaging")
    rates = np.geomspace(0.001, 1, 4)
    assert module.optimum(rates, np.array([3.0, 1.0, 1.0, 3.0])) == pytest.approx((10**-1.5, 0.75))
    assert module.optimum(rates, np.array([1.0, 2.0, 3.0, 4.0])) == (rates[0], 1.0)
    rng = np.random.default_rng(0)
    curves = [[(np.log10(rates) - best) ** 2 + 1e-3 * rng.standard_normal(4) for best in (-2, -1)] for _ in range(6)]
    said = module.best_rate({"rates": rates, "losses": curves})
    assert (said["best_said"], said["best_ratio"][:5]) == ("higher", "+1.00")
    same = module.best_rate({"rates": rates, "losses": [[one[0], one[0]] for one in curves]})
    assert same["best_said"] == "the same"


@pytest.mark.parametrize(
    ("mean", "half", "word"),
    [(0.0, 0.009, "as good"), (0.02, 0.01, "worse"), (-0.02, 0.01, "better"), (0.008, 0.02, "inconclusive")],
)
def test_the_verdict_on_a_difference_of_test_losses(script, mean, half, word):
    assert script("schedules").said(mean, half) == word


def test_choices_are_made_by_the_mean_over_seeds(script):
    module = script("schedules")
    losses = {
        "cosine": [0.4, 0.3],
        "entropy as share^2, 6.9 R in all": [0.5, 0.2],
        "entropy rate, 6.9 R in all": [0.1, 0.9],
    }
    by_name = {name: np.repeat(np.array(of)[:, None, None], 3, axis=1) * np.ones(3) for name, of in losses.items()}
    found = {rival: (name, k) for rival, name, k in module.chosen(by_name)}
    assert found["cosine"] == ("cosine", 1)
    assert found["exponent chosen"] == ("entropy as share^2, 6.9 R in all", 1)
    assert found["constant rate"] == ("entropy rate, 6.9 R in all", 0)
