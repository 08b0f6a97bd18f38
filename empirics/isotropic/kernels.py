"""Compiled loops of the isotropic gas; plain references: torch.optim (full vectors), full vectors (two numbers).

Numba's cache on disk watches the text of this file alone: `SOURCES` is a hash of what else is compiled into it.

Runs are advanced in groups of `LANES`, every array with the lane as its last axis, so that the loops over lanes become
vector instructions. No lane reads another one, and groups are padded to full width: the numbers of a run do not depend
on its neighbours. Each lane has its own xoshiro256++ generator (Blackman and Vigna 2021), seeded with 256 bits.
"""

import math

import numpy as np
from numba import njit

from empirics.isotropic import layout as at
from empirics.isotropic.layout import LANES
from empirics.isotropic.steps import move

SOURCES = "03af4b6f2425c33c"
_TWO_53 = 2.0**-53
_LN2 = math.log(2.0)
# No "nnan": a run that diverges is NaN from there on, and must stay so.
_jit = njit(cache=True, fastmath={"contract", "nsz", "arcp"}, error_model="numpy", boundscheck=False)
_inline = njit(inline="always", fastmath={"contract", "nsz", "arcp"}, error_model="numpy")


# ------------------------------------------------------------------------------------------------- random numbers
@_inline
def _rotl(x, k):  # type: ignore[no-untyped-def]
    return (x << np.uint64(k)) | (x >> np.uint64(64 - k))


@_inline
def _bits_of(rng, i):  # type: ignore[no-untyped-def]
    """Draw 64 bits for lane i alone."""
    s0, s1, s2, s3 = rng[i], rng[LANES + i], rng[2 * LANES + i], rng[3 * LANES + i]
    found = _rotl(s0 + s3, 23) + s0
    t = s1 << np.uint64(17)
    s2 ^= s0
    s3 ^= s1
    s1 ^= s2
    s0 ^= s3
    s2 ^= t
    s3 = _rotl(s3, 45)
    rng[i], rng[LANES + i], rng[2 * LANES + i], rng[3 * LANES + i] = s0, s1, s2, s3
    return found


@_jit
def _bits(rng, out):  # type: ignore[no-untyped-def]
    """Draw 64 bits for every lane."""
    for i in range(LANES):
        out[i] = _bits_of(rng, i)


@_inline
def _unit(bits):  # type: ignore[no-untyped-def]
    """Turn 64 bits into a number in (0, 1], of which 1 minus it is a multiple of 2⁻⁵³."""
    return (np.float64(np.int64(bits >> np.uint64(11))) + 1.0) * _TWO_53


@_inline
def _log(x):  # type: ignore[no-untyped-def]
    """Logarithm of a positive normal number, to 2e-16 + 2e-16 |log x|, in instructions that vectorise."""
    bits = np.float64(x).view(np.int64)
    # The mantissa in [√½, √2): near 1 the logarithm is then a series in a small number.
    shifted = bits - np.int64(0x3FE6A09E667F3BCD)
    exponent = shifted >> np.int64(52)
    m = np.int64(bits - (exponent << np.int64(52))).view(np.float64)
    s = (m - 1.0) / (m + 1.0)
    q = s * s
    tail = 2 / 3 + q * (2 / 5 + q * (2 / 7 + q * (2 / 9 + q * (2 / 11 + q * (2 / 13 + q * (2 / 15 + q * (2 / 17)))))))
    return np.float64(exponent) * _LN2 + (2.0 * s + s * q * tail)


@_inline
def _arc(bits):  # type: ignore[no-untyped-def]
    """Cosine and sine of a uniformly random angle, made from 64 bits: an eighth of the circle, turned at random."""
    t = (np.float64(np.int64(bits >> np.uint64(11))) * _TWO_53 - 0.5) * (math.pi / 2)
    q = t * t
    sin = t * (1 - q / 6 * (1 - q / 20 * (1 - q / 42 * (1 - q / 72 * (1 - q / 110 * (1 - q / 156 * (1 - q / 210)))))))
    cos = 1 - q / 2 * (
        1 - q / 12 * (1 - q / 30 * (1 - q / 56 * (1 - q / 90 * (1 - q / 132 * (1 - q / 182 * (1 - q / 240))))))
    )
    sign = 1.0 - 2.0 * np.float64(np.int64(bits & np.uint64(1)))
    turned = (bits & np.uint64(2)) != np.uint64(0)
    return sign * (-sin if turned else cos), sign * (cos if turned else sin)


@_jit
def normals(rng, bits, first, second):  # type: ignore[no-untyped-def]
    """Draw two independent standard normals for every lane (Box and Muller 1958)."""
    _bits(rng, bits)
    for i in range(LANES):
        first[i] = math.sqrt(-2.0 * _log(_unit(bits[i])))
    _bits(rng, bits)
    for i in range(LANES):
        cos, sin = _arc(bits[i])
        second[i] = first[i] * sin
        first[i] *= cos


@_jit
def chi_squares(rng, bits, degrees, normal, out):  # type: ignore[no-untyped-def]
    """Draw a chi-square of `degrees` for every lane from a normal and a uniform (Marsaglia and Tsang 2000).

    Rejected draws, a few in a hundred, are repeated from the lane's own generator.
    """
    if degrees == 0:
        out[:] = 0.0
        return
    if degrees == 1:
        for i in range(LANES):
            out[i] = normal[i] * normal[i]
        return
    d = 0.5 * degrees - 1.0 / 3.0
    c = 1.0 / math.sqrt(9.0 * d)
    _bits(rng, bits)
    for i in range(LANES):
        x = normal[i]
        v = 1.0 + c * x
        v = v * v * v
        # Their squeeze accepts nine in ten without a logarithm; a negative mark sends the lane to the loop below.
        fine = (v > 0.0) & (_unit(bits[i]) < 1.0 - 0.0331 * (x * x) * (x * x))
        out[i] = 2.0 * d * v if fine else -1.0
    for i in range(LANES):
        if out[i] < 0.0:
            x, u = normal[i], _unit(bits[i])
            while True:
                v = 1.0 + c * x
                v = v * v * v
                if v > 0.0 and math.log(u) < 0.5 * x * x + d * (1.0 - v + math.log(v)):
                    break
                x = math.sqrt(-2.0 * math.log(_unit(_bits_of(rng, i)))) * _arc(_bits_of(rng, i))[0]
                u = _unit(_bits_of(rng, i))
            out[i] = 2.0 * d * v


@_jit
def draw(rng, count, degrees, out):  # type: ignore[no-untyped-def]
    """Fill `out` (count, 2, lane) with a normal and a chi-square of `degrees`: what one reduced step uses."""
    bits = np.empty(LANES, np.uint64)
    first, second, chi = np.empty(LANES), np.empty(LANES), np.empty(LANES)
    for k in range(count):
        normals(rng, bits, first, second)
        chi_squares(rng, bits, degrees, second, chi)
        out[k, 0] = first
        out[k, 1] = chi


@_inline
def _angle_sq(chord_sq):  # type: ignore[no-untyped-def]
    """Squared angle of a chord of the unit circle, 4 arcsin²(chord/2), as a series: 1e-5 off at 60 degrees."""
    c = chord_sq
    return c * (1 + c * (1 / 12 + c * (1 / 90 + c * (1 / 560 + c * (1 / 3150 + c / 16632)))))


# ------------------------------------------------------------------------------------------------- two numbers
@_jit
def _tails(rng, bits, dof, spare, scale):  # type: ignore[no-untyped-def]
    """Draw, for every lane, the factor that turns normal numbers into Student's t of the same variance."""
    normals(rng, bits, scale, spare)
    chi_squares(rng, bits, dof, scale, spare)
    for i in range(LANES):
        scale[i] = math.sqrt((dof - 2.0) / spare[i])


@_inline
def _loss(along, away):  # type: ignore[no-untyped-def]
    """1 - cos of the angle whose tangent is away/along, without the loss of digits near 0."""
    r_sq = along * along + away * away
    cos = along / math.sqrt(r_sq)
    return away * away / (r_sq * (1.0 + cos)) if cos > 0.0 else 1.0 - cos


@_jit
def reduced(  # type: ignore[no-untyped-def]
    steps, step, position, rng, parameters, noise, dimension, burn_in, spacing, sums, samples, offset
):
    """Advance one group by SGD, each lane (mu.w, |w_perp|, |w|), exactly in law.

    With the unit vectors ``mu``, ``e`` along w_perp and ``t = -sin mu + cos e`` tangent, a gradient at unit norm is
    ``(sin + sigma z) t + sigma zeta`` with z normal and zeta normal in the d - 2 directions normal to mu and e. Only
    ``|zeta|²`` enters, a chi-square with d - 2 degrees of freedom.
    """
    bits = np.empty(LANES, np.uint64)
    z, chi, spare = np.empty(LANES), np.empty(LANES), np.empty(LANES)
    product, turned = np.ones(LANES), np.ones(LANES)
    along, across = noise[at.SIGMA] ** 2 * noise[at.ALONG], noise[at.SIGMA] ** 2 * noise[at.ACROSS]
    slope, dof, since = noise[at.SLOPE], noise[at.DOF], 0
    sphere = parameters[at.RADIUS * LANES] > 0.0
    for k in range(steps):
        normals(rng, bits, z, spare)
        chi_squares(rng, bits, dimension - 2, spare, chi)
        if dof != np.inf:
            _tails(rng, bits, dof, spare, turned)
            for i in range(LANES):
                z[i] *= turned[i]
                chi[i] *= turned[i] * turned[i]
        if slope != 0.0:
            for i in range(LANES):
                spread = 1.0 + slope * (1.0 - position[i] / position[2 * LANES + i])
                z[i] *= math.sqrt(spread)
                chi[i] *= spread
        measured = step + k - burn_in
        if measured >= 0 and (measured + 1) % spacing == 0:
            for i in range(LANES):
                samples[measured // spacing, offset + i, 0] = _loss(position[i], position[LANES + i])
        for i in range(LANES):
            a, b, r = position[i], position[LANES + i], position[2 * LANES + i]
            inverse = 1.0 / r
            r_sq, inverse_sq = r * r, inverse * inverse
            cos, sin = a * inverse, b * inverse
            loss = 1.0 - cos  # to 2e-16, enough for its mean; snapshots keep all digits
            n, q = math.sqrt(along) * z[i], across * chi[i]
            lr = parameters[at.LR * LANES + i] + parameters[at.ELR * LANES + i] * r_sq
            decay = lr * parameters[at.WEIGHT_DECAY * LANES + i]
            keep = 1.0 - decay if decay <= 2.0 else np.nan
            tangent = sin + n
            g = tangent * tangent + q
            noise_sq = n * n + q
            move = lr * inverse
            a_new = keep * a + move * sin * tangent
            b_new = keep * b - move * cos * tangent
            b_sq = b_new * b_new + move * move * q
            r_new = math.sqrt(a_new * a_new + b_sq)
            sums[at.RADIUS_SQ * LANES + i] += r_sq
            shifted = r_sq - parameters[at.START_SQ * LANES + i]
            sums[at.RADIUS_4 * LANES + i] += shifted * shifted
            sums[at.GRAD_SQ * LANES + i] += g * inverse_sq
            sums[at.NOISE_SQ * LANES + i] += noise_sq * inverse_sq
            sums[at.NOISE_SQ_UNIT * LANES + i] += noise_sq
            sums[at.GRAD_MEAN_SQ * LANES + i] += sin * sin * inverse_sq
            sums[at.GRAD_MEAN_SQ_UNIT * LANES + i] += sin * sin
            sums[at.LOSS * LANES + i] += loss
            sums[at.LOSS_SQ * LANES + i] += loss * loss
            sums[at.HEAT * LANES + i] += lr * inverse_sq * noise_sq
            sums[at.HESSIAN_NOISE * LANES + i] += cos * noise_sq
            sums[at.GROWTH * LANES + i] += move * move * g
            sums[at.DECAY * LANES + i] += decay * (2.0 - decay) * r_sq
            sums[at.ALIVE * LANES + i] += 1.0 if r_new < 1e30 else 0.0
            product[i] *= r
            turned[i] = keep * r
            position[i] = a_new
            position[LANES + i] = math.sqrt(b_sq)
            position[2 * LANES + i] = r_new
        since += 1
        if since == 4 or k == steps - 1:
            # A logarithm or an angle costs a division: one logarithm for four radii, one angle counted four times.
            for i in range(LANES):
                sums[at.LOG_RADIUS * LANES + i] += _log(product[i])
                sums[at.ANGLE_SQ * LANES + i] += since * _angle_sq(2.0 - 2.0 * turned[i] / position[2 * LANES + i])
                product[i] = 1.0
            since = 0
        if sphere:
            for i in range(LANES):
                back = parameters[at.RADIUS * LANES + i] / position[2 * LANES + i]
                position[i] *= back
                position[LANES + i] *= back
                position[2 * LANES + i] = parameters[at.RADIUS * LANES + i]


# ------------------------------------------------------------------------------------------------- full vectors


@_inline
def _take(j, mu, axis, weights, gradient, sums):  # type: ignore[no-untyped-def]
    """Add two coordinates to the inner products of noise, weights, mu and axis: in pairs, fewer sums are loaded."""
    m, n, a, b = mu[j], mu[j + 1], axis[j], axis[j + 1]
    for i in range(LANES):
        w, v = weights[j, i], weights[j + 1, i]
        g, h = gradient[j, i], gradient[j + 1, i]
        sums[0 * LANES + i] += w * w + v * v
        sums[1 * LANES + i] += m * w + n * v
        sums[2 * LANES + i] += g * w + h * v
        sums[3 * LANES + i] += m * g + n * h
        sums[4 * LANES + i] += a * g + b * h
        sums[5 * LANES + i] += a * w + b * v


@_jit
def _noise(rng, bits, noise, mu, axis, weights, dimension, gradient, lane):  # type: ignore[no-untyped-def]
    """Draw normal numbers into `gradient` (d, lane), and the factors that make them a minibatch gradient at unit norm.

    The noise is drawn in all d directions and projected onto the tangent space, so that its covariance is the
    projector. Options act before the projection (variance along the axis, which is normal to mu) or after it (along the
    tangent away from mu). Fills the rows `R_SQ` to `LOSS_NOW` of `lane`, and `OF_NORMAL` to `INVERSE`: the factors of
    the four terms and the inverse norm.
    """
    first, second, sums = np.empty(LANES), np.empty(LANES), np.zeros(6 * LANES)
    for j in range(0, dimension, 2):
        normals(rng, bits, first, second)
        gradient[j] = first
        gradient[j + 1] = second
        _take(j, mu, axis, weights, gradient, sums)
    scale = np.ones(LANES)
    if noise[at.DOF] != np.inf:
        _tails(rng, bits, noise[at.DOF], second, scale)
    stretch = math.sqrt(noise[at.AXIS]) - 1.0
    sines = _sines(mu, weights, dimension, sums)
    for i in range(LANES):
        r_sq, inner = sums[0 * LANES + i], stretch * sums[4 * LANES + i]
        cross = sums[2 * LANES + i] + inner * sums[5 * LANES + i]
        inverse = 1.0 / math.sqrt(r_sq)
        cos, sin_sq = sums[1 * LANES + i] * inverse, sines[i]
        loss = sin_sq / (1.0 + cos) if cos > 0.0 else 1.0 - cos
        spread = noise[at.SIGMA] * scale[i] * math.sqrt(noise[at.ACROSS] * (1.0 + noise[at.SLOPE] * loss))
        # The tangent away from mu is t = (cos w/r - mu)/sin, so the projected noise along it is -mu.xi/sin.
        along = -(sums[3 * LANES + i] - cross / r_sq * sums[1 * LANES + i]) * spread / math.sqrt(sin_sq)
        lane[at.R_SQ * LANES + i], lane[at.COS * LANES + i] = r_sq, cos
        lane[at.SIN_SQ * LANES + i], lane[at.LOSS_NOW * LANES + i] = sin_sq, loss
        lane[at.OF_NORMAL * LANES + i] = spread
        lane[at.OF_WEIGHTS * LANES + i] = cross / r_sq * spread
        lane[at.OF_MEAN * LANES + i] = along * (math.sqrt(noise[at.ALONG] / noise[at.ACROSS]) - 1.0) / math.sqrt(sin_sq)
        lane[at.OF_AXIS * LANES + i] = inner * spread
        lane[at.INVERSE * LANES + i] = inverse


@_jit
def _sines(mu, weights, dimension, sums):  # type: ignore[no-untyped-def]
    """Squared sine of the angle to mu; recomputed as a sum where a difference of squares loses 4 digits."""
    found, small = np.empty(LANES), False
    for i in range(LANES):
        found[i] = 1.0 - sums[1 * LANES + i] * sums[1 * LANES + i] / sums[0 * LANES + i]
        small |= not found[i] > 1e-4
    if small:
        found[:] = 0.0
        for j in range(dimension):
            for i in range(LANES):
                normal = weights[j, i] - sums[1 * LANES + i] * mu[j]
                found[i] += normal * normal
        for i in range(LANES):
            found[i] /= sums[0 * LANES + i]
    return found


@_inline
def _gradient(j, i, pole, along, gradient, weights, lane):  # type: ignore[no-untyped-def]
    """One coordinate of the minibatch gradient at the actual norm; adds to the squares of gradient and noise."""
    w, inverse = weights[j, i], lane[at.INVERSE * LANES + i]
    mean = lane[at.COS * LANES + i] * w * inverse - pole
    noise = lane[at.OF_NORMAL * LANES + i] * gradient[j, i] - lane[at.OF_WEIGHTS * LANES + i] * w
    noise += lane[at.OF_MEAN * LANES + i] * mean + lane[at.OF_AXIS * LANES + i] * along
    g = mean + noise
    lane[at.XI_SQ * LANES + i] += noise * noise
    lane[at.G_SQ * LANES + i] += g * g
    return g * inverse


@_jit
def _sgd(dimension, mu, axis, gradient, weights, lane):  # type: ignore[no-untyped-def]
    """Compute the minibatch gradients and take a step of SGD; fills `lane` as `_update` does.

    Separate because in a loop shared with the other optimisers the processor would compute Adam's roots too.
    """
    lane[at.XI_SQ * LANES : (at.G_SQ + 1) * LANES] = 0.0
    lane[at.MOVED_SQ * LANES : (at.MOVED_ALONG + 1) * LANES] = 0.0
    lane[at.SLOPES * LANES : (at.SLOPES + 1) * LANES] = dimension
    for j in range(dimension):
        pole, along = mu[j], axis[j]
        for i in range(LANES):
            w = weights[j, i]
            g = _gradient(j, i, pole, along, gradient, weights, lane)
            change = -lane[at.RATE * LANES + i] * (g + lane[at.SHRINK * LANES + i] * w)
            weights[j, i] = w + change
            lane[at.MOVED_SQ * LANES + i] += change * change
            lane[at.MOVED_ALONG * LANES + i] += w * change


@_jit
def _update(  # type: ignore[no-untyped-def]
    optimizer, hyper, age, dimension, mu, axis, gradient, weights, first, second, lane
):
    """Compute the minibatch gradients and take one step of torch.optim's rule.

    Fills rows of `lane`: |xi|² and |g|² at unit norm, |dw|², w·dw, and d times the mean preconditioner.
    """
    beta, beta2, eps = hyper[0], hyper[1], hyper[2]
    correction, correction2 = 1.0 - beta**age, math.sqrt(1.0 - beta2**age)
    lane[at.XI_SQ * LANES : (at.G_SQ + 1) * LANES] = 0.0
    lane[at.MOVED_SQ * LANES : (at.SLOPES + 1) * LANES] = 0.0
    for j in range(dimension):
        pole, along = mu[j], axis[j]
        for i in range(LANES):
            w = weights[j, i]
            g = _gradient(j, i, pole, along, gradient, weights, lane)
            slope = 1.0
            if optimizer == at.ADAMW:
                shrink = lane[at.RATE * LANES + i] * lane[at.SHRINK * LANES + i] * w
            else:
                shrink = 0.0
                g += lane[at.SHRINK * LANES + i] * w
            if optimizer >= at.ADAMW:
                first[j, i] = beta * first[j, i] + (1.0 - beta) * g
                second[j, i] = beta2 * second[j, i] + (1.0 - beta2) * g * g
                slope = 1.0 / (math.sqrt(second[j, i]) / correction2 + eps)
                g = first[j, i] / correction * slope
            elif optimizer >= at.MOMENTUM:
                first[j, i] = beta * first[j, i] + g
                g = g + beta * first[j, i] if optimizer == at.NESTEROV else first[j, i]
                slope = 1.0 / (1.0 - beta)
            change = -shrink - lane[at.RATE * LANES + i] * g
            weights[j, i] = w + change
            lane[at.MOVED_SQ * LANES + i] += change * change
            lane[at.MOVED_ALONG * LANES + i] += w * change
            lane[at.SLOPES * LANES + i] += slope


@_jit
def _gradients(dimension, mu, axis, gradient, weights, lane):  # type: ignore[no-untyped-def]
    """Turn the noise in `gradient` into minibatch gradients, for steps that need all of them at once."""
    lane[at.XI_SQ * LANES : (at.G_SQ + 1) * LANES] = 0.0
    for j in range(dimension):
        pole, along = mu[j], axis[j]
        for i in range(LANES):
            gradient[j, i] = _gradient(j, i, pole, along, gradient, weights, lane)


@_jit
def vectors(  # type: ignore[no-untyped-def]
    steps, step, position, rng, parameters, noise, dimension, burn_in, spacing, sums, samples, offset,
    mu, axis, optimizer, hyper, first, second,
):  # fmt: skip
    """Advance one group of full vectors (d, lane) by any optimiser; `samples` keeps the losses or the vectors."""
    bits = np.empty(LANES, np.uint64)
    lane = np.empty(at.KNOWN * LANES)
    # Coordinates are taken in pairs: where d is odd, the last one gets a partner that is 0 everywhere.
    even = dimension + dimension % 2
    gradient, weights = np.empty((even, LANES)), np.zeros((even, LANES))
    pole, line = np.zeros(even), np.zeros(even)
    weights[:dimension], pole[:dimension], line[:dimension] = position, mu, axis
    sphere, whole = parameters[at.RADIUS * LANES] > 0.0, samples.shape[2] > 1
    for k in range(steps):
        _noise(rng, bits, noise, pole, line, weights, dimension, gradient, lane)
        measured = step + k - burn_in
        if measured >= 0 and (measured + 1) % spacing == 0:
            for i in range(LANES):
                if whole:
                    samples[measured // spacing, offset + i] = weights[:dimension, i]
                else:
                    samples[measured // spacing, offset + i, 0] = lane[at.LOSS_NOW * LANES + i]
        for i in range(LANES):
            lane[at.RATE * LANES + i] = (
                parameters[at.LR * LANES + i] + parameters[at.ELR * LANES + i] * lane[at.R_SQ * LANES + i]
            )
            lane[at.SHRINK * LANES + i] = parameters[at.WEIGHT_DECAY * LANES + i]
            if lane[at.RATE * LANES + i] * lane[at.SHRINK * LANES + i] > 2.0:
                lane[at.RATE * LANES + i] = np.nan
        if optimizer == at.SGD:
            _sgd(dimension, pole, line, gradient, weights, lane)
        elif optimizer >= at.SIGNSGD:
            _gradients(dimension, pole, line, gradient, weights, lane)
            move(optimizer, hyper, step + k + 1, gradient[:dimension], weights[:dimension], first, second, lane)
        else:
            _update(optimizer, hyper, step + k + 1, dimension, pole, line, gradient, weights, first, second, lane)
        for i in range(LANES):
            r_sq, cos = lane[at.R_SQ * LANES + i], lane[at.COS * LANES + i]
            sin_sq, loss = lane[at.SIN_SQ * LANES + i], lane[at.LOSS_NOW * LANES + i]
            noise_sq, g = lane[at.XI_SQ * LANES + i], lane[at.G_SQ * LANES + i]
            slope = lane[at.SLOPES * LANES + i] / dimension
            inverse_sq = lane[at.INVERSE * LANES + i] * lane[at.INVERSE * LANES + i]
            along = lane[at.MOVED_ALONG * LANES + i]
            r_new_sq = r_sq + 2.0 * along + lane[at.MOVED_SQ * LANES + i]
            chord_sq = 2.0 - 2.0 * (1.0 + along * inverse_sq) / math.sqrt(r_new_sq * inverse_sq)
            sums[at.RADIUS_SQ * LANES + i] += r_sq
            shifted = r_sq - parameters[at.START_SQ * LANES + i]
            sums[at.RADIUS_4 * LANES + i] += shifted * shifted
            sums[at.LOG_RADIUS * LANES + i] += 0.5 * _log(r_sq)
            sums[at.GRAD_SQ * LANES + i] += g * inverse_sq
            sums[at.NOISE_SQ * LANES + i] += noise_sq * inverse_sq
            sums[at.NOISE_SQ_UNIT * LANES + i] += noise_sq
            sums[at.GRAD_MEAN_SQ * LANES + i] += sin_sq * inverse_sq
            sums[at.GRAD_MEAN_SQ_UNIT * LANES + i] += sin_sq
            sums[at.LOSS * LANES + i] += loss
            sums[at.LOSS_SQ * LANES + i] += loss * loss
            sums[at.HEAT * LANES + i] += lane[at.RATE * LANES + i] * inverse_sq * noise_sq * slope
            sums[at.HESSIAN_NOISE * LANES + i] += cos * noise_sq
            sums[at.ANGLE_SQ * LANES + i] += _angle_sq(chord_sq)
            rate = lane[at.RATE * LANES + i] * lane[at.SHRINK * LANES + i]
            if optimizer == at.SGD:
                loss_of_norm = rate * (2.0 - rate) * r_sq
                growth = lane[at.RATE * LANES + i] * lane[at.RATE * LANES + i] * inverse_sq * g
            else:
                pull = lane[at.PULL * LANES + i] if optimizer >= at.SIGNSGD else 1.0 if optimizer == at.ADAMW else slope
                loss_of_norm = 2.0 * rate * r_sq * pull
                growth = r_new_sq - r_sq + loss_of_norm
            sums[at.GROWTH * LANES + i] += growth
            sums[at.DECAY * LANES + i] += loss_of_norm
            sums[at.ALIVE * LANES + i] += 1.0 if r_new_sq < 1e60 else 0.0
            lane[at.INVERSE * LANES + i] = parameters[at.RADIUS * LANES + i] / math.sqrt(r_new_sq)
        if sphere:
            for j in range(dimension):
                for i in range(LANES):
                    weights[j, i] *= lane[at.INVERSE * LANES + i]
    position[:] = weights[:dimension]
