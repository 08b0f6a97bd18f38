"""What a claim needs, in words."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from thermo_theory.engine.derivation import ASSUMPTIONS

__all__ = ["needs_in_words"]


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
