"""Formulas of the page: every derivation that a claim is compared with can be set as MathML."""

import xml.etree.ElementTree as ET

import pytest

from empirics.claims import claims
from empirics.pages.formulas import compared
from thermo_theory import PROTOCOLS, FixedLR, derive


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_every_formula_that_is_compared_is_set(protocol):
    laws = {
        law.name: law
        for claim in claims().values()
        for said in claim.statements
        if protocol in claim.protocols and "sgd" in (said.optimizers or ("sgd",))
        for law in compared(said.derivations, protocol)
    }
    assert laws
    for law in laws.values():
        formula = ET.fromstring(law.mathml)
        assert (formula.tag, formula.get("display")) == ("math", "block")
        # A command that is not known is left in the text.
        assert "\\" not in "".join(formula.itertext()), law.latex


def test_what_a_formula_needs_is_what_is_computed():
    adamw = derive("maxwell-from-symmetry", FixedLR.with_optimizer("adamw"))
    (law,) = compared((adamw.name,), "fixed-lr", "adamw")
    assert adamw.needs() == (frozenset({"eps = 0", "scale invariance", "stationarity"}),)
    assert law.needs == "scale invariance, stationarity and eps = 0"
    # The steps of the chain use more than the claim needs, and the page says which.
    (law,) = compared(("ideal-gas-law",), "fixed-sphere")
    chain = derive("ideal-gas-law", "fixed-sphere")
    (needed,) = chain.needs()
    both = law.needs.removesuffix(")").split(" (the steps of this derivation also use ")
    listed = [set(words.replace(" and ", ", ").split(", ")) for words in both]
    assert listed == [one for one in (needed, set(chain.assumptions) - needed) if one]


def test_vectors_and_means_are_set_as_in_the_book():
    (law,) = compared(("configurational-temperature",), "fixed-lr")
    assert law.latex.startswith(r"\mathbb{E}\left[\nabla L_{u} \cdot \nabla L_{u}\right] = T")
    text = "".join(ET.fromstring(law.mathml).itertext())
    assert text == "𝔼[∇Lu·∇Lu]=T𝔼[ΔL]"
