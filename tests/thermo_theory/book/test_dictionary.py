"""The dictionary optimisation <-> thermodynamics: every word of it leads somewhere; and the table of gases."""

import dataclasses
from functools import cache

import pytest
import sympy as sp

from thermo_theory import FixedLR, derivations, derive, dictionary
from thermo_theory.book import gases as module
from thermo_theory.book.gases import gases
from thermo_theory.symbols import R_k, d, degree, eta, gain, glossary, lam, p, r, sigma
from thermo_theory.symbols.vectors import Expectation


def test_every_derivation_it_names_exists():
    known = {found.name for found in derivations()}
    named = {name for row in dictionary() for name in row.derivations}
    assert named <= known, named - known
    assert all(row.derivations for row in dictionary())


def test_every_symbol_with_a_twin_is_in_it():
    shown = {symbol for row in dictionary() for symbol in row.symbols}
    assert shown <= set(glossary)
    assert {symbol for symbol, info in glossary.items() if info.twin} <= shown


def test_it_prints_as_a_table():
    rows = dictionary()
    text = str(rows)
    assert len(text.splitlines()) == len(rows) + 2
    (line,) = [line for line in text.splitlines() if line.startswith("weight decay")]
    assert "pressure" in line
    assert "λ, p" in line
    assert "ideal-gas-law" in line
    assert max(map(len, text.splitlines())) < 180


def test_it_is_html_in_a_notebook_and_markdown_on_a_page():
    rows = dictionary()
    assert rows._repr_html_().count("<tr>") == len(rows) + 1
    assert r"<td>$\lambda$, $p$</td>" in rows._repr_html_()
    assert "<td>loss/weight^2</td>" in rows._repr_html_()
    lines = rows.to_markdown().splitlines()
    assert len(lines) == len(rows) + 2
    assert {line.count("|") for line in lines} == {6}


def test_it_is_a_sequence():
    rows = dictionary()
    (row,) = [row for row in rows if row.symbols == (lam, p)]
    assert (row.optimisation, row.thermodynamics) == ("weight decay", "pressure")
    assert list(rows[:2]) == [rows[0], rows[1]]
    assert str(rows[:2]).count("\n") == 3


@cache
def by_optimizer():
    return {row.optimizer: row for row in gases()}


#: What the paper and a page of algebra say: degree, p, V, R, index, adiabat.
BY_HAND = {
    "SGD": (1, lam, Expectation(r**2) / 2, (d - 1) / 2, 2, eta),
    "momentum": (1, lam, r**2 / 2, (d - 1) / 2, 2, eta),
    "Nesterov": (1, lam, r**2 / 2, (d - 1) / 2, 2, eta),
    "AdamW": (0, lam * sigma * sp.sqrt((d - 1) / d), r, d - 1, 3, eta**3 / lam),
    "Adam with L2": (0, lam, r**2 / 2, (d - 1) / 2, 2, eta**4 / lam),
    **dict.fromkeys(("signSGD", "Lion", "normalised SGD", "Muon"), (0, lam / gain, r, d - 1, 3, eta**3 / lam)),
}


@pytest.mark.parametrize("name", BY_HAND)
def test_the_gas_of_an_optimiser(name):
    row = by_optimizer()[name]
    found = (row.degree, row.pressure, row.volume, row.constant, row.index, row.adiabat)
    assert [sp.simplify(one - other) for one, other in zip(found, BY_HAND[name], strict=True)] == [0] * 6


@pytest.mark.parametrize("name", BY_HAND)
def test_the_gases_of_any_degree_have_the_others_as_special_cases(name):
    decay = "coupled" if name in ("momentum", "Nesterov", "Adam with L2") else "decoupled"
    row, general = by_optimizer()[name], by_optimizer()[f"any of degree k, {decay} decay"]
    assert sp.simplify(sp.sympify(general.index).subs(degree, row.degree) - row.index) == 0
    assert sp.simplify(general.constant.subs(degree, row.degree) - row.constant) == 0
    ours, theirs = (_slopes(one.subs(degree, row.degree)) for one in (row.adiabat, general.adiabat))
    assert sp.simplify(ours[0] * theirs[1] - ours[1] * theirs[0]) == 0


def _slopes(adiabat):
    """Powers of the rates; an adiabat is the same at any power of it."""
    return [sp.simplify(rate * sp.diff(sp.log(adiabat), rate)) for rate in (eta, lam)]


def test_the_adiabat_is_that_of_the_slopes_of_the_entropy():
    by_rate = {step.equation.lhs.args[0]: step.equation.rhs for step in derive("homogeneous-slopes").steps[-5:]}
    slopes = [by_rate[rate] / R_k for rate in (eta, lam)]
    adiabat = by_optimizer()["any of degree k, decoupled decay"].adiabat
    ours = _slopes(adiabat)
    assert sp.simplify(slopes[0] * ours[1] - slopes[1] * ours[0]) == 0


def test_a_gas_with_another_pressure_has_another_adiabat():
    law = derive("adamw-gas")
    place = next(n for n, step in enumerate(law.steps) if step.equation.lhs == p)
    wrong = dataclasses.replace(law.steps[place], equation=sp.Eq(p, lam**2))
    changed = dataclasses.replace(law, steps=(*law.steps[:place], wrong, *law.steps[place + 1 :]))
    row = module._entry("AdamW", changed, derive("radius", FixedLR.with_optimizer("adamw")), sp.S.Zero)
    assert row.adiabat != by_optimizer()["AdamW"].adiabat


def test_trust_ratios_have_no_gas():
    assert not {"LARS", "LAMB"} & set(by_optimizer())


def test_gases_print_as_a_table():
    rows = gases()
    lines = str(rows).splitlines()
    assert len(lines) == len(rows) + 2 == len(rows._repr_html_().split("<tr>"))
    (line,) = [line for line in lines if line.startswith("AdamW")]
    assert "η³/λ" in line
    assert r"| $\frac{\eta^{3}}{\lambda}$ |" in rows.to_markdown()
