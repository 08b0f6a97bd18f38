"""Reading what a user typed: against sympy's own operators, and what has to be refused."""

from __future__ import annotations

import time

import pytest
import sympy as sp
from hypothesis import given
from hypothesis import strategies as st

from thermo_theory.engine.reading import ELEMENTARY, read_expression

x, y = sp.symbols("x y", real=True)
NAMES = {"x": x, "y": y}


def _pair(parts):
    """Text and expression of sums, products, powers and calls of smaller ones, built side by side."""
    one = st.tuples(parts, parts)
    return (
        one.map(lambda pair: (f"({pair[0][0]}) + {pair[1][0]}", pair[0][1] + pair[1][1]))
        | one.map(lambda pair: (f"({pair[0][0]})*({pair[1][0]})", pair[0][1] * pair[1][1]))
        | one.map(lambda pair: (f"{pair[0][0]} - ({pair[1][0]})", pair[0][1] - pair[1][1]))
        | parts.map(lambda part: (f"-({part[0]})", -part[1]))
        | parts.map(lambda part: (f"({part[0]})^2", part[1] ** 2))
        | parts.map(lambda part: (f"({part[0]}) / 7", part[1] / 7))
        | parts.map(lambda part: (f"tanh({part[0]})", sp.tanh(part[1])))
    )


LEAVES = st.sampled_from(
    [("x", x), ("y", y), ("0.1", sp.Rational(1, 10)), ("2.5e-1", sp.Rational(1, 4)), ("3", sp.Integer(3))]
)


@given(st.recursive(LEAVES, _pair, max_leaves=8))
def test_text_is_what_python_says_of_the_same_symbols(pair):
    text, expected = pair
    if len(text) <= 1000:
        assert read_expression(text, NAMES) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("-x^2", -(x**2)),
        ("2^-1", sp.Rational(1, 2)),
        ("x^2^3", x**8),
        ("x**2 + 1 ^ 3", x**2 + 1),
        (" x ", x),
        ("abs(x)", sp.Abs(x)),
        ("sqrt(x^2)", sp.Abs(x)),
        ("1e3 x".replace(" ", "*"), 1000 * x),
    ],
)
def test_precedence(text, expected):
    assert read_expression(text, NAMES) == expected


def test_without_a_list_of_names_each_is_a_real_symbol():
    assert read_expression("cos(pi)*σ") == -sp.Symbol("σ", real=True)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "empty"),
        ("x + (y", "'[(]' was never closed at character 5"),
        ("x +", "at character"),
        ("x + wobble(x)", "unknown function 'wobble' at character 5; known: abs"),
        ("x + z", "unknown name 'z' at character 5; known: x, y"),
        ("x^2 + z", "'z' at character 7"),
        ("x^^2 + z", "at character 3"),
        ("  x^2^1 + z", "'z' at character 11"),
        ("x(1 + x)", r"'x' is no function at character 1; a product is written x\*"),
        ("exp + 1", "'exp' is a function at character 1; write exp"),
        ("exp(x, y, x)", "'exp"),
        ("x.real", "'x.real' is not allowed at character 1"),
        ("x[0]", "not allowed"),
        ("'x'", "not allowed"),
        ("True", "not allowed"),
        ("1j", "not allowed"),
        ("x if x else y", "not allowed"),
        ("(lambda: 1)()", "not allowed"),
        ("__import__('os')", "unknown function '__import__'"),
        ("exp(x=1)", "not allowed"),
        ("x # + y", "unexpected '#' at character 3"),
        ("x\ny", "unexpected"),
        ("x == y", "not allowed"),
        ("x @ y", "not allowed"),
        ("1/0", "'1 / 0' is not a finite number at character 1"),
        ("x + log(0)", "not a finite number at character 5"),
        ("1e999", "too large"),
        ("9**9**9**9", "too large an exponent"),
        ("((9^100)^100)^100", "too large a number"),
        ("((x^100)^100)", "too large an exponent"),
        ("x^1e300", "too large an exponent"),
        ("-" * 900 + "x" + "(" * 90, "cannot read"),
        ("x" * 1001, "1001 characters; at most 1000"),
    ],
)
def test_what_cannot_be_read_is_named_in_one_line(text, says):
    begun = time.process_time()
    with pytest.raises(ValueError, match=says) as refused:
        read_expression(text, NAMES)
    assert len(str(refused.value).splitlines()) == 1
    assert time.process_time() - begun < 1


def test_no_text():
    with pytest.raises(ValueError, match="expected a text, got 3"):
        read_expression(3, NAMES)


def test_only_the_functions_that_are_offered():
    assert read_expression("twice(x)", NAMES, {"twice": lambda value: 2 * value}) == 2 * x
    with pytest.raises(ValueError, match="unknown function 'exp'"):
        read_expression("exp(x)", NAMES, {})
    assert "eval" not in ELEMENTARY
