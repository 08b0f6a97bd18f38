"""Formulas of the page: every derivation that a claim is compared with can be set as MathML."""

import xml.etree.ElementTree as ET

import pytest

from empirics.claims import claims
from empirics.pages.formulas import compared
from thermo_theory import PROTOCOLS

MATHML = "{http://www.w3.org/1998/Math/MathML}"


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_every_formula_that_is_compared_is_set(protocol):
    laws = {
        law.name: law
        for claim in claims().values()
        for kind in ("identity", "symmetry", "physics")
        for law in compared(claim.statement(kind, protocol, "sgd").derivations, protocol)
    }
    assert laws
    for law in laws.values():
        formula = ET.fromstring(law.mathml)
        assert (formula.tag, formula.get("display")) == (f"{MATHML}math", "block")
        # A command that is not known is left in the text.
        assert "\\" not in "".join(formula.itertext()), law.latex


def test_vectors_and_means_are_set_as_in_the_book():
    (law,) = compared(("configurational-temperature",), "fixed-lr")
    assert law.latex.startswith(r"\mathbb{E}\left[\nabla L_{u} \cdot \nabla L_{u}\right] = T")
    text = "".join(ET.fromstring(law.mathml).itertext())
    assert text == "𝔼[∇Lu·∇Lu]=T𝔼[ΔL]"
