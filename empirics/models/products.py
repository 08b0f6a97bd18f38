"""Find the groups of weights that are scale-invariant, from w·g = 0 at several places."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise, product

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from empirics.models.groups import Group, Piece, length
from empirics.models.orthogonal import limit

__all__ = ["InnerProducts", "Profile", "by_itself"]

FloatArray = NDArray[np.float64]

#: Largest sum of w·g over the tensors of a group, in units of the smallest term, both rms over places and blocks.
CANCELLED = 0.1

#: Factor on :func:`~empirics.models.orthogonal.limit` for a part of a tensor: there are many parts.
PARTIAL = 0.2

#: Share of the places at which a block has to pass.
QUANTILE = 0.75

#: Minimum number of equal blocks in a part of a tensor: by chance, fewer may have a small w·g all along a training.
LEAST = 3

#: Minimum share of a tensor in a part, which is also one of a matrix: keys are 1/18 of a fused matrix of 16 heads of
#: queries and one of keys and values. A few channels that do not reach the upper end of a ReLU6 are no part.
SHARE = 1 / 32

#: Most consecutive tensors that are tried together, such as the two matrices and two biases of a recurrent layer.
WINDOW = 4

#: Square of a sum that counts as 0, of vectors of w·g of length 1: for sets of three tensors or more.
VANISHES = 1e-4

#: A slice without effect has a gradient below this share (rms per weight) of the same slice of the tensor before it, as
#: the bias of a layer beside its weight. Rounding leaves 1e-7 to 1e-5.
ROUNDING = 1e-4


@dataclass(frozen=True)
class Profile:
    """w·g, |w|² and |g|² of every slice of some tensors along one axis of each, shape (tensor, 3, place, slice)."""

    pieces: tuple[Piece, ...]
    products: FloatArray

    def cut(self, blocks: int) -> FloatArray:
        """Return the products of equal ranges of slices, shape (tensor, 3, place, block)."""
        return self.products.reshape(*self.products.shape[:3], blocks, -1).sum(-1)

    @property
    def slices(self) -> int:
        """Number of slices."""
        return self.products.shape[3]

    @property
    def parameters(self) -> int:
        """Number of weights."""
        return sum(piece.parameters for piece in self.pieces)

    def divisions(self) -> Iterator[int]:
        """Yield the numbers of equal blocks of two or more weights, the largest first."""
        return (n for n in range(self.slices, 0, -1) if self.slices % n == 0 and self.parameters > n)

    def group(self, role: str, blocks: int, *runs: tuple[int, int]) -> Group:
        """Return the group of some runs of slices (start, stop), all by default, cut into a number of blocks."""
        runs = runs or ((0, self.slices),)
        pieces = tuple(Piece(p.name, p.shape, p.axis, *run) for p in self.pieces for run in runs)
        first = np.concatenate([self.products[:, :, :1, start:stop].sum((0, 2)) for start, stop in runs], 1)
        along, weight, slope = first.reshape(3, max(blocks, 1), -1).sum(-1)
        with np.errstate(invalid="ignore"):
            return Group(pieces, role, blocks, float(np.abs(along).sum() / np.sqrt(weight * slope).sum()))

    def whole(self, blocks: int, loose: float = 1.0) -> bool:
        """Whether all blocks together are orthogonal to their gradients; `loose` multiplies the limits.

        Blocks count by |w|²: a filter that has decayed to nothing is not scale-invariant, since the norm's eps matters.
        """
        cut, size = self.cut(blocks), self.parameters / blocks
        found, weight = _violations(cut, size), cut[:, 1].sum((0, 1))
        seen = np.isfinite(found)
        if not weight[seen].sum() > 0:
            return False
        rms = float(np.sqrt(np.average(found[seen] ** 2, weights=weight[seen])))
        return rms < loose * limit(size) and bool(_cancels(cut, axis=(-2, -1)))

    def parts(self, least: int) -> list[tuple[int, int, int]]:
        """Return start, stop and number of blocks of the ranges that are orthogonal block by block.

        Smaller blocks come first, since a union of orthogonal blocks is one too.
        """
        found: list[tuple[int, int, int]] = []
        free = np.ones(self.slices, dtype=bool)
        for blocks in self.divisions():
            cut, size, wide = self.cut(blocks), self.parameters / blocks, self.slices // blocks
            good = free.reshape(blocks, wide).all(1) & (_violations(cut, size) < PARTIAL * limit(size))
            for start, stop in _runs(np.asarray(good & _cancels(cut, axis=-2))):
                if stop - start >= max(least, SHARE * blocks):
                    found.append((start * wide, stop * wide, stop - start))
                    free[start * wide : stop * wide] = False
        return found


def _runs(good: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """Return start and stop of every run of True."""
    edges = np.flatnonzero(np.diff(np.concatenate(([False], good, [False])).astype(int)))
    return [(int(start), int(stop)) for start, stop in edges.reshape(-1, 2)]


def _violations(products: FloatArray, size: float) -> FloatArray:
    """Return the cosine of w and g of each block, over that of random vectors, at the worst but two of eight places.

    A single place may be one where the eps of a norm matters.
    """
    along, weight, slope = products.sum(0)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        squared = np.sort(along**2 / (weight * slope) * size, axis=0)  # NaN, without a gradient, comes last
    place = np.ceil(np.isfinite(squared).sum(0) * QUANTILE).astype(int) - 1
    found: FloatArray = np.sqrt(np.take_along_axis(squared, place[None].clip(0), axis=0)[0])
    return found


def _cancels(products: FloatArray, axis: int | tuple[int, ...]) -> NDArray[np.bool_] | np.bool_:
    """Whether w·g of several tensors (the first axis) cancel, in rms over `axis`; for a single tensor, True.

    Their changes from place to place have to cancel as well: along a training, w·g of a tensor may hardly change, and
    two of opposite sign are then no evidence.
    """
    along = products[:, 0]
    cancelled: NDArray[np.bool_] | np.bool_ = np.True_
    for terms in (along, along - along.mean(1, keepdims=True)) if len(along) > 1 else ():
        cancelled &= (terms.sum(0) ** 2).mean(axis) < CANCELLED**2 * (terms**2).mean(axis).min(0)
    return cancelled


class InnerProducts:
    """Gathers w·g, |w|² and |g|² at several places, and finds the groups that they show.

    A place is a pair of weights and gradients: of other weights for the same data, or of the next steps of a training.

    Parameters
    ----------
    least
        Minimum number of equal blocks in a part of a tensor; 1 where the places are independent of each other.

    Examples
    --------
    >>> _ = torch.manual_seed(0)
    >>> products = InnerProducts()
    >>> for _ in range(8):  # the loss x·W/|W| + sum(b) + 0·c, whose gradients are known
    ...     w, x = torch.randn(4, 6), torch.randn(4, 6)
    ...     g = (x - w * (x * w).sum() / w.square().sum()) / w.norm()
    ...     products.add({"W": (w, g), "b": (torch.randn(5), torch.ones(5)), "c": (torch.ones(3), torch.zeros(3))})
    >>> [(group.name, group.role, group.blocks) for group in products.groups()]
    [('W', 'invariant', 1), ('b', 'penalty', 0), ('c', 'dead', 0)]
    """

    def __init__(self, least: int = LEAST) -> None:
        self._least = least
        self._shapes: dict[str, tuple[int, ...]] = {}
        self._places: list[Tensor] = []

    def __len__(self) -> int:
        return len(self._places)

    @torch.no_grad()
    def add(self, place: Mapping[str, tuple[Tensor, Tensor]]) -> None:
        """Add a place: weights and gradient of every tensor, the same tensors each time. Nothing is moved to the host.

        Parameters
        ----------
        place
            By the name of the tensor, in the model's order.
        """
        self._shapes = {name: tuple(w.shape) for name, (w, _) in place.items()}
        columns: list[Tensor] = []
        for w, g in place.values():
            w, g = ((t.float() if t.dtype in (torch.float16, torch.bfloat16) else t).detach() for t in (w, g))
            products = torch.stack([w * g, w * w, g * g])
            for axis in _axes(tuple(w.shape)):
                others = [i + 1 for i in range(w.ndim) if i != axis]
                columns.append((products.sum(others) if others else products).reshape(3, -1))
        self._places.append(torch.cat([c.to(columns[0].device) for c in columns], 1))

    def profiles(self) -> dict[str, list[Profile]]:
        """Return the sums along each axis of every tensor, over the places at which all gradients are finite."""
        values = torch.stack(self._places, 1).cpu().double().numpy()
        values = values[:, np.isfinite(values).all((0, 2))]
        found: dict[str, list[Profile]] = {}
        done = 0
        for name, shape in self._shapes.items():
            for axis in _axes(shape):
                n = length(shape, axis)
                piece = Piece(name, shape, axis, 0, n)
                found.setdefault(name, []).append(Profile((piece,), values[None, :, :, done : done + n]))
                done += n
        return found

    def groups(
        self,
        confirmed: Callable[[Group], bool] = lambda group: True,
        *,
        dead: Collection[str] | None = None,
        together: Collection[str] | None = None,
    ) -> list[Group]:
        """Divide all weights into groups, each weight in one.

        Parameters
        ----------
        confirmed
            A further check that an invariant group, or a dead part of a tensor, has to pass.
        dead
            Tensors known to have no effect; by default those whose gradient is 0, or rounding beside that of the tensor
            before.
        together
            Tensors that may share a group with others, such as those that are trained; by default all.

        Returns
        -------
        list of Group
            In the order of the tensors. If no place has finite gradients, every tensor is a penalty.
        """
        profiles = self.profiles()
        if not all(each[0].products.shape[2] for each in profiles.values()):  # no place with finite gradients
            return [each[0].group("penalty", 0) for each in profiles.values()]
        found = {name: [profiles[name][0].group("dead", 0)] for name in dead or ()}
        free = [each for name, each in profiles.items() if name not in found and (together is None or name in together)]
        for groups in _joint(free, self._least):
            names = [piece.name for piece in groups[0].pieces]
            good = [group for group in groups if not any(name in found for name in names) and confirmed(group)]
            found |= dict.fromkeys(names, good) if good else {}
        for group in _without_effect(list(profiles.values())):
            name = group.pieces[0].name
            known = dead is not None and group.parameters == profiles[name][0].parameters
            if name not in found and not known and confirmed(group):
                found[name] = [group]
        for name, each in profiles.items():
            if name not in found:
                found[name] = _within(each, confirmed, self._least)
            found[name] = [*found[name], *_remainder(each, found[name])]
        return list(dict.fromkeys(group for name in profiles for group in found[name]))


def _axes(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Return the axes to cut a tensor along: filters are rows in most layers, columns in ConvTranspose and x @ W."""
    return (0, 1) if len(shape) > 1 else (0,)


def by_itself(profile: Profile, confirmed: Callable[[Group], bool], loose: float = 1.0) -> Group | None:
    """Return the maximum number of equal blocks into which all slices can be cut; `loose` multiplies the limits."""
    for blocks in profile.divisions():
        if profile.whole(blocks, loose):
            group = profile.group("invariant", blocks)
            if confirmed(group):
                return group
    return None


def _within(profiles: list[Profile], confirmed: Callable[[Group], bool], least: int) -> list[Group]:
    """Return the invariant groups inside a tensor, along the axis that gives most."""
    whole = [group for profile in profiles if (group := by_itself(profile, confirmed))]
    if whole:
        return [max(whole, key=lambda group: group.blocks)]
    parts = [[group for group in _parts(profile, least) if confirmed(group)] for profile in profiles]
    return max(parts, key=lambda groups: sum(group.parameters for group in groups))


def _parts(profile: Profile, least: int) -> list[Group]:
    if all(len(piece.shape) < 2 for piece in profile.pieces):
        return []
    return [profile.group("invariant", blocks, (start, stop)) for start, stop, blocks in profile.parts(least)]


def _joint(tensors: list[list[Profile]], least: int) -> Iterator[list[Group]]:
    """Yield groups over several tensors, those of most blocks first; then parts of neighbours (a head and its bias)."""
    windows = {tuple(range(i, i + n)) for n in range(2, WINDOW + 1) for i in range(len(tensors) - n + 1)}
    near = sorted(windows | _opposite([each[0] for each in tensors]))
    candidates = [profile for chosen in near for profile in _aligned([tensors[i] for i in chosen])]
    whole = []
    for profile in [*candidates, *_streams([profile for each in tensors for profile in each])]:
        if profile.whole(1) and (group := by_itself(profile, lambda group: True)):
            whole.append([group])
    yield from sorted(whole, key=lambda groups: -groups[0].blocks)
    for pair in pairwise(tensors):
        for profile in _aligned(list(pair)):
            if groups := _parts(profile, least):
                yield groups


def _aligned(tensors: list[list[Profile]]) -> Iterator[Profile]:
    """Yield the profiles of several tensors along axes of the same length."""
    for profiles in product(*tensors):
        if len({profile.slices for profile in profiles}) == 1:
            yield _together(profiles)


def _together(profiles: Sequence[Profile]) -> Profile:
    pieces = tuple(piece for profile in profiles for piece in profile.pieces)
    return Profile(pieces, np.concatenate([profile.products for profile in profiles]))


def _streams(profiles: list[Profile]) -> list[Profile]:
    """Find sets of three tensors or more whose w·g cancel slice by slice, as of all that is added to one stream.

    Every set is a vector, not 0 for its tensors alone, that the matrix of all w·g maps to 0. Sets are disjoint, so the
    projector on the space of these vectors has entries only where both tensors are in one set.
    """
    found = []
    for slices in {profile.slices for profile in profiles}:
        alike = [p for p in profiles if p.slices == slices and p.products[0, 0].any()]
        along = np.array([profile.products[0, 0].ravel() for profile in alike])
        if not 2 < len(alike) < along.shape[1]:  # with fewer equations than tensors chance finds sets
            continue
        units = along / np.linalg.norm(along, axis=1, keepdims=True)
        squares, vectors = np.linalg.eigh(units @ units.T)
        kept = vectors[:, squares < VANISHES]
        size = np.linalg.norm(kept, axis=1)
        joined = kept @ kept.T > np.outer(size, size) / 2
        for row in {tuple(np.flatnonzero(row & (size**2 > VANISHES))) for row in joined[size**2 > VANISHES]}:
            if len(row) > 2:
                found.append(_together([alike[i] for i in row]))
    return found


def _opposite(profiles: list[Profile]) -> set[tuple[int, int]]:
    """Return the pairs of tensors whose w·g cancel, of all pairs at once."""
    if len(profiles) < 2:
        return set()
    along = np.array([profile.products[0, 0].sum(1) for profile in profiles])
    gram = along @ along.T
    size = np.diag(gram)
    added = size[:, None] + size + 2 * gram
    pairs = np.argwhere(added < CANCELLED**2 * np.minimum(size[:, None], size))
    return {(int(i), int(j)) for i, j in pairs if i < j}


def _without_effect(tensors: list[list[Profile]]) -> list[Group]:
    """Return the tensors without effect, and such parts of vectors, from the size of their gradients.

    A part counts only with some gradient: rows of an embedding whose words were not in the data have none.
    """
    found = []
    for before, (profile, *_) in zip([[], *tensors], tensors, strict=False):
        squared, allowed = _per_weight(profile), np.zeros((1, 1))
        if beside := [one for one in before if one.slices == profile.slices]:  # rows, or columns in x @ W
            allowed = ROUNDING**2 * _per_weight(beside[0])
        if (squared.mean(1) <= allowed.mean(1)).all():
            found.append(profile.group("dead", 0))
        elif len(profile.pieces[0].shape) == 1:
            small = np.asarray((squared <= allowed).all(0) & squared.any(0))
            runs = [run for run in _runs(small) if run[1] - run[0] >= max(LEAST, SHARE * len(small))]
            if runs:
                found.append(profile.group("dead", 0, *runs))
    return found


def _per_weight(profile: Profile) -> FloatArray:
    """Return the mean squared gradient in every slice, shape (place, slice)."""
    squared: FloatArray = profile.products[0, 2] * profile.slices / profile.parameters
    return squared


def _remainder(profiles: list[Profile], groups: list[Group]) -> list[Group]:
    """Return the slices of a tensor that are in none of the groups: the loss depends on their magnitude."""
    name = profiles[0].pieces[0].name
    mine = [piece for group in groups for piece in group.pieces if piece.name == name]
    profile = profiles[mine[0].axis if mine else 0]
    left = np.ones(profile.slices, dtype=bool)
    for piece in mine:
        left[piece.start : piece.stop] = False
    return [profile.group("penalty", 0, *runs)] if (runs := _runs(left)) else []
