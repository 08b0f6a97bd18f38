import mpmath as mp
import numpy as np
import pytest
import torch
from gas import Group
from plain_optimizers import Plain

from empirics.isotropic import steps
from empirics.isotropic.layout import ADAM_L2, ADAMW, CODES, LANES, MOMENTUM, NESTEROV, SGD, GasSum, Parameter

OPTIMIZERS = [
    (SGD, torch.optim.SGD, {}),
    (MOMENTUM, torch.optim.SGD, {"momentum": 0.8}),
    (NESTEROV, torch.optim.SGD, {"momentum": 0.8, "nesterov": True}),
    (ADAMW, torch.optim.AdamW, {"betas": (0.8, 0.95), "eps": 1e-3}),
    (ADAM_L2, torch.optim.Adam, {"betas": (0.8, 0.95), "eps": 0.0}),
]


@pytest.mark.parametrize(("code", "kind", "options"), OPTIMIZERS)
def test_updates_are_torch_s(code, kind, options):
    group = Group(5, 0.05, 0.1, optimizer=code, momentum=0.8, beta2=0.95, eps=options.get("eps", 0.0))
    weights = torch.nn.Parameter(torch.tensor(group.weights.copy()))
    optimizer = kind([weights], lr=0.05, weight_decay=0.1, **options)
    for _ in range(30):
        weights.grad = torch.tensor(group.gradient())
        optimizer.step()
        group.advance(1)
        assert np.allclose(group.weights, weights.detach().numpy(), rtol=1e-11, atol=1e-13)


OTHERS = [  # name, settings, dimension, rows
    ("signsgd", {}, 5, 1),
    ("lion", {"momentum": 0.8, "beta2": 0.95}, 5, 1),
    ("normalised-sgd", {}, 5, 1),
    ("muon", {"momentum": 0.8, "scale": 0.5}, 12, 3),
    ("muon", {"momentum": 0.0}, 15, 5),
    ("lars", {"momentum": 0.0}, 5, 1),
    ("lars", {"momentum": 0.8}, 5, 1),
    ("lamb", {"momentum": 0.8, "beta2": 0.95, "eps": 1e-3}, 5, 1),
]


@pytest.mark.parametrize(("name", "settings", "dimension", "rows"), OTHERS)
def test_updates_are_their_formulas(name, settings, dimension, rows):
    group = Group(dimension, 0.05, 0.1, optimizer=CODES[name], rows=rows, **settings)
    shape = (rows, dimension // rows) if name == "muon" else (dimension,)
    weights = [torch.nn.Parameter(torch.tensor(w.reshape(shape))) for w in group.weights.T.copy()]
    loops = [Plain([w], name, 0.05, 0.1, **settings) for w in weights]
    for _ in range(30):
        for w, g, loop in zip(weights, group.gradient().T, loops, strict=True):
            w.grad = torch.tensor(g.reshape(shape).copy())
            loop.step()
        group.advance(1)
        found = np.stack([w.detach().numpy().ravel() for w in weights], 1)
        assert np.allclose(group.weights, found, rtol=1e-11, atol=1e-12)


def exact_polar(matrix):
    """U Vᵀ to 50 digits, without the null space."""
    with mp.workdps(50):
        left, sizes, right = mp.svd_r(mp.matrix(matrix.tolist()))
        kept = [i for i in range(len(sizes)) if sizes[i] > 1e-30 * sizes[0]]
        found = sum((left[:, i] * right[i, :] for i in kept), mp.zeros(*matrix.shape))
    return np.array(found.tolist(), dtype=float)


@pytest.mark.parametrize(("rows", "columns"), [(1, 4), (4, 1), (2, 2), (3, 5), (5, 3), (6, 6)])
def test_the_polar_factor_is_that_of_the_svd(rows, columns):
    """Of matrices whose rows have lengths 1 to 1e-8, and of those of lower rank without their null space."""
    rng = np.random.default_rng(rows * columns)
    matrices = rng.standard_normal((LANES, rows, columns))
    matrices[8:16] *= np.logspace(0, -8, rows)[None, :, None]
    matrices[16:20, -1] = 0.0
    matrices[20] = 0.0
    found = np.ascontiguousarray(matrices.reshape(LANES, -1).T)
    steps.polar(found, rows, columns)
    for lane, matrix in zip(found.T[:21], matrices, strict=False):
        assert np.allclose(lane.reshape(rows, columns), exact_polar(matrix), rtol=0, atol=1e-13 * LANES)


def test_expected_gradient_is_autograd_s():
    group = Group(4, 0.0, 0.0)
    group.noise[0] = 1e-300
    w = torch.tensor(group.weights, requires_grad=True)
    (1 - torch.tensor(group.mu) @ w / torch.linalg.vector_norm(w, dim=0)).sum().backward()
    assert np.allclose(group.gradient(), w.grad.numpy(), rtol=1e-13, atol=1e-15)


def covariance(change=lambda group: None, count=4000, dimension=4):
    """Covariance of the noise at one point, in the frame (w, tangent away from mu, the fixed axis, the rest)."""
    group = Group(dimension, 0.0, 0.0, seed=4)
    change(group)
    point = np.array([0.6, 0.0, 0.48, 0.64])[:dimension]
    group.weights[:] = 2 * point[:, None]
    mean = (0.6 * point - group.mu) / 2
    drawn = []
    for _ in range(count):
        drawn.append((group.gradient() - mean[:, None]).T * 2)
        group.advance(1)
    noise = np.concatenate(drawn)
    tangent = (0.6 * point - group.mu) / 0.8
    axis = np.eye(dimension)[1]
    last = np.array([0.0, 0.0, 0.8, -0.6])
    return np.cov(noise @ np.stack([point, tangent, axis, last]).T, rowvar=False), noise


def test_noise_has_the_covariance_of_the_projector():
    found, noise = covariance()
    error = 4.5 * np.sqrt(2 / len(noise))
    assert np.abs(found - np.diag([0, 1, 1, 1])).max() < error
    assert np.abs(found[0]).max() < 1e-15


@pytest.mark.parametrize(
    ("index", "value", "wanted"),
    [
        ((1, 2), (2.0, 0.5), [0, 2.0, 0.5, 0.5]),
        ((3,), (4.0,), [0, 1, 4.0, 1]),
        ((4,), (3.0,), [0, *[1 + 3.0 * 0.4] * 3]),
        ((5,), (9.0,), [0, 1, 1, 1]),
    ],
)
def test_noise_that_breaks_an_assumption_has_the_covariance_it_says(index, value, wanted):
    def change(group):
        group.noise[list(index)] = value

    found, noise = covariance(change)
    error = 4.5 * np.sqrt(2 / len(noise)) * max(wanted) * (2 if index == (5,) else 1)
    assert np.abs(found - np.diag(wanted)).max() < error
    if index == (5,):  # fourth moment of a t with 9 degrees of freedom: 3 (9 - 2)/(9 - 4)
        assert abs((noise[:, 1] ** 4).mean() - 3 * 7 / 5) < 0.35


@pytest.mark.parametrize("code", [SGD, MOMENTUM, NESTEROV])
def test_scaling_symmetry_is_exact(code):
    """(w, lr, wd) -> (cw, c² lr, wd/c²), the same minibatches: the same directions, bit for bit for c a power of 2."""
    plain, scaled = Group(5, 0.1, 0.2, optimizer=code), Group(5, 0.1 * 16, 0.2 / 16, optimizer=code)
    scaled.weights *= 4
    plain.advance(300)
    scaled.advance(300)
    assert np.array_equal(scaled.weights, 4 * plain.weights)


@pytest.mark.parametrize(
    ("name", "rate", "decay"),
    [
        ("adamw", 4, 4),
        ("adam-l2", 4, 16),
        *[(name, 4, 4) for name in ("signsgd", "lion", "normalised-sgd", "muon")],
        ("lars", 1, 16),
        ("lamb", 1, 4),
    ],
)
def test_scaling_symmetry_of_other_steps(name, rate, decay):
    plain, scaled = (Group(6, 0.1 * c, 0.2 / f, optimizer=CODES[name], rows=2) for c, f in ((1, 1), (rate, decay)))
    scaled.weights *= 4
    plain.advance(300)
    scaled.advance(300)
    assert np.array_equal(scaled.weights, 4 * plain.weights)


def test_sums_are_what_they_say():
    """Every row of the sums against numpy, a step at a time."""
    group = Group(6, 0.1, 0.3, seed=2)
    group.parameters[Parameter.START_SQ] = 2.0
    wanted = np.zeros((len(GasSum), LANES))
    for _ in range(20):
        w, g = group.weights.copy(), group.gradient()
        r_sq = (w**2).sum(0)
        cos = w[0] / np.sqrt(r_sq)
        mean = (cos * w / np.sqrt(r_sq) - group.mu[:, None]) / np.sqrt(r_sq)
        noise_sq = ((g - mean) ** 2).sum(0)
        after = w - 0.1 * (g + 0.3 * w)
        angle = np.arccos((w * after).sum(0) / np.sqrt(r_sq * (after**2).sum(0)))
        wanted += np.stack(
            [
                r_sq,
                (r_sq - 2) ** 2,
                np.log(r_sq) / 2,
                (g**2).sum(0),
                noise_sq,
                noise_sq * r_sq,
                (mean**2).sum(0),
                (mean**2).sum(0) * r_sq,
                1 - cos,
                (1 - cos) ** 2,
                0.1 / r_sq * noise_sq * r_sq,
                cos * noise_sq * r_sq,
                angle**2,
                0.01 * (g**2).sum(0),
                0.03 * (2 - 0.03) * r_sq,
                np.ones(LANES),
            ]
        )
        group.advance(1)
    found = group.sums.reshape(len(GasSum), LANES)
    for row in GasSum:
        assert np.allclose(found[row], wanted[row], rtol=1e-3 if row == GasSum.ANGLE_SQ else 1e-11), row.name


def test_a_lane_that_diverges_touches_no_other():
    tame, wild = Group(3, 0.1, 0.2), Group(3, 0.1, 0.2)
    wild.parameters[Parameter.WEIGHT_DECAY, 7] = 21.0
    for group in (tame, wild):
        group.advance(100)
    assert np.isnan(wild.weights[:, 7]).all()
    assert wild.sums.reshape(-1, LANES)[GasSum.ALIVE, 7] == 0
    others = np.arange(LANES) != 7
    assert np.array_equal(wild.weights[:, others], tame.weights[:, others])


def test_the_sphere_keeps_its_radius():
    group = Group(4, 0.3, 0.0)
    group.parameters[Parameter.RADIUS] = 1.5
    group.weights *= 1.5 / np.linalg.norm(group.weights, axis=0)
    before, g = group.weights.copy(), group.gradient()
    step = before - 0.3 * g
    group.advance(1)
    assert np.allclose(group.weights, 1.5 * step / np.linalg.norm(step, axis=0), rtol=1e-13)
    group.advance(500)
    assert np.allclose(np.linalg.norm(group.weights, axis=0), 1.5, rtol=1e-14)


def test_fixed_elr_is_a_learning_rate_of_eta_r_squared():
    group = Group(4, 0.0, 0.2)
    group.parameters[Parameter.ELR] = 0.05
    before, g = group.weights.copy(), group.gradient()
    rate = 0.05 * (before**2).sum(0)
    group.advance(1)
    assert np.allclose(group.weights, before - rate * (g + 0.2 * before), rtol=1e-13)
