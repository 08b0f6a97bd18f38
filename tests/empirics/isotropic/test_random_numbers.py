import dataclasses
import math

import numpy as np
import pytest
from scipy import stats

from empirics.isotropic import kernels
from empirics.isotropic.experiment import GasRun
from empirics.isotropic.layout import LANES
from empirics.isotropic.loop import identity

# One seed, fixed before; a right generator fails a line with probability 1e-5.
UNLIKELY = 1e-5


def drawn(degrees, count=20_000, seed=11):
    bits = np.random.default_rng(seed).integers(0, 2**64, 4 * LANES, dtype=np.uint64)
    out = np.empty((count, 2, LANES))
    kernels.draw(bits, count, degrees, out)
    return out[:, 0], out[:, 1]


def test_generator_is_xoshiro256():
    """Against the recurrence in Python integers, as its authors state it."""
    mask = 2**64 - 1
    state = [3**40 & mask, 5**27 & mask, 7**22 & mask, 11**18 & mask]
    bits = np.repeat(np.array(state, dtype=np.uint64), LANES)
    out = np.empty(LANES, np.uint64)

    def rotl(x, k):
        return (x << k | x >> 64 - k) & mask

    for _ in range(50):
        wanted = (rotl(state[0] + state[3] & mask, 23) + state[0]) & mask
        t = state[1] << 17 & mask
        state[2] ^= state[0]
        state[3] ^= state[1]
        state[1] ^= state[2]
        state[0] ^= state[3]
        state[2] ^= t
        state[3] = rotl(state[3], 45)
        kernels._bits(bits, out)
        assert set(map(int, out)) == {wanted}
    assert int(kernels._bits_of(bits, 5)) == (rotl(state[0] + state[3] & mask, 23) + state[0]) & mask


def test_logarithm_and_arc_to_the_last_digits():
    rng = np.random.default_rng(0)
    for x in [*rng.uniform(0, 1, 500), *10 ** rng.uniform(-300, 300, 500), 1.0, 1 - 2**-53, 2**-53]:
        assert abs(kernels._log(float(x)) - math.log(x)) <= 4e-16 * max(1.0, abs(math.log(x)))
    eighths = set()
    for word in rng.integers(0, 2**64, 500, dtype=np.uint64):
        cos, sin = kernels._arc(word)
        assert abs(math.hypot(cos, sin) - 1) < 1e-15
        angle = (int(word) >> 11) * 2**-53 * math.pi / 2 - math.pi / 4
        assert min(abs(math.remainder(math.atan2(sin, cos) - angle, math.pi / 2)), 1) < 1e-15
        eighths.add((cos > 0, sin > 0))
    assert len(eighths) == 4


def test_normals_are_normal():
    z, _ = drawn(0, 30_000)
    flat = z.ravel()
    n = flat.size
    assert stats.kstest(flat, "norm").pvalue > UNLIKELY
    for power, moment, variance in ((1, 0, 1), (2, 1, 2), (3, 0, 15), (4, 3, 96), (6, 15, 10170)):
        assert abs((flat**power).mean() - moment) < 4.5 * math.sqrt(variance / n), power
    beyond = 2 * stats.norm.sf(4)
    assert abs((np.abs(flat) > 4).sum() - n * beyond) < 4.5 * math.sqrt(n * beyond)


@pytest.mark.parametrize("degrees", [1, 2, 3, 2.5, 18, 998, 43_690])
def test_chi_squares(degrees):
    z, chi = drawn(degrees, 8_000)
    flat = chi.ravel()
    assert stats.kstest(flat, "chi2", args=(degrees,)).pvalue > UNLIKELY
    assert abs(flat.mean() - degrees) < 4.5 * math.sqrt(2 * degrees / flat.size)
    # The normal that came with it is independent of it.
    for one in (z, z**2, np.abs(z) > 2):
        assert abs(np.corrcoef(one.ravel(), flat)[0, 1]) < 4.5 / math.sqrt(flat.size)


def test_no_chi_square_without_degrees():
    assert not drawn(0, 10)[1].any()


def test_lanes_and_steps_are_independent():
    z, chi = drawn(18)
    for x in (z, chi, z**2):
        n = len(x)
        across = np.corrcoef(x.T) - np.eye(LANES)
        assert np.abs(across).max() < 5.5 / math.sqrt(n)
        centred = (x - x.mean(0)) / x.std(0)
        for lag in (1, 2, 3, 7, 64):
            assert abs((centred[lag:] * centred[:-lag]).mean()) < 4.5 / math.sqrt(n * LANES)
            shifted = np.roll(centred, 1, axis=1)
            assert abs((centred[lag:] * shifted[:-lag]).mean()) < 4.5 / math.sqrt(n * LANES)


def test_neighbouring_identities_give_independent_streams():
    runs = [
        GasRun(lr=0.1, weight_decay=0.01 + 1e-12 * i, seed=1, protocol="fixed-lr", optimizer="sgd") for i in range(32)
    ]
    words = np.array([np.frombuffer(identity(run, 3), dtype=">u8") for run in runs], dtype=np.uint64)
    others = [("start", 2.0), ("seed", 2), ("lr", 0.2), ("protocol", "fixed-elr"), ("optimizer", "adamw")]
    changed = [dataclasses.replace(runs[0], **{name: value}) for name, value in others]
    assert len({identity(run, 3) for run in changed} | {identity(runs[0], d) for d in (3, 4)}) == 7
    out = np.empty((5000, 2, LANES))
    kernels.draw(np.ascontiguousarray(words.T).ravel(), 5000, 1, out)
    across = np.corrcoef(out[:, 0].T) - np.eye(LANES)
    assert np.abs(across).max() < 5.5 / math.sqrt(5000)
