"""A classifier without hidden layers whose weights are divided by their norm; for two classes, a logistic unit."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from empirics.models.base import Block, Model
from empirics.models.functional import FunctionalModel, linear
from empirics.models.kernels.compiled import Compiled

if TYPE_CHECKING:
    from empirics.data.dataset import Dataset
    from empirics.models.table import ModelTable


class Unit(Compiled, FunctionalModel):
    """``x → W x/|W| → frozen simplex → cross-entropy``, no biases: the plainest scale-invariant network.

    W has a row less than there are classes, and the frozen last layer puts the classes at the corners of a regular
    simplex, so no direction is flat but the norm. With two classes W is one vector w, and the logits are those of
    logistic regression with weights of fixed norm, ``√2 head_norm w·x/|w|``.

    Parameters
    ----------
    features, classes
        Number of inputs and of classes.
    eps
        Added to ``|W|²``.
    head_norm
        Frobenius norm of the frozen last layer.
    compiled
        As for :class:`empirics.models.mlp.EnsembleMLP`.

    Examples
    --------
    >>> Unit(features=30, classes=2).directions, Unit(features=30, classes=10).directions
    (29, 269)
    """

    kernel_module = "empirics.models.kernels.unit"

    def __init__(
        self, features: int, classes: int, eps: float = 1e-12, head_norm: float = 10.0, compiled: bool = True
    ) -> None:
        super().__init__(features, classes, eps, head_norm)
        self.compiled = compiled
        self.blocks = (Block("unit", (classes - 1, features)),)

    @classmethod
    def of(cls, table: "ModelTable", data: "Dataset") -> Model:
        """Build the network for the data."""
        return cls(data.inputs.shape[1], data.classes, table.eps, table.head_norm)

    def draw_frozen(self, generator: np.random.Generator) -> list[NDArray]:
        """Return the simplex, shape (class, class - 1), scaled to `head_norm`; nothing is drawn."""
        return [simplex(self.classes) * (self.head_norm / np.sqrt(self.classes - 1))]

    def logits(self, weights: Sequence[Tensor], frozen: Sequence[Tensor], inputs: Tensor) -> Tensor:
        """Compute the outputs, shape (run, batch, class)."""
        over = (weights[0].square().sum((1, 2), keepdim=True) + self.eps).rsqrt()
        return linear(linear(inputs, weights[0] * over), frozen[0])

    def _call(self, kernel: Callable[..., None], arrays: Sequence[NDArray], found: NDArray, loss: NDArray) -> None:
        kernel(*arrays, self.eps, found, loss)


def simplex(classes: int) -> NDArray[np.float64]:
    """Corners of a regular simplex about 0, shape (class, class - 1), with orthonormal columns.

    Examples
    --------
    >>> simplex(2).round(3).tolist()
    [[0.707], [-0.707]]
    >>> corners = simplex(4)
    >>> np.allclose(corners.T @ corners, np.eye(3)), np.allclose(corners.sum(0), 0)
    (True, True)
    """
    found = np.zeros((classes, classes - 1))
    for k in range(1, classes):  # Helmert's contrasts
        found[:k, k - 1], found[k, k - 1] = 1, -k
    return found / np.linalg.norm(found, axis=0)
