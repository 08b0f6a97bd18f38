"""What a claim needs, in words, where it is from, and prose with its formulas as a page shows them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence

from thermo_theory.engine.derivation import ASSUMPTIONS

__all__ = ["cited", "needs_in_words", "typeset"]


def needs_in_words(needs: Iterable[Iterable[str]], assumptions: Sequence[str] = ()) -> str:
    """Say what a claim needs, and what the steps of its derivation use besides.

    Parameters
    ----------
    needs : iterable of iterable of str
        The smallest sets of assumptions under which it holds.
    assumptions : sequence of str
        Those of the steps of its derivation.

    Returns
    -------
    str

    Examples
    --------
    >>> needs_in_words([{"stationarity", "scale invariance"}], ("continuous time", "scale invariance", "stationarity"))
    'scale invariance and stationarity (the steps of this derivation also use continuous time)'
    >>> needs_in_words([()]), needs_in_words([("pure noise",), ("Gibbs law",)])
    ('nothing', 'pure noise, or Gibbs law')
    """
    sets = [sorted(one, key=list(ASSUMPTIONS).index) for one in needs]
    besides = [name for name in assumptions if not any(name in one for one in sets)]
    also = f" (the steps of this derivation also use {_listed(besides)})" if besides else ""
    return (", or ".join(map(_listed, sets)) or "nothing") + also


def _listed(names: Sequence[str]) -> str:
    return " and ".join(filter(None, (", ".join(names[:-1]), *names[-1:]))) or "nothing"


#: Author, year and number of a paper, as sources name it; no text of another source between them.
_ON_ARXIV = re.compile(r"[A-Z][^;()]*?arXiv (\d{4}\.\d{4,5})")


def cited(source: str) -> list[tuple[str, str]]:
    """Cut a source into parts, each with the address where it can be read; empty where there is none.

    Parameters
    ----------
    source : str
        As a derivation has it: papers and books, between semicolons.

    Returns
    -------
    list of (str, str)
        Text and address; the texts joined are the source.

    Examples
    --------
    >>> cited("Callen 1985, Ch. 5; Yaida 2018, arXiv 1810.00004")
    [('Callen 1985, Ch. 5; ', ''), ('Yaida 2018, arXiv 1810.00004', 'https://arxiv.org/abs/1810.00004')]
    """
    parts, end = [], 0
    for found in _ON_ARXIV.finditer(source):
        parts += [(source[end : found.start()], ""), (found[0], f"https://arxiv.org/abs/{found[1]}")]
        end = found.end()
    return [part for part in (*parts, (source[end:], "")) if part[0]]


_GREEK = {
    "eta": "η", "lambda": "λ", "lam": "λ", "sigma": "σ", "Sigma": "Σ", "kappa": "κ", "gamma": "γ", "rho": "ρ",
    "beta": "β", "theta": "θ", "Phi": "Φ", "xi": "ξ", "nu": "ν",
}  # fmt: skip

#: Formulas in prose, as they are spelt in ASCII and as they are shown.
_SPELT: tuple[tuple[str, Callable[[re.Match[str]], str]], ...] = (
    (rf"(?<![A-Za-z])(d?)({'|'.join(_GREEK)})(?![A-Za-z])", lambda found: found[1] + _GREEK[found[2]]),
    (r"(?<=\w)_(\d)(?!\d)", lambda found: chr(0x2080 + int(found[1]))),
    (r"(?:\^|\*\*)(-?)([1-9])(?!\d)", lambda found: "⁻" * bool(found[1]) + "⁰¹²³⁴⁵⁶⁷⁸⁹"[int(found[2])]),
    (r"\^T\b", lambda found: "ᵀ"),
    (r"\bgrad(?= L|\()\s*", lambda found: "∇"),
    (r"\bsqrt(?=\()", lambda found: "√"),
    (r"(?<![\w.])([A-Za-z])\.(?=[A-Za-z](?![A-Za-z.]))", lambda found: f"{found[1]}·"),
    (r"(?<=[\w)])\*(?=[\w(])", lambda found: "·"),
    (r"(?<= )- |(?<![\w)\]⁰-⁹|])-(?=[\w(|∇])", lambda found: found[0].replace("-", "−")),
    (r" ~ ", lambda found: " ∝ "),
)


def typeset(text: str) -> str:
    """Show the formulas in a sentence with Greek letters, exponents and minus signs.

    Parameters
    ----------
    text : str
        Prose, as docstrings and summaries have it.

    Returns
    -------
    str

    Examples
    --------
    >>> typeset("-dS/dlog lambda is E|grad L|^2/T - R, with r_0 and E[w.g] at eta_eff")
    '−dS/dlog λ is E|∇L|²/T − R, with r₀ and E[w·g] at η_eff'
    """
    for pattern, shown in _SPELT:
        text = re.sub(pattern, shown, text)
    return text
