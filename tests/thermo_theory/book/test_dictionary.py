"""The dictionary optimisation <-> thermodynamics: every word of it leads somewhere."""

from thermo_theory import derivations, dictionary
from thermo_theory.symbols import glossary, lam, p


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
