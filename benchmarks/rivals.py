"""Other ways to train perceptrons over a grid, each given our minibatches, and each keeping the sums that we keep.

A rival is a function of the numbers of the samples of some steps, int64, shape (step, run, sample). It takes those
steps from where it stands and returns ``|w|²``, ``|g|²``, the loss and ``w · g`` of each, at the weights before the
update: float32, shape (step, 4, run).
"""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.util import find_spec

import numpy as np
import torch
from torch import Tensor, nn
from torch.func import grad_and_value, vmap
from torch.nn import functional

EPS = 1e-12
Rival = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Start:
    """What all begin from: weights (run, out, in), the frozen head (class, hidden), data, and the grid (run,)."""

    weights: Sequence[Tensor]
    head: Tensor
    inputs: Tensor
    labels: Tensor
    rate: Tensor
    decay: Tensor


def dot(left: Sequence[Tensor], right: Sequence[Tensor]) -> Tensor:
    """Inner product of two lists of tensors."""
    return torch.stack([torch.vdot(a.flatten(), b.flatten()) for a, b in zip(left, right, strict=True)]).sum()


class Plain(nn.Module):
    """The network of one run, as anybody would write it first."""

    def __init__(self, weights: Sequence[Tensor], head: Tensor) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(w.shape[1], w.shape[0], bias=False) for w in weights)
        self.norms = nn.ModuleList(
            nn.BatchNorm1d(len(w), EPS, affine=False, track_running_stats=False) for w in weights
        )
        for w, mine in zip(weights, self.parameters(), strict=True):
            mine.data.copy_(w)
        self.head: Tensor
        self.register_buffer("head", head)

    def forward(self, x: Tensor) -> Tensor:
        """Logits."""
        for layer, norm in zip(self.layers, self.norms, strict=True):
            x = norm(layer(x)).relu()
        return functional.linear(x, self.head)


def loop(start: Start, run: int = 0) -> Rival:
    """One run alone: ``nn.Module`` and ``torch.optim.SGD``; of the numbers of samples it takes its own."""
    network = Plain([w[run] for w in start.weights], start.head).to(start.head.device)
    own = list(network.parameters())
    optimizer = torch.optim.SGD(own, lr=float(start.rate[run]), weight_decay=float(start.decay[run]))

    def steps(rows: Tensor) -> Tensor:
        found = torch.empty(len(rows), 4, 1, device=start.head.device)
        for row, mine in zip(found, rows[:, run], strict=True):
            with torch.enable_grad():
                loss = functional.cross_entropy(network(start.inputs[mine]), start.labels[mine])
                optimizer.zero_grad()
                loss.backward()
            slopes = [w.grad for w in own if w.grad is not None]
            row[:, 0] = torch.stack([dot(own, own), dot(slopes, slopes), loss.detach(), dot(own, slopes)])
            optimizer.step()
        return found

    return steps


def _samples_first(weights: Sequence[Tensor], head: Tensor, x: Tensor, labels: Tensor) -> Tensor:
    """Loss of one run by the library's functions, which are the faster ones without a compiler."""
    for w in weights:
        x = functional.batch_norm(functional.linear(x, w), None, None, training=True, eps=EPS).relu()
    return functional.cross_entropy(functional.linear(x, head), labels)


def _features_first(weights: Sequence[Tensor], head: Tensor, x: Tensor, labels: Tensor) -> Tensor:
    """Loss of one run, laid out for BatchNorm along rows and written out for a compiler to fuse."""
    x = x.T
    for w in weights:
        x = w @ x
        x = x - x.mean(1, keepdim=True)
        x = (x * (x.square().mean(1, keepdim=True) + EPS).rsqrt()).relu()
    return functional.cross_entropy((head @ x).T, labels)


def vmapped(start: Start, compiled: bool = False) -> Rival:
    """``torch.func.vmap`` over the runs; `compiled` by torch.compile, gradient, sums and update in one graph."""
    loss = _features_first if compiled else _samples_first

    def one(
        weights: Sequence[Tensor], rate: Tensor, decay: Tensor, x: Tensor, labels: Tensor
    ) -> tuple[list[Tensor], Tensor]:
        slopes, value = grad_and_value(loss)(weights, start.head, x, labels)

        def sum_of(left: Sequence[Tensor], right: Sequence[Tensor]) -> Tensor:
            return sum(((a * b).sum() for a, b in zip(left, right, strict=True)), torch.zeros(()))

        sums = [sum_of(weights, weights), sum_of(slopes, slopes), value, sum_of(weights, slopes)]
        return [w - rate * (g + decay * w) for w, g in zip(weights, slopes, strict=True)], torch.stack(sums)

    def step(weights: list[Tensor], rows: Tensor) -> tuple[list[Tensor], Tensor]:
        return vmap(one)(weights, start.rate, start.decay, start.inputs[rows], start.labels[rows])

    call = torch.compile(step, dynamic=False) if compiled else step
    weights = [w.clone() for w in start.weights]

    def steps(rows: Tensor) -> Tensor:
        nonlocal weights
        found = []
        for mine in rows:
            weights, sums = call(weights, mine)
            found.append(sums.T)
        return torch.stack(found)

    return steps


def jaxed(start: Start, features_first: bool) -> Rival:
    """JAX's ``vmap``, ``jit`` and ``scan``: all steps of a call are one compiled program.

    Parameters
    ----------
    start
        What all begin from.
    features_first
        Whether BatchNorm sums along rows or along columns; which is faster depends on the width.
    """
    # Read once, when JAX is imported: one thread of the CPU.
    os.environ.setdefault("XLA_FLAGS", "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1")
    os.environ.setdefault("JAX_PLATFORMS", "cpu")
    import jax
    from jax import numpy as jnp

    head, inputs, labels, rate, decay = (
        jnp.asarray(one.numpy()) for one in (start.head, start.inputs, start.labels.int(), start.rate, start.decay)
    )
    axis = 1 if features_first else 0

    def loss_of(weights, x, y):  # type: ignore[no-untyped-def]
        x = x.T if features_first else x
        for w in weights:
            x = w @ x if features_first else x @ w.T
            x = x - x.mean(axis, keepdims=True)
            x = jnp.maximum(x * jax.lax.rsqrt((x * x).mean(axis, keepdims=True) + EPS), 0)
        logits = (head @ x).T if features_first else x @ head.T
        return -jnp.take_along_axis(jax.nn.log_softmax(logits, 1), y[:, None], 1).mean()

    def one(weights, rate, decay, rows):  # type: ignore[no-untyped-def]
        value, slopes = jax.value_and_grad(loss_of)(weights, inputs[rows], labels[rows])
        pairs = ((weights, weights), (slopes, slopes), (weights, slopes))
        own, steep, radial = (sum(jnp.vdot(a, b) for a, b in zip(*pair, strict=True)) for pair in pairs)
        moved = [w - rate * (g + decay * w) for w, g in zip(weights, slopes, strict=True)]
        return moved, jnp.stack([own, steep, value, radial])

    @jax.jit
    def scan(weights, rows):  # type: ignore[no-untyped-def]
        return jax.lax.scan(lambda held, mine: jax.vmap(one)(held, rate, decay, mine), weights, rows)

    weights = [jnp.asarray(w.numpy()) for w in start.weights]

    def steps(rows: Tensor) -> Tensor:
        nonlocal weights
        weights, sums = scan(weights, rows.int().numpy())
        return torch.from_numpy(np.array(sums)).transpose(1, 2)

    return steps


def perceptrons(start: Start) -> tuple[dict[str, Rival], list[str]]:
    """All ways over all runs, and the names of those that are not installed."""
    found = {"torch.func.vmap": vmapped(start), "torch.func.vmap, torch.compile": vmapped(start, compiled=True)}
    layouts = {"JAX vmap, jit, scan; features first": True, "JAX vmap, jit, scan; samples first": False}
    if find_spec("jax") is None:
        return found, ["JAX"]
    return found | {name: jaxed(start, first) for name, first in layouts.items()}, []
