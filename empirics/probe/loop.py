"""The part of the probe that runs in the training loop, and its checkpoints."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from torch import Tensor, nn

from empirics.models.invariance import scale_invariant_blocks
from empirics.probe.losses import Losses
from empirics.probe.noise import Noise
from empirics.probe.rule import Rule, inner_optimizer, rule_of
from empirics.probe.state import load_watch, watch_state
from empirics.probe.watch import Tensors, Watched

__all__ = ["Loop"]


class Loop:
    """Measures steps of a training loop; `ThermoProbe` documents the parameters and reports the results."""

    def __init__(
        self,
        model: nn.Module,
        optimizer: Any,
        *,
        loss: Callable[[nn.Module], Tensor] | None = None,
        every: int = 100,
        scaler: Any = None,
    ) -> None:
        if every < 2:
            raise ValueError(f"every must be 2 or more, since two consecutive steps are measured; got {every}")
        self._model, self._optimizer, self._scaler = _bare(model), inner_optimizer(optimizer), scaler
        known: dict[str, int] = {}
        if loss is not None:
            known = {found.name: found.blocks for found in scale_invariant_blocks(self._model, loss)}
        self._known, self._every = known, every
        self._watch = Tensors(self._tensors(), every)
        if not self._watch.watched:
            raise ValueError("the optimizer has no tensor that requires a gradient: there is nothing to measure")
        self._losses, self._noise = Losses(), Noise()

    def _tensors(self) -> list[Watched]:
        names = {id(p): name for name, p in self._model.named_parameters()}
        found = []
        for i, group in enumerate(self._optimizer.param_groups):
            for j, p in enumerate(group["params"]):
                if p.requires_grad:
                    name = names.get(id(p), f"parameter {j} of group {i}")
                    found.append(Watched(name, p, self._known.get(name)))
        order = {name: i for i, name in enumerate(names.values())}
        return sorted(found, key=lambda watched: order.get(watched.name, len(order)))

    def _rules(self) -> list[Rule]:
        of = {}
        for group in self._optimizer.param_groups:
            rule = rule_of(self._optimizer, group)
            of.update({id(p): rule for p in group["params"]})
        return [of[id(watched.parameter)] for watched in self._watch.watched]

    # In the loop -----------------------------------------------------------------------------------------------------

    @property
    def due(self) -> bool:
        """Whether the next :meth:`step` measures, in case something has to be computed for it."""
        return self._watch.due

    @property
    def steps(self) -> int:
        """Number of steps so far."""
        return self._watch.steps

    def step(self, loss: Tensor | float | None = None, *, grad_scale: float | None = None) -> None:
        """Measure the step about to be taken; call it right before ``optimizer.step()``.

        With gradient accumulation once per optimiser step, with AMP after ``scaler.unscale_`` (or give the probe the
        scaler), with clipping after it: the probe should see the gradients that the optimiser sees.

        Parameters
        ----------
        loss
            Loss of this minibatch (nat); its graph is not kept.
        grad_scale
            Factor on the gradients, if there is one; the optimiser is assumed to see them divided by it.
        """
        watch = self._watch
        self._losses.add(loss)
        if watch.due:
            self._measure(grad_scale)
        self._watch.steps += 1

    def _measure(self, grad_scale: float | None) -> None:
        trained = sum(p.requires_grad for group in self._optimizer.param_groups for p in group["params"])
        if trained != len(self._watch.watched):  # parameters were frozen, unfrozen or added
            steps, self._watch = self._watch.steps, Tensors(self._tensors(), self._every)
            self._watch.steps = steps
            self._noise.forget()
        self._watch.look(self._rules(), self._scale() if grad_scale is None else grad_scale)
        self._noise.end_of_parts()

    def _scale(self) -> float:
        """Return the GradScaler's factor on the gradients, 1 if they are already divided by it."""
        if self._scaler is None or not self._scaler.is_enabled():
            return 1.0
        state: Mapping[str, Any] = getattr(self._scaler, "_per_optimizer_states", {}).get(id(self._optimizer), {})
        unscaled = getattr(state.get("stage"), "name", "READY") == "UNSCALED"
        return 1.0 if unscaled else float(self._scaler.get_scale())

    def halves(self, first: Sequence[Tensor | None], second: Sequence[Tensor | None]) -> None:
        """Pass the gradients of two independent halves of a minibatch, for an unbiased noise estimate.

        Every 50 steps or so is enough. Under BatchNorm each half is normalised by itself, so it sees a different
        network than the whole minibatch does.

        Parameters
        ----------
        first, second
            Gradients of the mean losses of the halves with respect to the parameters that require one, in the order of
            ``model.parameters()``; None where there is none.

        Raises
        ------
        ValueError
            If their number is not that of such parameters.
        """
        parameters = [p for p in self._model.parameters() if p.requires_grad]
        if not len(first) == len(second) == len(parameters):
            raise ValueError(
                f"halves takes a gradient for each of the {len(parameters)} parameters that require one, "
                f"got {len(first)} and {len(second)}"
            )
        both = dict(zip(map(id, parameters), zip(first, second, strict=True), strict=True))
        watched = [one.parameter for one in self._watch.watched]
        self._noise.halves(watched, [both.get(id(p), (None, None)) for p in watched])

    def microbatch(self) -> None:
        """Measure the gradients accumulated so far; call it after every ``backward`` of an accumulated step.

        The scatter of the micro-batches gives an unbiased estimate of the noise of the whole. It costs time only in
        measured steps. Micro-batches must be of equal size; call ``zero_grad`` after ``optimizer.step()`` or before the
        first.
        """
        if self.due:
            self._noise.part([watched.parameter for watched in self._watch.watched])

    # Checkpoints -----------------------------------------------------------------------------------------------------

    def state_dict(self) -> dict[str, Any]:
        """Return the state for a checkpoint, from which the probe resumes exactly.

        Numbers, strings, lists and tensors only, so ``torch.load(weights_only=True)`` reads it. Between the two steps
        of a pair it holds a copy of weights and gradients, as the probe does.
        """
        noise = [one.clone() for one in self._noise.measured]
        return {"watch": watch_state(self._watch), "losses": self._losses.state(), "noise": noise}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Resume from a checkpoint, with a new probe on the network and optimiser that were loaded.

        Parameters
        ----------
        state
            From :meth:`state_dict`.

        Raises
        ------
        ValueError
            If it is the state of a probe on other tensors.
        """
        load_watch(self._watch, state["watch"])
        self._every = self._watch.every
        self._losses.load(state["losses"])
        self._noise.forget()
        self._noise.measured.extend(one.clone() for one in state["noise"])


def _bare(model: nn.Module) -> nn.Module:
    """Return the network inside DDP, DataParallel or torch.compile."""
    while True:
        if isinstance(model, (nn.parallel.DistributedDataParallel, nn.DataParallel)):
            model = model.module
        elif isinstance(inside := getattr(model, "_orig_mod", None), nn.Module):
            model = inside
        else:
            return model
