"""The names of the assumptions."""

from __future__ import annotations

import difflib

__all__ = ["ASSUMPTIONS", "OURS", "assumption", "known"]

#: Every assumption by its fixed name, and what it allows.
ASSUMPTIONS = {
    "scale invariance": "the loss of every minibatch depends only on the direction of the weights: g.w = 0, g ~ 1/r",
    "stationarity": "the distribution of the weights no longer changes",
    "isotropic noise": "gradient noise has the same variance in all directions along the sphere",
    "homogeneous noise": "tr Sigma is constant over the sphere",
    "continuous time": "steps are small enough for SGD to follow its stochastic differential equation",
    "small steps": "an expansion in the step size, truncated at a stated order",
    "low temperature": "an expansion in the temperature, truncated at a stated order",
    "pure noise": "the mean gradient vanishes",
    "uncorrelated gradients": "a gradient is uncorrelated with those before it: E[g.v] = 0, v the optimiser's buffer",
    "uncorrelated steps": "a step is uncorrelated with those before it; if it is not linear in the gradient, this "
    "needs noise that is symmetric and much larger than the mean gradient",
    "equal gains": "a step answers along the weights as along the sphere: exact for k = 1, else up to 1/d",
    "Gibbs law": "the stationary density is exp(-L/T)/Z",
    "constant heat capacity": "C_V does not depend on the temperature",
    "ideal gas law": "p V = R T",
    "eps = 0": "the optimiser's epsilon is negligible",
    "equivariant estimator": "an entropy estimate of a sample multiplied by c is larger by (d - 1) log c",
    "diffusive snapshots": "a snapshot's nearest neighbour is the next one, at the distance that directions diffuse",
    "Gaussian noise": "gradient noise is Gaussian",
    "constant effective learning rate": "eta/r^2, and with it the temperature, does not change with time",
    "independent noise": "given the weights, the mean of a minibatch gradient is the gradient of the loss",
    "constant volume": "the norm does not change during a process",
    "constant pressure": "weight decay does not change during a process",
    "exponential ramp": "log eta rises and log lambda falls with time, at one rate",
    "slow schedule": "rates change so slowly that norm and directions are always as they would be in the end",
    "commuting noise": "the noise covariance has the eigenvectors of the Hessian",
    "linear drift": "the mean update is linear in the weights",
    "quadratic loss": "the loss is quadratic in the weights, as near a minimum",
    "quartic well": "the loss is the sum of a quadratic and a quartic form of the weights",
    "normal density": "the stationary density of the weights is normal",
    "independent examples": "the gradients of a minibatch's examples are independent and alike",
    "unchanged batch loss": "a step leaves the loss of its own minibatch as it was, on average",
    "additive noise": "minibatches' losses differ by terms linear in the weights: all have one Hessian",
    "interpolation": "all minibatches' losses are quadratic and have their minimum at one point",
    "one curvature": "a minibatch's loss is curved along its gradient only, and as much in every minibatch",
    "full batch": "every step uses all of the data",
    "sharpest direction": "the gradient lies along the eigenvector of the Hessian's largest eigenvalue",
    "white inputs": "inputs have unit variance in every direction",
    "independent inputs": "an input's components across the weights do not depend on that along them or the label",
    "small logits": "an expansion of the loss in the logit, truncated at second order",
    "flipped labels": "labels are flipped afresh with one probability for all inputs",
    "uncorrelated blocks": "the gradient noise of one block is uncorrelated with that of the other",
    "scale-invariant blocks": "the loss depends on the direction of each block, not on its norm",
    "normalised weights": "the loss depends on the weights by way of w/sqrt(|w|^2 + eps) alone",
}

#: Those of this package: a REPL may name more.
OURS = frozenset(ASSUMPTIONS)


def assumption(name: str, says: str) -> str:
    """Name an assumption of your own, for `Chain.assumption` and for worlds that ask ``"..." in granted``.

    Parameters
    ----------
    name : str
        A few words.
    says : str
        What it allows, in a sentence.

    Returns
    -------
    str
        The name.

    Raises
    ------
    ValueError
        If the name or the sentence is no line of text, or the name is one of this package's.

    Examples
    --------
    >>> assumption("heavy tails", "the fourth moment of the noise is infinite")
    'heavy tails'
    >>> assumption("pure noise", "there is no signal")
    Traceback (most recent call last):
    ...
    ValueError: 'pure noise' is already an assumption: the mean gradient vanishes
    """
    if not all(isinstance(text, str) and text.strip() and text.isprintable() for text in (name, says)):
        raise ValueError(f"an assumption is a name and a sentence, a line of text each; got {name!r}: {says!r}")
    if name in OURS and ASSUMPTIONS[name] != says:
        raise ValueError(f"{name!r} is already an assumption: {ASSUMPTIONS[name]}")
    ASSUMPTIONS[name] = says
    return name


def known(name: str) -> str:
    """Return the name of an assumption.

    Raises
    ------
    ValueError
        If there is none of that name, with the nearest ones.
    """
    if name not in ASSUMPTIONS:
        near = difflib.get_close_matches(name, ASSUMPTIONS, n=2)
        hint = f"did you mean {' or '.join(map(repr, near))}?" if near else f"known: {', '.join(ASSUMPTIONS)}"
        raise ValueError(f"{name!r} is not an assumption; {hint} (assumption(name, says) names one of your own)")
    return name
