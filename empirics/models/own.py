"""User-defined networks: any torch module, registered in a file, for many runs at once by ``torch.func``.

In the file::

    from empirics.models import network

    @network("residual")
    class Residual(torch.nn.Module):
        def __init__(self, features, classes): ...

and in the experiment's ``[model]``: ``file = "that_file.py"``, ``name = "residual"``. Which tensors are scale-invariant
is measured; ``remainder`` defines the treatment of the others.
"""

import hashlib
import importlib.util
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.func import functional_call, replace_all_batch_norm_modules_, vmap
from torch.nn.functional import cross_entropy

from empirics.experiment.registry import nearest
from empirics.measure.stationarity import VIOLATION_MARGIN
from empirics.models.base import Block, ModelError, not_invariant
from empirics.models.functional import FunctionalModel
from empirics.models.invariance import TOLERANCE, TensorBlocks, scale_invariant_blocks

if TYPE_CHECKING:
    from empirics.data.dataset import Dataset
    from empirics.models.table import ModelTable

Builder = TypeVar("Builder", bound=Callable[..., nn.Module])
_registered: dict[str, Callable[..., nn.Module]] = {}

#: Number of samples on which the blocks are measured.
MEASURED_ON = 64

#: Change of the loss under scaling, over that under a random change, for each unit of ``|w·g|/(|w||g|)`` that the file
#: tolerates, and at most: the losses of tensors that are not scale-invariant change by 0.1 to 1 of it.
CHANGE_PER_VIOLATION, LARGEST_CHANGE = 10.0, 0.1


def network(name: str) -> Callable[[Builder], Builder]:
    """Register a network under a name for experiment files; a decorator.

    Parameters
    ----------
    name
        The name for ``[model] name``.

    Returns
    -------
    Callable
        Takes and returns a class or function that builds a ``torch.nn.Module`` from the keywords `features` and
        `classes`. The module maps a minibatch, (batch, feature) or ``(batch, *shape)`` of images and sequences, to
        logits (batch, class); the loss is the cross-entropy.
    """

    def register(builder: Builder) -> Builder:
        _registered[name] = builder
        return builder

    return register


def _builder(table: "ModelTable") -> Callable[..., nn.Module]:
    """Run the user's file and find the network that it must register."""
    path = Path(table.file)
    spec = importlib.util.spec_from_file_location(f"_network_{hashlib.sha256(bytes(path)).hexdigest()[:12]}", path)
    if spec is None or spec.loader is None or not path.is_file():
        raise ModelError(f"[model] file = {table.file!r}: no such Python file")
    _registered.clear()
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses and pickles look for it there
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:  # a file that ends the program would pass for one that was trained
        raise ModelError(f"[model] file = {table.file!r} fails: {_said(error)}") from error
    if table.name not in _registered:
        known = ", ".join(_registered) or "none"
        raise ModelError(
            f"[model] name = {table.name!r}: {table.file} does not register this network"
            f"{nearest(table.name, tuple(_registered))} (registered: {known})"
        )
    return _registered[table.name]


def _said(error: BaseException) -> str:
    return f"{type(error).__name__}: {(str(error).splitlines() or [''])[0]}"


class OwnModel(FunctionalModel):
    """A user-defined torch module, stacked over runs.

    Parameters
    ----------
    build
        Builds and initialises the module.
    data
        The data; the blocks are measured on its first samples.
    remainder
        Treatment of tensors that are not scale-invariant: ``"freeze"``, ``"refuse"`` or ``"train"``.
    seed
        Seed of the module that is measured.
    tolerance
        Largest ``|w·g|/(|w||g|)`` of a scale-invariant tensor.
    """

    def __init__(
        self,
        build: Callable[..., nn.Module],
        data: "Dataset",
        remainder: str,
        seed: int,
        tolerance: float = VIOLATION_MARGIN,
    ) -> None:
        self._build, self._shape, self._tolerance = build, data.shape or data.inputs.shape[1:], tolerance
        self._features, self.classes = data.inputs.shape[1], data.classes
        self._module = self._made(seed)
        self.rows = self._measured(data)
        self.blocks = self._sorted(remainder)
        self._trained = tuple(block.name for block in self.blocks)
        self._frozen = tuple(row.name for row in self.rows if row.name not in self._trained)
        self._check_together(data)

    @classmethod
    def of(cls, table: "ModelTable", data: "Dataset") -> "OwnModel":
        """Build the network that the user's file registers."""
        model = cls(_builder(table), data, table.remainder, table.head_seed, table.tolerance)
        model.checksum = hashlib.sha256(Path(table.file).read_bytes()).hexdigest()
        return model

    checksum: str = ""

    @property
    def negligible(self) -> Self:
        """The network itself: its eps is left to the user, and shows in the violation."""
        return self

    def check(self, classes: int) -> None:
        """Do nothing: the blocks were measured, not stated."""

    def description(self) -> dict[str, Any]:
        """Add the frozen tensors and the checksum of the user's file to `Model.description`."""
        return super().description() | {"frozen": list(self._frozen), "file_sha256": self.checksum}

    def _made(self, seed: int) -> nn.Module:
        """Build a module from a seed, without a trace in torch's random numbers."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            try:
                module = self._build(features=self.features, classes=self.classes)
            except (Exception, SystemExit) as error:
                raise ModelError(f"the network cannot be made: {_said(error)}") from error
        if not isinstance(module, nn.Module):
            raise ModelError(f"the network must be a torch.nn.Module, got {type(module).__name__}")
        return replace_all_batch_norm_modules_(module.double().train())  # statistics of the minibatch, none kept

    def _measured(self, data: "Dataset") -> list[TensorBlocks]:
        """Find the blocks on some of the data, which the network must map to logits, the same each time."""
        inputs = torch.as_tensor(data.inputs[:MEASURED_ON], dtype=torch.float64)
        labels = torch.as_tensor(data.labels[:MEASURED_ON])
        expected = (len(inputs), data.classes)

        def loss(module: nn.Module) -> Tensor:
            return cross_entropy(module(inputs.view(-1, *self._shape)), labels)

        try:
            with torch.no_grad(), torch.random.fork_rng(devices=[]):
                torch.manual_seed(0)
                logits = self._module(inputs.view(-1, *self._shape))
                again = self._module(inputs.view(-1, *self._shape))
            if logits.shape != expected:
                raise ModelError(f"the network must return logits of shape {expected}, got {tuple(logits.shape)}")
            if not torch.isfinite(logits).all():
                raise ModelError("the network returns logits that are not finite, at its initial weights")
            if not torch.equal(logits, again):
                raise ModelError(
                    "the network draws random numbers (dropout?), but runs must be reproducible: leave them out"
                )
            change = min(max(TOLERANCE, CHANGE_PER_VIOLATION * self._tolerance), LARGEST_CHANGE)
            return scale_invariant_blocks(self._module, loss, tolerance=change)
        except ModelError:
            raise
        except (Exception, SystemExit) as error:
            raise ModelError(f"the network fails on the data: {_said(error)}") from error

    def _check_together(self, data: "Dataset") -> None:
        """Take one gradient of two runs at once, as training will: not every network that works alone can."""
        generators = [np.random.default_rng(seed) for seed in (0, 1)]
        weights = self.initial(generators, np.ones(2), torch.float64, torch.device("cpu"))
        inputs = torch.as_tensor(data.inputs[:MEASURED_ON], dtype=torch.float64).expand(2, -1, -1)
        labels = torch.as_tensor(data.labels[:MEASURED_ON]).expand(2, -1)
        frozen = self.fixed(np.random.default_rng(0), 2, torch.float64, torch.device("cpu"))
        try:
            self.loss_and_grad(weights, frozen, inputs, labels, [torch.empty_like(w) for w in weights])
        except (Exception, SystemExit) as error:
            raise ModelError(
                f"the network fails when torch.func.vmap trains several runs together: {_said(error)} (a branch that "
                "depends on data, as `if x.sum() > 0`? write it with torch.where)"
            ) from error

    def _sorted(self, remainder: str) -> tuple[Block, ...]:
        """Choose the trained tensors, the scale-invariant ones first; there must be one, and the rest be allowed."""
        invariant = [row for row in self.rows if row.scale_invariant]
        rest = [row for row in self.rows if not row.scale_invariant]
        if not invariant:
            found = ", ".join(f"{row.name} {row.violation:.2g}" for row in rest)
            raise ModelError(
                f"no tensor of the network is scale-invariant (|w·g|/(|w||g|): {found}): normalise after its layers"
            )
        for row in invariant:
            if row.violation > self._tolerance:
                raise ModelError(not_invariant(row.name, row.violation, self._tolerance))
        if rest and remainder == "refuse":
            names = ", ".join(row.name for row in rest)
            raise ModelError(
                f"not scale-invariant: {names} (to accept them, set [model] remainder = 'freeze' or 'train')"
            )
        blocks = [Block(row.name, row.shape, parts=row.blocks, centred=row.centred) for row in invariant]
        if remainder == "train":
            blocks += [Block(row.name, row.shape, scale_invariant=False) for row in rest]
        return tuple(blocks)

    def _values(self, generator: np.random.Generator, names: Sequence[str]) -> list[NDArray]:
        made = dict(self._made(int(generator.integers(2**63))).named_parameters())
        return [made[name].detach().numpy().copy() for name in names]

    def draw(self, generator: np.random.Generator) -> list[NDArray]:
        """Return the trained tensors of a newly initialised module."""
        return self._values(generator, self._trained)

    def draw_frozen(self, generator: np.random.Generator) -> list[NDArray]:
        """Return the frozen tensors of a newly initialised module."""
        return self._values(generator, self._frozen)

    def _logits_of_one(self, weights: Sequence[Tensor], frozen: Sequence[Tensor], inputs: Tensor) -> Tensor:
        """Compute the outputs of one run."""
        names = dict(zip((*self._trained, *self._frozen), (*weights, *frozen), strict=True))
        logits: Tensor = functional_call(self._module, names, (inputs.view(-1, *self._shape),))
        return logits

    def logits(self, weights: Sequence[Tensor], frozen: Sequence[Tensor], inputs: Tensor) -> Tensor:
        """Compute the outputs of the ensemble, shape (run, batch, class)."""
        self._module.to(device=weights[0].device, dtype=weights[0].dtype)  # its buffers
        found: Tensor = vmap(self._logits_of_one)(tuple(weights), tuple(frozen), inputs)
        return found
