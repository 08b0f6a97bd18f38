"""LaTeX and Markdown of all derivations: nothing is lost, everything is balanced, and it compiles."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections import Counter
from functools import cache

import pytest
import sympy as sp
from cases import ALL, derived
from matplotlib import rc_context
from matplotlib.font_manager import FontProperties
from matplotlib.mathtext import MathTextParser

from thermo_theory import derivations
from thermo_theory.engine.printing import latex_words, to_latex
from thermo_theory.symbols import eq

TEX = MathTextParser("path")
COMPILERS = [name for name in ("pdflatex", "tectonic") if shutil.which(name)]


def balanced(text: str) -> bool:
    """Whether braces, environments, \\left and \\right, and $ come in pairs."""
    bare = text.replace(r"\{", "").replace(r"\}", "").replace(r"\$", "")
    depth = 0
    for character in bare:
        depth += {"{": 1, "}": -1}.get(character, 0)
        if depth < 0:
            return False
    begun, ended = (Counter(re.findall(rf"\\{word}\{{(\w+\*?)\}}", bare)) for word in ("begin", "end"))
    lefts, rights = (len(re.findall(rf"\\{word}(?![a-z])", bare)) for word in ("left", "right"))
    return depth == 0 and begun == ended and lefts == rights and bare.count("$") % 2 == 0


@pytest.mark.parametrize(("name", "protocol"), ALL)
def test_latex_is_ascii_and_balanced(name, protocol):
    found = derived(name, protocol)
    text = found.to_latex()
    assert text.isascii(), sorted({character for character in text if not character.isascii()})
    assert balanced(text)
    assert text.count(r"\begin{equation}") == len(found.steps)
    assert balanced(found.to_markdown())
    assert balanced(found._repr_latex_())


#: Width of a page of LaTeX's article, in points; rows after the first stand a quad in.
PAGE = 345


@cache
def points(latex: str) -> float:
    """Width as matplotlib, which knows TeX's rules and letters, sets it."""
    plain = re.sub(r"\\operatorname|\\mathbb", r"\\mathrm", re.sub(r"\\limits|\\displaystyle", "", latex))
    with rc_context({"mathtext.fontset": "cm"}):
        return TEX.parse(f"${plain}$".replace(r"\top", "T"), dpi=72, prop=FontProperties(size=10))[0]


def at_most(latex: str) -> float:
    """A width that no row exceeds: letters are at most 9 points wide, relations and operators 13 with their spaces."""
    bare = re.sub(
        r"\\(?:left|right|mathbb|mathrm|operatorname|frac|sqrt|limits|displaystyle|[,;: ])|[{}^_& ]", "", latex
    )
    return 11 * len(re.findall(r"\\[a-zA-Z]+|\\.|.", bare)) + 20


@pytest.mark.parametrize(("name", "protocol"), ALL)
def test_no_row_is_wider_than_a_page(name, protocol):
    # The length of LAMB's pull is one root, in which its inner products are written out.
    page = PAGE if name != "lamb-symmetry" else 2 * PAGE
    for step in derived(name, protocol).steps:
        rows = re.sub(r"\\(?:begin|end)\{aligned\} ?&?|\\quad", "", to_latex(step.equation)).split(r" \\ & ")
        for place, row in enumerate(rows):
            if at_most(row) + 10 * (place > 0) > page:  # else there is nothing to measure, which takes 20 ms
                assert points(row) <= at_most(row), row
                assert points(row) + 10 * (place > 0) <= page, row
    assert at_most("x" * 70) > points("x" * 70) > PAGE


def test_no_character_of_the_words_is_lost():
    assert latex_words("Sₑₛₜ(η) at w̄, r² ≥ ½ & Λ") == (
        r"S$_{e}$$_{s}$$_{t}$($\eta$) at $\bar{w}$, r$^{2}$ $\ge$ 1/2 \& $\Lambda$"
    )
    with pytest.raises(ValueError, match="no place in LaTeX"):
        latex_words("温度")


def test_what_is_not_balanced_is_noticed():
    for wrong in (r"\frac{a}{b", "}{", r"\begin{equation} x", r"\left( x", "$x"):
        assert not balanced(wrong)
    assert balanced(r"\begin{equation} \left\{\frac{a}{b}\right\} \end{equation} \$ \leftarrow $x$")


@pytest.mark.long
@pytest.mark.skipif(not COMPILERS, reason="neither pdflatex nor tectonic is here to compile the derivations")
def test_every_derivation_compiles_as_it_stands(tmp_path):
    flags = ["-interaction=nonstopmode", "-halt-on-error"] if COMPILERS[0] == "pdflatex" else []
    for number, found in enumerate(derivations()):
        (tmp_path / f"{number}.tex").write_text(found.to_latex())
        done = subprocess.run(
            [COMPILERS[0], *flags, f"{number}.tex"], cwd=tmp_path, capture_output=True, check=False, timeout=120
        )
        assert done.returncode == 0, f"{found.title}: {done.stdout.decode(errors='replace')[-600:]}"
        assert (tmp_path / f"{number}.pdf").stat().st_size > 1000


def test_a_row_for_nothing_is_not_opened():
    """A product that is too long for a row has its "= 0" beside it, while another right side goes below."""
    product = sp.prod(sp.Function(f"f_{i}")(sp.Symbol("argument"), evaluate=False) for i in range(12))
    assert "aligned" not in to_latex(eq(product, 0))
    assert "aligned" in to_latex(eq(product, sp.Symbol("x")))
