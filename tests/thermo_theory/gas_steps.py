"""An isotropic gas under every update rule, in numpy: the slow, obvious process the theory is about.

Nothing here knows a formula of the theory, and nothing is sympy's.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from scipy.optimize import brentq
from scipy.special import ive


@dataclass
class Gas:
    """Runs of one update rule, all at once, on the loss ``pull (1 - mu.u)`` with noise along the sphere.

    Attributes
    ----------
    rule : str
        "fixed-sphere", "fixed-elr", "fixed-lr", or one of momentum, nesterov, adamw, adam-l2 (at fixed LR).
    d, rate, decay, sigma
        Number of weights, learning rate (effective at fixed ELR), weight decay, noise per direction at unit norm.
    beta : float
        Momentum coefficient, or Adam's of the first moment.
    pull : float
        Size of the loss; 0 for pure noise.
    stretch : array
        Factors of the noise along the axes before it is put on the sphere; 1 if isotropic.
    """

    rule: str
    d: int
    rate: float
    decay: float
    sigma: float
    beta: float = 0.0
    pull: float = 1.0
    radius: float = 1.0
    runs: int = 800
    seed: int = 0
    stretch: np.ndarray | float = 1.0
    means: dict[str, list[float]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.rng = np.random.default_rng(self.seed)
        self.mu = np.ones(self.d) / np.sqrt(self.d)  # no axis of Adam's is special
        self.w = np.tile(self.radius * self.mu, (self.runs, 1))
        if not self.pull:
            self.w = self.rng.standard_normal(self.w.shape)
            self.w *= self.radius / np.linalg.norm(self.w, axis=1, keepdims=True)
        self.v = np.zeros_like(self.w)
        self.square = np.full_like(self.w, (self.d - 1) / self.d * (self.sigma / self.radius) ** 2)

    def gradient(self) -> tuple[np.ndarray, np.ndarray]:
        """Gradient of a minibatch, and its noise."""
        r = np.linalg.norm(self.w, axis=1, keepdims=True)
        u = self.w / r
        noise = self.sigma * self.stretch * self.rng.standard_normal(self.w.shape)
        noise -= u * (u * noise).sum(1, keepdims=True)
        mean = -self.pull * (self.mu - u * (u @ self.mu)[:, None])
        return (mean + noise) / r, noise / r

    def step(self) -> np.ndarray:
        """One update; returns the noise that was in its gradient."""
        g, noise = self.gradient()
        w, rate, decay = self.w, self.rate, self.decay
        if self.rule == "fixed-elr":
            rate = rate * (w**2).sum(1, keepdims=True)
        if self.rule.startswith("fixed"):
            self.w = w - rate * (g + decay * w)
            if self.rule == "fixed-sphere":
                self.grown = (self.w**2).sum(1) - (w**2).sum(1)
                self.w *= self.radius / np.linalg.norm(self.w, axis=1, keepdims=True)
        elif self.rule in ("momentum", "nesterov"):
            pushed = g + decay * w
            self.v = self.beta * self.v + pushed
            self.w = w - rate * (self.v if self.rule == "momentum" else pushed + self.beta * self.v)
        else:
            pushed = g + decay * w if self.rule == "adam-l2" else g
            self.v = self.beta * self.v + (1 - self.beta) * pushed
            self.square = 0.999 * self.square + 0.001 * pushed**2
            kept = w if self.rule == "adam-l2" else (1 - rate * decay) * w
            self.w = kept - rate * self.v / np.sqrt(self.square)
        return noise

    def run(self, burn: int, steps: int) -> dict[str, float]:
        """Means over the runs and the steps after `burn`.

        `square` of r^2; `cosine` of mu.u; `noise` of |noise|^2 r^2, tr Sigma at unit norm; `heat` of |noise|^2, at the
        weights; `angle` of a step, root mean square; `cosine_of_step` and `turn`: mean inner product and root mean
        squared distance of the weights before and after it, over the mean square of the weights.
        """
        totals = dict.fromkeys(("square", "cosine", "noise", "heat", "step", "grown", "overlap", "angle_sq"), 0.0)
        for number in range(burn + steps):
            before = self.w
            noise = self.step()
            if number < burn:
                continue
            square = (before**2).sum(1)
            heat = (noise**2).sum(1)
            totals["square"] += square.mean()
            totals["cosine"] += (before @ self.mu / np.sqrt(square)).mean()
            totals["heat"] += heat.mean()
            totals["noise"] += (heat * square).mean()
            totals["step"] += ((self.w - before) ** 2).sum(1).mean()
            overlap = (self.w * before).sum(1)
            totals["overlap"] += overlap.mean()
            totals["angle_sq"] += (np.arccos(overlap / np.sqrt(square * (self.w**2).sum(1))) ** 2).mean()
            totals["grown"] += self.grown.mean() if self.rule == "fixed-sphere" else 0.0
        means = {name: total / steps for name, total in totals.items()}
        turn, cosine = np.sqrt(means["step"] / means["square"]), means["overlap"] / means["square"]
        return means | {"turn": turn, "cosine_of_step": cosine, "angle": np.sqrt(means["angle_sq"])}


def cosine_of(d: float, T: float) -> float:
    """Mean cosine under ``exp(cos/T)`` on the sphere, by Bessel functions."""
    return float(ive(d / 2, 1 / T) / ive(d / 2 - 1, 1 / T))


def temperature_of(d: float, cosine: float) -> float:
    """Temperature at which the mean cosine is this."""
    return float(brentq(lambda T: cosine_of(d, T) - cosine, 1e-3, 50.0, xtol=1e-12))
