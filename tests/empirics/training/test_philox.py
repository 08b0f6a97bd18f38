"""Random numbers by address: against published vectors, a plain loop in Python's integers, and their laws."""

import hashlib
import itertools
import math

import numpy as np
import pytest
import torch
from scipy import stats
from tiny import tiny

from empirics.training import philox
from empirics.training.philox_formulas import WORD, normal_pair, rounds
from empirics.training.sampling import Drawing, Epochs, FreshLabels, Minibatches, Stream, Vectors, keys

CPU = torch.device("cpu")

# One draw, fixed before; a right generator fails a line with probability 1e-5.
UNLIKELY, SIGMAS = 1e-5, 4.5

#: Of Random123's file kat_vectors: counter, key, words.
PUBLISHED = [
    ([0, 0, 0, 0], [0, 0], "6627e8d5 e169c58d bc57ac4c 9b00dbd8"),
    ([WORD] * 4, [WORD] * 2, "408f276d 41c83b0e a20bc7c6 6d5451fd"),
    (
        [0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344],
        [0xA4093822, 0x299F31D0],
        "d16cfe09 94fdcceb 5001e420 24126ea1",
    ),
]


def plain(counter, key):
    """Philox4x32-10 in Python's integers, as its authors state it."""
    (a, b, c, d), (k, m) = counter, key
    for _ in range(10):
        high0, low0 = divmod(0xD2511F53 * a, 2**32)
        high1, low1 = divmod(0xCD9E8D57 * c, 2**32)
        a, b, c, d = high1 ^ b ^ k, low1, high0 ^ d ^ m, low0
        k, m = (k + 0x9E3779B9) % 2**32, (m + 0xBB67AE85) % 2**32
    return a, b, c, d


@pytest.mark.parametrize(("counter", "key", "words"), PUBLISHED)
def test_published_vectors(counter, key, words):
    wanted = [int(word, 16) for word in words.split()]
    assert list(plain(counter, key)) == list(rounds(*counter, *key)) == wanted
    there = [torch.tensor([value]) for value in (*counter, *key)]
    assert [int(word) for word in rounds(*there)] == wanted


@pytest.fixture(params=["compiled", "torch"])
def way(request, monkeypatch):
    if request.param == "torch":
        monkeypatch.setattr(philox, "_compiled", lambda: None)
    else:
        assert philox._compiled() is not None
    return request.param


SOME = torch.tensor([[0, 1], [WORD, WORD], [0x9ABCDEF0, 0x12345678]])


@pytest.mark.parametrize("first", [0, 2**32 - 2, 2**45 + 3])
def test_words_of_steps_runs_and_blocks(way, first):
    out = torch.empty(4, 3, 4, 5, dtype=torch.int64)
    philox.words(SOME, 11, first, out)
    for t, r, i in itertools.product(range(4), range(3), range(5)):
        step = first + t
        assert tuple(out[t, r, :, i].tolist()) == plain((i, step % 2**32, step >> 32, 11), SOME[r].tolist())


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_normals_are_box_and_muller_s_of_the_words(way, dtype):
    words, found = torch.empty(3, 3, 4, 401, dtype=torch.int64), torch.empty(3, 3, 4, 401, dtype=dtype)
    philox.words(SOME, 5, 7, words)
    philox.normals(SOME, 5, 7, found)
    for pair in (0, 2):
        first, second = words[:, :, pair].numpy(), words[:, :, pair + 1].numpy()
        radius = np.sqrt(-2 * np.log((first + 0.5) / 2**32)) * np.where(second < 2**31, 1, -1)
        angle = np.pi * ((second % 2**31 + 0.5) / 2**31 - 0.5)
        tolerance = 1e-12 if dtype == torch.float64 else 1e-6
        np.testing.assert_allclose(found[:, :, pair].numpy(), radius * np.cos(angle), atol=tolerance)
        np.testing.assert_allclose(found[:, :, pair + 1].numpy(), radius * np.sin(angle), atol=tolerance)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_same_bits_compiled_and_in_torch(dtype, monkeypatch):
    out = torch.empty(2, 2, 3, 4, 1031, dtype=dtype)
    philox.normals(SOME, 3, 2**40, out[0])
    monkeypatch.setattr(philox, "_compiled", lambda: None)
    philox.normals(SOME, 3, 2**40, out[1])
    assert torch.equal(out[0], out[1])


def test_the_ends_of_the_words():
    ends = torch.tensor([0, 1, 2**31 - 1, 2**31, WORD - 1, WORD])
    pairs = torch.cartesian_prod(ends, ends)
    x, y = normal_pair(pairs[:, 0], pairs[:, 1])
    largest = math.sqrt(2 * 33 * math.log(2))
    assert torch.isfinite(x).all()
    assert torch.isfinite(y).all()
    assert float(torch.hypot(x, y).max()) == pytest.approx(largest, rel=1e-13)
    assert float(torch.hypot(x, y).min()) == pytest.approx(math.sqrt(-2 * math.log1p(-(2.0**-33))), rel=1e-4)


#: The first 32 hexadecimal digits of the SHA-256 of some numbers of every sort. If one changes, so must the version in
#: `philox.RANDOM`: the runs of before cannot be repeated, and unfinished ones not continued.
FROZEN = {
    "minibatches": "415c51bd41df2daffd47bd01caf78901",
    "epochs": "909c554fe23f36683e8657c1c3bcded2",
    "labels": "ef21dd38682b6fb0ace13974e61a223f",
    "float32": "8e5b83b7a9fe395d1fc8f85110afd053",
    "float64": "ec303fe7b520264335161da59538d98e",
    "signs": "4dc852320b70154c4cad8df32b3ff4b7",
}


def test_no_number_has_changed():
    assert philox.RANDOM == "philox4x32-10, version 1"
    runs = tiny().runs[:3]
    drawing = Drawing(runs, 10, CPU, halves=True)
    drawn = {
        "minibatches": Minibatches(drawing, 1797, Stream.MINIBATCH),
        "epochs": Epochs(drawing, 1797, Stream.MINIBATCH),
        "labels": FreshLabels(drawing, 10, 0.3, Stream.LABELS),
        "float32": Vectors(runs, 31, Stream.NOISE, False, torch.float32, CPU),
        "float64": Vectors(runs, 31, Stream.NOISE, False, torch.float64, CPU),
        "signs": Vectors(runs, 31, Stream.PROBE, True, torch.float32, CPU),
    }
    found = {}
    for name, source in drawn.items():
        numbers = [source.at(position).clone().numpy() for position in (0, 1, 10**6, 2**33)]
        found[name] = hashlib.sha256(np.concatenate(numbers).tobytes()).hexdigest()[:32]
    assert found == FROZEN


def test_integers_below_a_bound_are_as_likely_as_32_bits_allow():
    for bound in (2, 3, 10, 1797, 50_000, 2**31 - 1):
        some = np.unique(np.linspace(0, bound - 1, 50).astype(np.int64))
        first = [-(-int(j) * 2**32 // bound) for j in some]  # the first word that gives j
        after = [-(-(int(j) + 1) * 2**32 // bound) for j in some]
        assert philox.below(torch.tensor(first), bound).tolist() == some.tolist()
        assert philox.below(torch.tensor(after) - 1, bound).tolist() == some.tolist()
        assert all(abs((b - a) / 2**32 - 1 / bound) < 2**-32 for a, b in zip(first, after, strict=True))


@pytest.fixture(scope="module")
def sample():
    """Two million normal numbers, shape (step, run, number)."""
    runs = keys(tiny().runs)
    out = torch.empty(80, 6, 4, 1050, dtype=torch.float64)
    philox.normals(runs, Stream.NOISE, 0, out)
    return out.flatten(2).numpy()


def test_normals_are_normal(sample):
    flat = sample.ravel()
    assert stats.kstest(flat, "norm").pvalue > UNLIKELY
    for power, moment, variance in ((1, 0, 1), (2, 1, 2), (3, 0, 15), (4, 3, 96), (6, 15, 10170), (8, 105, 2016000)):
        assert abs((flat**power).mean() - moment) < SIGMAS * math.sqrt(variance / flat.size), power
    for beyond in (2, 3, 4, 4.5):
        for side in (-1, 1):
            expected = flat.size * stats.norm.sf(beyond)
            assert abs((side * flat > beyond).sum() - expected) < SIGMAS * math.sqrt(expected) + 1, (beyond, side)


def test_runs_steps_and_numbers_are_independent(sample):
    steps, _, count = sample.shape
    for one in (sample, np.abs(sample), (np.abs(sample) > 2).astype(float), np.sign(sample)):
        centred = (one - one.mean()) / one.std()
        pairs = {
            "neighbouring numbers": (centred[..., 1:], centred[..., :-1]),
            "the two of a pair": (centred[..., : count // 4], centred[..., count // 4 : count // 2]),
            "the two pairs": (centred[..., : count // 2], centred[..., count // 2 :]),
            "steps": (centred[1:], centred[:-1]),
            "distant steps": (centred[steps // 2 :], centred[: steps // 2]),
            "runs": (centred[:, 1:], centred[:, :-1]),
        }
        for name, (a, b) in pairs.items():
            assert abs((a * b).mean()) < SIGMAS / math.sqrt(a.size), name
    # The noise is isotropic: its sum of squares per step and per run is chi-squared.
    lengths = (sample**2).sum(2).ravel()
    assert stats.kstest(lengths, "chi2", args=(count,)).pvalue > UNLIKELY


def test_streams_and_neighbouring_keys_are_independent():
    near = torch.tensor([[5, 9], [6, 9], [5, 10], [4, 9]])  # one bit apart, and one unit
    out = torch.empty(5, 20, 4, 4, 500, dtype=torch.float64)
    for stream in range(5):
        philox.normals(near, stream, 0, out[stream])
    together = out.movedim(0, 1).movedim(2, 1).flatten(0, 1).flatten(2)  # (step · key, stream, number)
    rows = out.movedim(1, 2).flatten(0, 1).flatten(1)  # (stream · key, number)
    assert together.shape[1] == 5
    correlation = np.corrcoef(rows.numpy())
    apart = correlation[~np.eye(len(correlation), dtype=bool)]
    assert np.abs(apart).max() < 5.5 / math.sqrt(rows.shape[1])
    assert abs((apart**2).mean() * rows.shape[1] - 1) < 0.4


def test_indices_labels_and_signs_have_their_laws():
    runs = tiny().runs
    drawing = Drawing(runs, 32, CPU)
    indices = Minibatches(drawing, 97, Stream.MINIBATCH)
    counts = sum(np.bincount(indices.at(position), minlength=97) for position in range(400))
    assert stats.chisquare(counts).pvalue > UNLIKELY
    labels = FreshLabels(drawing, 7, 0.4, Stream.LABELS)
    counts = sum(np.bincount(labels.at(position) + 1, minlength=8) for position in range(400))
    total = counts.sum()
    assert stats.chisquare(counts, total * np.array([0.6, *[0.4 / 7] * 7])).pvalue > UNLIKELY
    signs = Vectors(runs, 500, Stream.PROBE, True, torch.float64, CPU)
    drawn = torch.stack([signs.at(position).clone() for position in range(60)])
    assert set(drawn.unique().tolist()) == {-1, 1}
    assert abs(float(drawn.mean())) < SIGMAS / math.sqrt(drawn.numel())
    assert abs(float((drawn[..., 1:] * drawn[..., :-1]).mean())) < SIGMAS / math.sqrt(drawn.numel())


@pytest.mark.parametrize("dimension", [3, 61, 5000])
def test_a_vector_is_the_same_in_any_order_and_company(dimension):
    runs = tiny().runs
    for signs in (False, True):
        whole = Vectors(runs, dimension, Stream.NOISE, signs, torch.float32, CPU)
        drawn = {position: whole.at(position).clone() for position in (0, 1, 999, 70_000, 3)}
        for group in ([4], [5, 0, 2]):
            part = Vectors([runs[i] for i in group], dimension, Stream.NOISE, signs, torch.float32, CPU)
            for position in (70_000, 0, 3, 999, 1):
                assert torch.equal(part.at(position), drawn[position][group])
