"""Verdicts in words that a newcomer understands."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from empirics.pages.blocks import Card, Strip, decimals, number

__all__ = ["KIND_WORDS", "MARKS", "PROTOCOL_WORDS", "all_cards", "card", "gist", "tally", "typeset"]

#: A sign for each verdict; the shapes differ, so that colour is not needed to tell them apart.
MARKS = {"agrees": "✓", "disagrees": "✗", "inconclusive": "?", "not measured": "–"}

#: What a claim of each kind proves, and what it does not.
KIND_WORDS = {
    "identity": (
        "Identity: true of every run that has settled, whatever the network. It is a gate: a run that fails it may not "
        "be used. Passing it is no evidence for the theory."
    ),
    "symmetry": (
        "Symmetry: follows from scale invariance alone, for noise of any shape and steps of any size. It shows that "
        "the network is scale-invariant and its norm is in balance; it says nothing about isotropic noise or the "
        "Gibbs law."
    ),
    "physics": (
        "Physics: needs assumptions that a network can break (constant or isotropic noise, small steps, the Gibbs "
        "law). Only here does agreement speak for the thermodynamic picture, and disagreement against it."
    ),
}

PROTOCOL_WORDS = {
    "fixed-lr": "fixed learning rate",
    "fixed-elr": "fixed effective learning rate",
    "fixed-sphere": "fixed norm",
}

# What each claim says, by claim and kind.
_CLAIMED = {
    ("V0", "physics"): "From any start, the norm of the weights follows the curve that the formula predicts.",
    ("V1", "identity"): (
        "In a settled run, what weight decay takes off the norm of the weights equals what the gradient steps add to "
        "it."
    ),
    ("V1", "symmetry"): (
        "The norm of the weights responds to the learning rate and, the other way, to weight decay. "
        "The two slopes of its logarithm (¼ and −¼ in the simplest theory) must differ by exactly ½."
    ),
    ("V1", "physics"): (
        "The norm settles where the stationary formula of the stochastic differential equation puts it, once the "
        "gradient noise has been measured."
    ),
    ("V2", "physics"): (
        "Each stationary state minimises its own free energy among all the others: at the run's own temperature its "
        "mean loss less temperature times entropy is lower than that of hotter and of colder runs. The number is how "
        "far, in log T, the minimum lies from the run itself."
    ),
    ("V2", "identity"): (
        "Of all norms, the run's own minimises the rest of the free energy, weight decay times r²/2 less temperature "
        "times (d − 1) log r. With all that makes the norm grow counted in the temperature, this is the norm balance "
        "once more."
    ),
    ("V3", "symmetry"): (
        "A Maxwell relation, as in the thermodynamics of a gas: the slope of the entropy of the weights in log "
        "learning rate minus its slope in log weight decay is the gas constant R = (d − 1)/2, half the number of "
        "directions."
    ),
    ("V4", "physics"): (
        "At a fixed learning rate the entropy answers weight decay by (C_V − R)/2, with the heat capacity C_V that the "
        "mean loss shows: not at all where the gas is cold, so that there a change of weight decay is adiabatic."
    ),
    ("V5", "physics"): (
        "First law and fluctuations: the entropy gained times temperature, and the fluctuations of the loss, give the "
        "same heat as the mean loss does between a cold and a hot run."
    ),
    ("V6", "physics"): (
        "A thermometer made of slopes and curvatures of the loss alone reads the temperature of the gradient noise."
    ),
    ("V6", "identity"): (
        "In a settled run what steps down the slope take off the loss is what noise on curved ground adds to it, "
        "whatever the noise."
    ),
}

# Where a protocol makes another statement of it.
_CLAIMED_AT = {
    ("V1", "symmetry", "fixed-elr"): (
        "At a fixed effective learning rate the norm of the weights falls with weight decay: the slope of its "
        "logarithm must be exactly −½."
    ),
    ("V3", "symmetry", "fixed-elr"): (
        "A Maxwell relation, as in the thermodynamics of a gas: at a fixed effective learning rate the slope of the "
        "entropy of the weights in log weight decay is −R, with the gas constant R = (d − 1)/2, half the number of "
        "directions."
    ),
    ("V3", "symmetry", "fixed-sphere"): (
        "A Maxwell relation, as in the thermodynamics of a gas: at a fixed temperature the slope of the entropy of the "
        "weights in the log of the norm is d − 1, the number of directions; the number is given in units of it."
    ),
    ("V4", "physics", "fixed-elr"): (
        "At a fixed weight decay the entropy answers the effective learning rate by C_p = C_V + R, with the heat "
        "capacity C_V that the mean loss shows: the adiabatic index, read off entropies, is that of the loss."
    ),
}


def typeset(text: str) -> str:
    """Set what the terminal spells in ASCII as a page does.

    Parameters
    ----------
    text : str

    Returns
    -------
    str

    Examples
    --------
    >>> typeset("lr x wd, |g|^2 within 1 +- 0.05, -0.2")
    'lr × wd, |g|² within 1 ± 0.05, −0.2'
    """
    text = text.replace("^2", "²").replace("+-", "±").replace(" x ", " × ")
    return re.sub(r"(?<![\w.)\]])-(?=\d)", "−", text)


def gist(verdicts: Iterable[Any]) -> str:
    """Say in a sentence what the verdicts come to.

    Parameters
    ----------
    verdicts : iterable of Verdict

    Returns
    -------
    str

    Examples
    --------
    >>> from types import SimpleNamespace as V
    >>> gist([V(kind="symmetry", verdict="disagrees")])
    'In short: what scale invariance alone demands is not seen here.'
    """
    found: dict[str, list[str]] = {}
    for verdict in verdicts:
        found.setdefault(str(verdict.kind), []).append(str(verdict.verdict))

    def judged(kind: str) -> str:
        words = [word for word in found.get(kind, []) if word != "not measured"]
        if "disagrees" in words:
            return "no"
        return "yes" if words and set(words) == {"agrees"} else "open" if words else ""

    symmetry = {
        "yes": "what scale invariance alone demands is seen",
        "no": "what scale invariance alone demands is not seen here",
        "open": "whether what scale invariance demands is there could not be decided",
        "": "what scale invariance demands was not tested",
    }[judged("symmetry")]
    physics = {
        "yes": "; so is what the theory adds with further assumptions",
        "no": "; what the theory adds with further assumptions is off by more than its margin",
        "open": "; on what the theory adds with further assumptions these runs do not decide",
        "": "",
    }[judged("physics")]
    return f"In short: {symmetry}{physics}."


def _finite(value: Any) -> float:
    """Return a float, NaN for anything that is none."""
    try:
        return float(value)
    except (TypeError, ValueError):
        return float("nan")


def _fixed(value: float, places: int) -> str:
    """Write a number with the decimals its interval deserves."""
    return f"{value:.{places}f}".replace("-", "−") if value == value else "not measured"


def card(verdict: Any) -> Card:
    """Put one verdict into words.

    Parameters
    ----------
    verdict : empirics.claims.Verdict
        Anything with its attributes.

    Returns
    -------
    Card
    """
    theory, measured, low, high, margin = (
        _finite(getattr(verdict, name, None)) for name in ("theory", "measured", "low", "high", "margin")
    )
    numbers: list[tuple[str, str, float | None]] = [("Theory", number(theory), theory)]
    places = decimals((high - low) / 2)
    if measured == measured:
        numbers.append(("Measured", _fixed(measured, places), measured))
        numbers.append(("95 % interval", f"{_fixed(low, places)} to {_fixed(high, places)}", None))
    else:
        numbers.append(("Measured", "not measured", None))
    if margin == margin:
        numbers.append(("Counts as equal", f"within {number(margin)} of theory", margin))
    claimed = _CLAIMED_AT.get((verdict.claim, verdict.kind, verdict.protocol), "")
    claimed = claimed or _CLAIMED.get((verdict.claim, verdict.kind), "")
    return Card(
        claim=str(verdict.claim),
        title=typeset(str(verdict.title)),
        protocol=PROTOCOL_WORDS.get(str(verdict.protocol), str(verdict.protocol)),
        family=str(verdict.kind),
        verdict=str(verdict.verdict),
        mark=MARKS.get(str(verdict.verdict), "–"),
        claimed=claimed or f"{verdict.title}.",
        meaning=KIND_WORDS.get(str(verdict.kind), ""),
        numbers=tuple(numbers),
        reason=typeset(str(getattr(verdict, "reason", "") or "")),
        strip=Strip.of(theory, margin, measured, low, high),
        message=(
            f"Theory {number(theory)}, counting as equal within {number(margin)}; measured {number(measured)}, "
            f"95 percent interval {number(low)} to {number(high)}."
        ),
    )


def all_cards(verdicts: Iterable[Any]) -> tuple[Card, ...]:
    """Put all verdicts into words, those that were measured first; nothing is said twice of a claim of the same kind.

    Parameters
    ----------
    verdicts : iterable of Verdict

    Returns
    -------
    tuple of Card
    """
    said: set[tuple[str, str, str]] = set()
    cards = []
    for verdict in sorted(verdicts, key=lambda verdict: verdict.verdict == "not measured"):
        made = card(verdict)
        if (made.claim, made.family, made.protocol) in said:
            kind = made.meaning.split(":")[0]
            made = replace(made, claimed="The same claim, measured in another way.", meaning=f"{kind}, as above.")
        said.add((made.claim, made.family, made.protocol))
        cards.append(made)
    return tuple(cards)


def tally(verdicts: list[Any]) -> str:
    """Count the verdicts in a sentence, the gate apart from the claims it guards.

    Parameters
    ----------
    verdicts : list of empirics.claims.Verdict

    Returns
    -------
    str

    Examples
    --------
    >>> from types import SimpleNamespace as V
    >>> tally([V(kind="identity", verdict="agrees"), V(kind="symmetry", verdict="agrees")])
    'Gates: 1 agrees. Symmetry claims: 1 agrees.'
    """
    sentences = []
    for kind, words in (("identity", "Gates"), ("symmetry", "Symmetry claims"), ("physics", "Physics claims")):
        found = [str(verdict.verdict) for verdict in verdicts if verdict.kind == kind]
        counts = [(found.count(mark), mark) for mark in MARKS if found.count(mark)]
        if counts:
            parts = [f"{count} {_plural(word) if count > 1 else word}" for count, word in counts]
            sentences.append(f"{words}: {', '.join(parts)}.")
    return " ".join(sentences) or "No claim was compared."


def _plural(word: str) -> str:
    return {"agrees": "agree", "disagrees": "disagree"}.get(word, word)
