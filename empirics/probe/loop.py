"""The part of the probe that runs in the training loop, and its checkpoints."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from math import inf
from numbers import Integral, Real
from types import FrameType
from typing import Any, Self

from torch import Tensor, nn

from empirics.models.groups import Group
from empirics.models.invariance import scale_invariant_blocks
from empirics.probe.losses import Losses
from empirics.probe.noise import Noise
from empirics.probe.rule import inner_optimizer, nested
from empirics.probe.state import load_watch, watch_state
from empirics.probe.tensors import Tensors

__all__ = ["Loop"]


class Loop:
    """Measures the steps of an optimiser from its own hooks; `ThermoProbe` documents parameters and reports results."""

    def __init__(
        self,
        model: nn.Module,
        optimizer: Any,
        *,
        every: int = 100,
        loss: Callable[[nn.Module], Tensor] | None = None,
        steps_per_epoch: float | None = None,
    ) -> None:
        _check(model, every, steps_per_epoch)
        self._model, self._optimizer, self._every = _bare(model), inner_optimizer(optimizer), int(every)
        self._steps_per_epoch = steps_per_epoch
        self._groups: list[Group] = []
        if loss is not None:
            found = (group for tensor in scale_invariant_blocks(self._model, loss) for group in tensor.groups)
            self._groups = list(dict.fromkeys(found))
        self._watch = self._tensors()
        if not self._watch.tensors:
            raise ValueError("the optimizer has no tensor that requires a gradient: there is nothing to measure")
        if not set(map(id, self._watch.tensors.values())) & set(map(id, self._model.parameters())):
            raise ValueError(
                f"model has none of the {len(self._watch.tensors)} tensors of optimizer: pass the model whose "
                "parameters() this optimizer was made with"
            )
        self._losses, self._noise = Losses(), Noise()
        self._loss: Tensor | float | None = None
        self._gap = 0  # steps since the last one with a loss
        self._depth = 0  # nested calls of step that are going on
        self._frame: FrameType | None = None  # the outermost
        # Of optimisers inside another one all are listened to: SAM's step may be that of the one inside alone.
        self._hooks = [
            attach(hook)
            for one in nested(self._optimizer)
            for attach, hook in (
                (one.register_step_pre_hook, self._before),
                (one.register_step_post_hook, self._after),
            )
        ]

    def _trained(self) -> dict[str, Tensor]:
        """Return the tensors of the optimiser that require a gradient, by name, in the model's order."""
        names = {id(p): name for name, p in self._model.named_parameters()}
        found = {}
        for i, group in enumerate(self._optimizer.param_groups):
            for j, p in enumerate(group["params"]):
                if p.requires_grad:
                    found[names.get(id(p), f"parameter {j} of group {i}")] = p
        order = {name: i for i, name in enumerate(names.values())}
        return {name: found[name] for name in sorted(found, key=lambda name: order.get(name, len(order)))}

    def _tensors(self) -> Tensors:
        tensors = self._trained()
        groups = [group for group in self._groups if all(piece.name in tensors for piece in group.pieces)]
        return Tensors(tensors, self._optimizer, self._every, groups)

    # In the loop -----------------------------------------------------------------------------------------------------

    @property
    def due(self) -> bool:
        """Whether the next step is measured."""
        return self._watch.due

    @property
    def steps(self) -> int:
        """Number of steps so far."""
        return self._watch.steps

    def step(self, loss: Tensor | float | None = None) -> None:
        """Pass the loss of this minibatch (nat), before ``optimizer.step()``; its graph is not kept.

        The steps themselves are seen by the optimiser's hooks: without losses nothing has to be called at all.
        """
        self._loss = loss if loss is None or isinstance(loss, Tensor) else float(loss)

    def close(self) -> None:
        """Take the probe off the optimiser; what it has measured stays."""
        for hook in self._hooks:
            hook.remove()
        self._hooks = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def _before(self, optimizer: Any, args: Any, kwargs: Any) -> None:
        """Copy the weights before a step that is due; of nested calls (a parent's step) the outermost."""
        self._depth += 1
        if self._depth > 1 and not self._ended():
            return
        self._frame = sys._getframe(1)
        watch = self._watch
        if watch.steps < watch.next and len(self._optimizer.param_groups) == len(watch.noted):
            return
        trained = {id(p) for group in self._optimizer.param_groups for p in group["params"] if p.requires_grad}
        more = len(self._optimizer.param_groups) != len(watch.noted)
        if more or trained != set(map(id, watch.tensors.values())):
            self._change(trained, more)
        self._watch.before()

    def _change(self, trained: set[int], more: bool) -> None:
        """Watch other tensors: some were frozen, unfrozen or added (`more`: in another parameter group)."""
        watch = self._watch
        if watch.known and not more and trained and trained < set(map(id, watch.tensors.values())):
            watch.keep({name: tensor for name, tensor in watch.tensors.items() if id(tensor) in trained})
        else:
            self._watch = self._tensors()
            self._watch.follow(watch)
        self._noise.forget()

    def _ended(self) -> bool:
        """Whether the outer call is not going on any more: it ended with an error."""
        frame: FrameType | None = sys._getframe(2)
        while frame is not None and frame is not self._frame:
            frame = frame.f_back
        if frame is None:
            self._depth = 1
        return frame is None

    def _after(self, optimizer: Any, args: Any, kwargs: Any) -> None:
        """Count a step, and measure it if it is due.

        The gradients are read here: backward may run inside the step, as a closure.
        """
        self._depth -= 1
        if self._depth:
            return
        self._frame = None
        watch = self._watch
        if self._loss is None:
            self._gap += 1
        else:
            self._losses.skip(self._gap)
            self._losses.add(self._loss)
            self._loss, self._gap = None, 0
        if watch.steps < watch.next:
            watch.count_step()
        else:
            self._noise.end_of_parts()
            watch.after()

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
        watched = list(self._watch.tensors.values())
        self._noise.halves(watched, [both.get(id(p), (None, None)) for p in watched])

    def microbatch(self) -> None:
        """Measure the gradients accumulated so far; call it after every ``backward`` of an accumulated step.

        The scatter of the micro-batches gives an unbiased estimate of the noise of the whole. It costs time only in
        measured steps. Micro-batches must be of equal size; call ``zero_grad`` after ``optimizer.step()`` or before the
        first.
        """
        if self.due:
            self._noise.part(list(self._watch.tensors.values()))

    # Checkpoints -----------------------------------------------------------------------------------------------------

    def state_dict(self) -> dict[str, Any]:
        """Return the state for a checkpoint, from which the probe resumes exactly.

        Numbers, strings, lists and tensors only, so ``torch.load(weights_only=True)`` reads it. Between the two steps
        of a pair it holds a copy of weights and gradients, as the probe does.
        """
        self._losses.skip(self._gap)
        self._gap = 0
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
        TypeError
            If it is not a mapping.
        ValueError
            If an entry is missing, or it is the state of a probe on other tensors.
        """
        wanted = ("watch", "losses", "noise")
        if not isinstance(state, Mapping):
            raise TypeError(f"state must be what state_dict() of a probe returned, got {type(state).__name__}")
        if missing := [name for name in wanted if name not in state]:
            raise ValueError(
                f"state must be what state_dict() of a probe returned, with {', '.join(wanted)}; "
                f"it lacks {', '.join(missing)} and has {', '.join(map(str, list(state)[:3])) or 'no entry'}"
            )
        load_watch(self._watch, state["watch"])
        self._every = self._watch.every
        self._losses.load(state["losses"])
        self._gap = 0
        self._noise.forget()
        self._noise.measured.extend(one.clone() for one in state["noise"])


def _check(model: Any, every: Any, steps_per_epoch: Any) -> None:
    """Raise for an argument of `Loop` that it cannot use."""
    if not isinstance(model, nn.Module):
        raise TypeError(f"model must be a torch.nn.Module, got {model!r}")
    if isinstance(every, bool) or not isinstance(every, Integral):
        raise TypeError(f"every must be an integer, 2 or more: the number of steps per measured pair; got {every!r}")
    if every < 2:
        raise ValueError(f"every must be 2 or more, since two consecutive steps are measured; got {every}")
    if steps_per_epoch is None:
        return
    if isinstance(steps_per_epoch, bool) or not isinstance(steps_per_epoch, Real):
        raise TypeError(f"steps_per_epoch must be a number above 0, such as len(loader); got {steps_per_epoch!r}")
    if not 0 < float(steps_per_epoch) < inf:
        raise ValueError(f"steps_per_epoch must be a finite number above 0, got {steps_per_epoch}")


def _bare(model: nn.Module) -> nn.Module:
    """Return the network inside DDP, DataParallel or torch.compile."""
    while True:
        if isinstance(model, (nn.parallel.DistributedDataParallel, nn.DataParallel)):
            model = model.module
        elif isinstance(inside := getattr(model, "_orig_mod", None), nn.Module):
            model = inside
        else:
            return model
