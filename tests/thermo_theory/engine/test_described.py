"""The help of every formula: what it names is there, and its example is run."""

import doctest
import inspect
import pydoc

import pytest
from cases import ALL, derived

from thermo_theory import FixedLR, Formula, vmf
from thermo_theory.engine.described import example
from thermo_theory.symbols import T, eq, eta, glossary


@pytest.mark.parametrize(("name", "protocol"), ALL)
def test_every_example_is_executed(name, protocol):
    found = derived(name, protocol)
    text = inspect.getdoc(found.claim)
    test = doctest.DocTestParser().get_doctest(text, {}, found.title, None, 0)
    assert len(test.examples) == 2
    assert doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE).run(test).failed == 0
    flat = " ".join(text.split())
    assert f"Source: {' '.join(found.source.split())}" in flat
    assert f"Assumes: {', '.join(found.assumptions)}".removesuffix("Assumes: ") in flat
    for info in glossary.values():
        if info.argument in found.claim.arguments and info.symbol in found.claim.equation.free_symbols:
            assert f"{info.argument}: {info.meaning}" in flat
    assert list(inspect.signature(found.claim).parameters) == [*found.claim.arguments, "invalid"]


def test_a_wrong_number_would_be_noticed():
    text = inspect.getdoc(FixedLR.temperature)
    wrong = doctest.DocTestParser().get_doctest(text.replace("0.0014", "0.0015"), {}, "wrong", None, 0)
    assert doctest.DocTestRunner(verbose=False).run(wrong, out=lambda _: None).failed == 1


def test_help_shows_units_of_the_optimiser_at_hand():
    assert "eta: learning rate [weight^2/(loss*iteration)]; > 0" in inspect.getdoc(FixedLR.radius)
    assert "eta: learning rate [weight/sqrt(iteration)]; > 0" in inspect.getdoc(FixedLR.with_optimizer("adamw").radius)
    page = pydoc.plain(pydoc.render_doc(vmf.energy))
    assert "d: number of scale-invariant weights; >= 2" in page
    assert "Assumes: Gibbs law" in page
    assert '>>> derive("vmf-energy").claim(d=101, T=0.01)' in page


def test_a_formula_of_ones_own_has_no_example_and_an_empty_domain_none():
    own = Formula(eq(T, eta))
    assert inspect.getdoc(own).startswith("An equation.\n\n    T = η\n\nT: temperature")
    assert ">>>" not in inspect.getdoc(own)
    with pytest.raises(LookupError, match="no example of"):
        example(Formula(eq(T, eta), domain=[eta > 2, eta < 2]))
