"""A small pre-norm transformer with all matrices on spheres, as in nGPT (arXiv 2410.01131), for many runs at once."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from empirics.models.base import Block, Model, ModelError
from empirics.models.functional import FunctionalModel, frozen_head, linear, normalised

if TYPE_CHECKING:
    from empirics.data.dataset import Dataset
    from empirics.models.table import ModelTable

OF_LAYER = ("query", "key", "value", "out", "up", "down")
EXPANSION = 4  # width of the feed-forward layer over that of the residual stream


class Transformer(FunctionalModel):
    """``x → embed → [+ attention(RMSNorm), + feed-forward(RMSNorm)] × depth → RMSNorm → mean → frozen last layer``.

    Every matrix W acts as ``W · √rows / |W|``, so the loss depends on its direction only: a block is a matrix. There
    are no gains and no biases; the feed-forward layer is ``down · GELU(up ·)``. Each row of an image is a token.

    Parameters
    ----------
    tokens, entries
        Length of a sequence, and number of entries per token.
    channels
        Channels of images whose rows of pixels are the tokens, or 0 for sequences.
    classes
        Number of classes.
    width
        Width of the residual stream.
    depth, heads
        Number of layers, and of attention heads per layer.
    eps
        Added to the mean squares in normalisations.
    head_norm
        Frobenius norm of the frozen last layer.

    Examples
    --------
    Embedding, positions, and two layers of (4 + 2·4)·8·8:

    >>> Transformer(tokens=8, entries=8, classes=10, width=8, depth=2, heads=2).dimension
    1664
    """

    def __init__(
        self,
        tokens: int,
        entries: int,
        classes: int,
        width: int,
        depth: int,
        heads: int,
        eps: float = 1e-12,
        head_norm: float = 10.0,
        channels: int = 0,
    ) -> None:
        super().__init__(tokens * entries, classes, eps, head_norm)
        self._channels = channels
        self.tokens, self.width, self.depth, self.heads = tokens, width, depth, heads
        shapes = dict.fromkeys(OF_LAYER, (width, width))
        shapes |= {"up": (EXPANSION * width, width), "down": (width, EXPANSION * width)}
        layers = tuple(Block(f"layer {i} {name}", shapes[name]) for i in range(1, depth + 1) for name in OF_LAYER)
        self.blocks = (Block("embedding", (width, entries)), Block("position", (tokens, width)), *layers)

    @classmethod
    def of(cls, table: "ModelTable", data: "Dataset") -> Model:
        """Build the network for the data, which must be sequences or images."""
        if len(data.shape) == 3:
            channels, tokens, width = data.shape
            entries = channels * width
        elif len(data.shape) == 2:
            channels, (tokens, entries) = 0, data.shape
        else:
            raise ModelError(
                f"[model] name = {table.name!r} needs sequences or images, but data set {data.name!r} has neither"
            )
        of_table = (table.width, table.depth, table.heads, table.eps, table.head_norm)
        return cls(tokens, entries, data.classes, *of_table, channels)

    def draw_frozen(self, generator: np.random.Generator) -> list[NDArray]:
        """Draw a Gaussian last layer, scaled to `head_norm`."""
        return frozen_head(generator, self.classes, self.width, self.head_norm)

    def _sequences(self, inputs: Tensor) -> Tensor:
        """View the samples as (run, batch, token, entry)."""
        runs, batch = inputs.shape[:2]
        if self._channels:
            return inputs.view(runs, batch, self._channels, self.tokens, -1).transpose(2, 3).flatten(3)
        return inputs.view(runs, batch, self.tokens, -1)

    def _directions(self, weights: Sequence[Tensor]) -> dict[str, Tensor]:
        """Return the normalised matrices, with rows of mean square length 1."""
        scaled = {}
        for block, w in zip(self.blocks, weights, strict=True):
            length_sq = w.square().sum((1, 2), keepdim=True) / block.shape[0]
            scaled[block.name] = w * (length_sq + self.eps).rsqrt()
        return scaled

    def _attention(self, signal: Tensor, layer: dict[str, Tensor]) -> Tensor:
        """Attend to all tokens of the sequence, head by head."""

        def split(name: str) -> Tensor:
            """Project, then put heads before tokens: (run, batch, head, token, entry)."""
            return linear(signal, layer[name]).unflatten(-1, (self.heads, -1)).transpose(2, 3)

        query, key, value = split("query"), split("key"), split("value")
        weights = (query @ key.transpose(-1, -2) * query.shape[-1] ** -0.5).softmax(-1)
        return linear((weights @ value).transpose(2, 3).flatten(3), layer["out"])

    def logits(self, weights: Sequence[Tensor], frozen: Sequence[Tensor], inputs: Tensor) -> Tensor:
        """Compute the outputs, shape (run, batch, class)."""
        acting = self._directions(weights)
        signal = linear(self._sequences(inputs), acting["embedding"]) + acting["position"][:, None]
        for i in range(1, self.depth + 1):
            layer = {name: acting[f"layer {i} {name}"] for name in OF_LAYER}
            signal = signal + self._attention(normalised(signal, "rms", self.eps), layer)
            hidden = functional.gelu(linear(normalised(signal, "rms", self.eps), layer["up"]))
            signal = signal + linear(hidden, layer["down"])
        return linear(normalised(signal, "rms", self.eps).mean(2), frozen[0])
