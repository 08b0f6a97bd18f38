"""Lists of derivations: quick, filtered, and what is stored of them is what they are."""

import subprocess
import sys

import pytest

from thermo_theory import FixedELR, FixedLR, derivations, derive
from thermo_theory.engine import chain, listing
from thermo_theory.engine.derivation import registered
from thermo_theory.engine.listing import Row
from thermo_theory.engine.needs import shown, stored
from thermo_theory.symbols import eta, lam

#: Seconds that a table may take in a fresh process, once sympy and the derivations are loaded; it takes 0.02.
SECONDS = 0.3


def test_what_a_list_shows_is_current():
    for found in derivations():
        assert {key: stored()[found.title][key] for key in ("latex", "about")} == shown(found), found.title


def test_a_list_is_shown_at_once():
    code = (
        "import time; from thermo_theory import derivations; rows = derivations(); t = time.perf_counter();"
        "text, page = repr(rows), rows._repr_html_(); print(time.perf_counter() - t)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert float(done.stdout) < SECONDS


def test_nothing_is_derived_for_a_list(monkeypatch):
    def refuse(*_):
        raise AssertionError("derived")

    monkeypatch.setattr(chain.Chain, "_append", refuse)
    monkeypatch.setattr(listing.Row, "derivation", property(refuse))
    rows = derivations()
    assert len(repr(rows).split("\n")) == len(rows) + 1
    assert rows._repr_html_().count("<tr>") == len(rows) + 1
    assert derivations(needs="Gibbs law", about="entropy", protocol=None)


def test_filters_say_what_the_derivations_say():
    everything = list(derivations())
    assert [row.title for row in derivations(protocol="fixed-elr")] == [
        row.title for row in everything if row.protocol is FixedELR
    ]
    needed = {row.title for row in derivations(needs=["Gibbs law", "scale invariance"])}
    assert needed == {
        row.title for row in everything if all({"Gibbs law", "scale invariance"} <= one for one in row.needs())
    }
    rates = {row.title for row in derivations(about=eta, protocol=FixedLR)}
    assert "temperature, fixed LR" in rates
    assert rates == {
        row.title for row in everything if row.protocol is FixedLR and eta in row.claim.equation.free_symbols
    }
    assert {"maxwell", "vmf-entropy"} <= {row.name for row in derivations(about="Entropy")}
    assert len(derivations(about="no such words")) == 0
    assert derivations(about="lambda", protocol="fixed LR")[0].claim.equation.has(lam)


def test_what_is_not_stored_is_found(monkeypatch):
    monkeypatch.setattr(listing, "stored", dict)
    law = derive("temperature", FixedLR)
    row = Row(registered()["temperature", "fixed LR"], lambda _: law)
    assert row.cells()[2] == law.kind
    assert row.latex() == law.claim.latex()
    assert row.is_about("eta")
    assert row.is_about("weight decay")
    assert not row.is_about("beta")
    assert row.needs("isotropic noise")
    assert not row.needs("Gibbs law")


@pytest.mark.parametrize(
    ("asked", "error", "said"),
    [
        ({"protocol": "FixedLR"}, LookupError, "no protocol is called 'FixedLR'; did you mean 'fixed-lr'?"),
        ({"protocol": "sphere"}, LookupError, "did you mean 'fixed-sphere'?"),
        ({"needs": "Gibbs"}, ValueError, "'Gibbs' is not an assumption; "),
        ({"needs": "Gibs law"}, ValueError, "did you mean 'Gibbs law'?"),
    ],
)
def test_a_wrong_filter_gets_a_hint(asked, error, said):
    with pytest.raises(error) as caught:
        derivations(**asked)
    assert said in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize(
    ("protocol", "meant"),
    [
        ("lr", "fixed-lr"),
        ("FixedLR", "fixed-lr"),
        ("fixed_lr", "fixed-lr"),
        ("elr", "fixed-elr"),
        ("adamw", "fixed-lr/adamw"),
    ],
)
def test_a_protocol_that_is_none_gets_a_hint(protocol, meant):
    with pytest.raises(LookupError, match=f"no protocol is called '{protocol}'; did you mean '{meant}'"):
        derive("radius", protocol)
