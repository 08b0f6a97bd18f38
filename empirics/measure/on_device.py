"""Directions on a torch device: their nearest neighbours, autocovariance and turns; only answers are transferred.

The same answers as :mod:`empirics.measure.neighbours` has on a CPU. A card multiplies the whole Gram matrix in no time,
but its inner products lose the digits of close neighbours: they only choose candidates, whose distances are taken from
differences in float64, and where rounding may hide others, all that it may hide are asked.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from empirics.measure.neighbours import CANDIDATES, FLOAT64_WORK, ROUND_OFF, possible_neighbours

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["DeviceGram", "at_unit_norm", "norms", "there", "to_numpy", "turns"]

FloatArray = NDArray[np.float64]

#: Bytes of the blocks in float64 that are made at a time; some four are held.
BLOCK_BYTES = 2**28


def there(x: Any) -> bool:
    """Whether samples are a tensor of another device than the CPU."""
    return hasattr(x, "is_cuda") and x.device.type != "cpu"


def to_numpy(x: Any) -> NDArray[Any]:
    """Samples of any device as an array."""
    return np.asarray(x.detach().cpu().numpy() if hasattr(x, "is_cuda") else x)


def _slices(count: int, each: int) -> Iterator[slice]:
    """Consecutive slices of rows, or columns, of `each` numbers in float64."""
    step = max(1, BLOCK_BYTES // (8 * each))
    for start in range(0, count, step):
        yield slice(start, min(start + step, count))


@contextmanager
def _full_precision() -> Iterator[None]:
    """Products without TF32, whose 10 bits the round-off below does not allow for."""
    import torch

    before = torch.backends.cuda.matmul.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = False
    try:
        yield
    finally:
        torch.backends.cuda.matmul.allow_tf32 = before


class DeviceGram:
    """Directions on a device; takes the place of `Gram` and of its rows.

    Parameters
    ----------
    x : torch.Tensor, shape (n, d)
        Samples of any norm in time order.
    k : int
        Which neighbour will be asked for.

    Raises
    ------
    ValueError
        If x is not a finite table of at least k + 1 rows and 2 columns without zero rows.
    """

    def __init__(self, x: Tensor, k: int = 1) -> None:
        import torch

        if x.ndim != 2 or k < 1 or x.shape[0] < k + 1 or x.shape[1] < 2:
            raise ValueError(f"x must have shape (n, d) with n > k = {k} >= 1 and d >= 2, got {tuple(x.shape)}")
        self.rows, self.x = self, x if x.dtype in (torch.float32, torch.float64) else x.double()
        self.n, self.d = x.shape
        largest = self.x.abs().amax(1).double()
        seen = largest.cpu().numpy()
        if not np.isfinite(seen).all():
            raise ValueError(f"x must be finite; row {int(np.argmin(np.isfinite(seen)))} is not")
        if not seen.all():
            raise ValueError(f"row {int(np.argmin(seen))} of x is zero and has no direction")
        #: What each row is divided by, in two steps, so that its norm neither overflows nor vanishes.
        self._largest, self._norms = largest, torch.ones_like(largest)
        total = torch.zeros(self.d, dtype=torch.float64, device=x.device)
        for part in _slices(self.n, self.d):
            here = self._units(part)
            self._norms[part] = torch.linalg.vector_norm(here, dim=1)
            total += torch.mv(here.T, 1 / self._norms[part])
        self._mean = total / self.n
        squares = torch.cat([(self._units(p) - self._mean).square().sum(1) for p in _slices(self.n, self.d)])
        mean_square = float(squares.mean())
        #: Mean square of the centred rows, the unit of the matrix, and their squares in it.
        self._unit = mean_square or 1.0
        self._squares = squares / self._unit
        single = self.n * self.n * self.d > FLOAT64_WORK
        self._kind = torch.float32 if single else torch.float64

    def _units(self, rows: Any) -> Tensor:
        """Rows at unit norm, in float64."""
        return self.x[rows].double() / self._largest[rows, None] / self._norms[rows, None]

    def autocovariance(self) -> FloatArray:
        """Mean inner product of centred rows at each lag, shape (n,), by Fourier transforms in float64."""
        import torch

        length = 1 << (2 * self.n - 1).bit_length()
        power = torch.zeros(length // 2 + 1, dtype=torch.float64, device=self.x.device)
        for columns in _slices(self.d, 4 * length):
            here = self.x[:, columns].double() / self._largest[:, None] / self._norms[:, None] - self._mean[columns]
            power += torch.fft.rfft(here, n=length, dim=0).abs().square().sum(1)
        sums = torch.fft.irfft(power, n=length)[: self.n].cpu().numpy()
        return np.asarray(sums / np.arange(self.n, 0, -1))

    def nearest(self, window: int, k: int) -> tuple[NDArray[np.int64], FloatArray]:
        """Find the nearest neighbours of every row outside a window, exactly; of equal distances the earlier row.

        Parameters
        ----------
        window : int
            Neighbours with at most this lag are left out.
        k : int
            How many neighbours.

        Returns
        -------
        index, distance : numpy.ndarray, shape (n, k + 1)
            As :func:`empirics.measure.neighbours.nearest` has them.

        Notes
        -----
        n^2 d multiplications, and n (k + 7) d differences in float64. One transfer, and one more for each row whose
        neighbours rounding cannot tell apart.
        """
        import torch

        others = torch.as_tensor(possible_neighbours(self.n, window), device=self.x.device)
        keep = min(k + 1 + CANDIDATES, int(others.min()))
        wanted = min(k + 1, keep)
        round_off = ROUND_OFF * torch.finfo(self._kind).eps * self.d**0.5 * (self._squares + self._squares.max())
        found = torch.empty(self.n, 2, wanted, dtype=torch.float64, device=self.x.device)
        with _full_precision():
            rounded = self._rounded(window)
            for rows in _slices(self.n, max(self.n, keep * self.d)):
                far = rounded(rows)
                kept, near = torch.topk(far, keep, dim=1, largest=False)
                index, distance = self._exact(rows, near.sort(dim=1).values)
                found[rows, 0], found[rows, 1] = index[:, :wanted].double(), distance[:, :wanted]
                # Beyond the last candidate, less round-off, may lie others that were not kept.
                hidden = distance[:, wanted - 1].square() > self._unit * (kept.amax(1) - round_off[rows])
                for row in torch.nonzero(hidden & (keep < others[rows])).flatten().tolist():
                    limit = torch.topk(far[row], wanted, largest=False).values[-1] + 2 * round_off[rows.start + row]
                    one = slice(rows.start + row, rows.start + row + 1)
                    index, distance = self._exact(one, torch.nonzero(far[row] <= limit).T)
                    found[one, 0], found[one, 1] = index[:, :wanted].double(), distance[:, :wanted]
        answer = found.cpu().numpy()
        return answer[:, 0].astype(np.int64), answer[:, 1].copy()

    def _rounded(self, window: int) -> Callable[[slice], Tensor]:
        """A function that returns rounded squared distances from some rows to all; infinite within the window."""
        import torch

        parts = (self._units(part) - self._mean for part in _slices(self.n, self.d))
        centred = torch.cat([(part / self._unit**0.5).to(self._kind) for part in parts])
        place = torch.arange(self.n, device=self.x.device)

        def rounded(rows: slice) -> Tensor:
            far = self._squares[rows, None] + self._squares - 2.0 * (centred[rows] @ centred.T).double()
            return far.masked_fill_((place[rows, None] - place).abs() <= window, torch.inf)

        return rounded

    def _exact(self, rows: slice, near: Tensor) -> tuple[Tensor, Tensor]:
        """Candidates (rows, m) in the order of their exact distances, and these; `near` is in the order of rows."""
        import torch

        here, distance = self._units(rows), torch.empty(near.shape, dtype=torch.float64, device=near.device)
        for part in _slices(near.shape[1], len(here) * self.d):
            apart = self._units(near[:, part].flatten()).view(len(here), -1, self.d) - here[:, None]
            distance[:, part] = torch.linalg.vector_norm(apart, dim=2)
        ordered, order = torch.sort(distance, dim=1, stable=True)
        return near.gather(1, order), ordered


def norms(x: Tensor, sizes: Sequence[int]) -> FloatArray:
    """Norms of consecutive columns of every row, shape (parts, n), by one transfer."""
    import torch

    return to_numpy(torch.stack([torch.linalg.vector_norm(part.double(), dim=1) for part in x.split(list(sizes), 1)]))


def at_unit_norm(x: Tensor, sizes: Sequence[int]) -> Tensor:
    """A copy with consecutive columns of every row at unit norm; `norms` has shown that none is zero."""
    import torch

    parts = (part / torch.linalg.vector_norm(part.double(), dim=1, keepdim=True) for part in x.split(list(sizes), 1))
    return torch.cat([part.to(x.dtype) for part in parts], 1)


def turns(x: Tensor) -> FloatArray:
    """Angle (rad) between each row and the next, shape (n - 1,), as `angular_update` has it; NaN at rows of zeros."""
    import torch

    found = []
    for part in _slices(len(x) - 1, x.shape[1]):
        u, v = (
            here / here.abs().amax(1, keepdim=True)
            for here in (x[part].double(), x[part.start + 1 : part.stop + 1].double())
        )
        u, v = (here / torch.linalg.vector_norm(here, dim=1, keepdim=True) for here in (u, v))
        found.append(2 * torch.atan2(torch.linalg.vector_norm(u - v, dim=1), torch.linalg.vector_norm(u + v, dim=1)))
    return to_numpy(torch.cat(found))
