"""The table ``[model]`` of an experiment file: the network."""

from dataclasses import dataclass
from typing import Any, ClassVar

from empirics.experiment.schema import (
    ExperimentError,
    TomlTable,
    flag,
    integer,
    key,
    maybe_text,
    number,
    one_of,
    show,
    text,
)
from empirics.measure.stationarity import VIOLATION_MARGIN
from empirics.models.registry import MODELS

#: What a transformer has by default; no other network has either.
DEPTH, HEADS = 2, 2


@dataclass(frozen=True)
class ModelTable(TomlTable):
    """``[model]``: the network.

    Attributes
    ----------
    name
        `mlp`, `convnet`, `resnet18`, `transformer`; `unit`, a softmax classifier without hidden layers whose weights
        are divided by their norm (of two classes, logistic regression with weights of norm ``√2 head_norm``);
        `paper-convnet` and `preact-resnet18`, the networks of arXiv 2511.07308; or one that `file` registers.
    file, remainder
        A Python file with a user-defined network (:mod:`empirics.models.own`), and the treatment of its tensors that
        are not scale-invariant: ``"freeze"``, ``"refuse"`` or ``"train"``.
    hidden
        mlp: widths of the hidden layers.
    width
        Convolutional networks: channels of the first layer (the multiplier k); transformer: of the residual stream.
    depth, heads
        transformer: number of layers, and of attention heads per layer.
    norm
        mlp: ``"batch"``, ``"layer"`` or ``"rms"``.
    eps
        Added to the variance in normalisations; must be negligible for scale invariance.
    tolerance
        Largest ``|w·g|/(|w||g|)`` of a scale-invariant tensor and its gradient. A network from a file that exceeds it,
        at a third of its initial norm, is refused before the first step; a run that exceeds it on average is left out.
    activation
        mlp: ``"relu"``, or ``"tanh"`` under LayerNorm or RMSNorm.
    affine
        mlp: train BatchNorm's scales and shifts (they break scale invariance).
    head_norm
        Frobenius norm of the frozen last layer.
    head_seed
        Seed of the frozen last layer, which belongs to the loss, so that all runs of the experiment share it. That of a
        unit is not random.
    """

    TITLE: ClassVar[str] = "model"

    name: str = key(text)
    hidden: tuple[int, ...] = key(lambda value: _widths(value), ())
    eps: float = key(number(least=0), 1e-12)
    tolerance: float = key(number(above=0), VIOLATION_MARGIN)
    affine: bool = key(flag, False)
    head_norm: float = key(number(above=0), 10.0)
    head_seed: int = key(integer(0), 0)
    width: int = key(integer(1), 4)
    depth: int = key(integer(1, 10_000), DEPTH)
    heads: int = key(integer(1), HEADS)
    norm: str = key(one_of(("batch", "layer", "rms")), "batch")
    activation: str = key(one_of(("relu", "tanh")), "relu")
    file: str = key(lambda value: maybe_text(value), "")
    remainder: str = key(one_of(("freeze", "refuse", "train")), "freeze")

    def __post_init__(self) -> None:
        super().__post_init__()
        try:
            if not self.file:
                one_of(MODELS.names)(self.name)
        except ValueError as error:
            raise ExperimentError(f"[model] name = {show(self.name)}: {error}") from None
        if self.file:
            others = self.norm, self.activation, self.depth, self.heads
            if self.hidden or self.affine or others != ("batch", "relu", DEPTH, HEADS):
                raise ExperimentError(
                    "[model] hidden, affine, norm, activation, depth, heads: not supported for a network from a file; "
                    "leave them out"
                )
            return
        for name, value, default in (("depth", self.depth, DEPTH), ("heads", self.heads, HEADS)):
            if value != default and self.name != "transformer":
                raise ExperimentError(
                    f"[model] {name} = {value}: is only supported for name = 'transformer'; leave it out"
                )
        if self.name == "mlp" and not self.hidden:
            raise ExperimentError("[model] hidden = []: must be a non-empty list of widths")
        if self.name != "mlp" and self.hidden:
            raise ExperimentError(
                f"[model] hidden: not supported for name = {self.name!r}, which has a width instead; leave it out"
            )
        if self.affine and (self.name, self.norm) != ("mlp", "batch"):
            raise ExperimentError("[model] affine = true: is only supported for name = 'mlp' with norm = 'batch'")
        if self.norm != "batch" and self.name != "mlp":
            raise ExperimentError(f"[model] norm = {show(self.norm)}: is only supported for name = 'mlp'; leave it out")
        if self.activation != "relu" and (self.name != "mlp" or self.norm == "batch"):
            raise ExperimentError(
                f"[model] activation = {show(self.activation)}: is only supported for name = 'mlp' with norm = "
                "'layer' or 'rms'"
            )
        if self.name == "transformer" and self.width % self.heads:
            raise ExperimentError(f"[model] heads = {self.heads}: must divide width = {self.width} evenly")


def _widths(value: Any) -> tuple[int, ...]:
    if not isinstance(value, (list, tuple)):
        raise ValueError("must be a non-empty list of widths")
    return tuple(integer(1)(width) for width in value)
