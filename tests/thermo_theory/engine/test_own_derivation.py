"""The derivation that CONTRIBUTING shows as an example: it works as it stands, and a wrong one fails."""

import re
from pathlib import Path

import pytest

from thermo_theory import FixedLR, StepFalse, derive
from thermo_theory.engine import registry

CONTRIBUTING = (Path(__file__).parents[3] / "CONTRIBUTING.md").read_text(encoding="utf-8")
(EXAMPLE,) = re.findall(r"## A derivation of your own.*?```python\n(.*?)```", CONTRIBUTING, flags=re.DOTALL)


@pytest.fixture(autouse=True)
def registry_of_its_own(monkeypatch):
    monkeypatch.setattr(registry, "_REGISTRY", dict(registry.registered()))


def test_the_example_is_derived_and_verified():
    exec(EXAMPLE, {"__name__": "__main__"})
    mine = derive("my-volume", FixedLR)
    assert str(mine.claim.equation) == "Eq(V, R*T/lambda)"
    assert [step.operation for step in mine.steps] == ["claim", "definition", "substitute", "solve_for"]
    assert mine.assumptions == derive("ideal-gas-law", FixedLR).assumptions
    assert "[substitute, from (1), (2): the same law in the words of training]" in str(mine)
    assert all(one.worlds for one in mine.verify())


def test_a_wrong_variant_fails_and_may_be_corrected_in_the_same_session():
    with pytest.raises(StepFalse, match=r"step 2.*is false"):
        exec(EXAMPLE.replace("eq(p, lam)", "eq(p, 2 * lam)"), {"__name__": "__main__"})
    exec(EXAMPLE, {"__name__": "__main__"})


def test_a_misspelt_operation_is_answered_with_the_one_that_was_meant():
    with pytest.raises(AttributeError, match="no operation is called 'solve_four'; did you mean 'solve_for'"):
        exec(EXAMPLE.replace("solve_for", "solve_four"), {"__name__": "__main__"})
    step = derive("ideal-gas-law", FixedLR).steps[0]
    assert {"solve_for", "substitute", "equation"} <= set(dir(step))
    assert not hasattr(step, "_repr_png_")
