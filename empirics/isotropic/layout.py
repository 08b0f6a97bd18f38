"""How the arrays of the gas's compiled loops are laid out: the meaning of their rows, and the lanes.

Numba's cache on disk does not watch this file: after a change here save :mod:`empirics.isotropic.kernels` too.
"""

from enum import IntEnum

#: Runs of a group, advanced together.
LANES = 32


class GasSum(IntEnum):
    """Rows of the running sums, taken at every step before the update."""

    RADIUS_SQ = 0
    RADIUS_4 = 1  # (r² − r₀²)² with the initial radius r₀, for the variance of r²
    LOG_RADIUS = 2
    GRAD_SQ = 3
    NOISE_SQ = 4  # |g − ∇L|² at the actual norm
    NOISE_SQ_UNIT = 5  # r² times it
    GRAD_MEAN_SQ = 6  # |∇L|² at the actual norm
    GRAD_MEAN_SQ_UNIT = 7
    LOSS = 8  # 1 − cos of the angle between w and mu
    LOSS_SQ = 9
    HEAT = 10  # effective learning rate times the noise at unit norm: temperature is its mean / (2 (d−1))
    HESSIAN_NOISE = 11  # ξᵀHξ at unit norm, ξ = g̃ − ∇L
    ANGLE_SQ = 12  # squared angle between the weights before and after the step (two numbers: every fourth step)
    GROWTH = 13  # what the gradient adds to r² per step ...
    DECAY = 14  # ... and what the decay takes (exact for SGD, else to leading order): equal means if r² is stationary
    ALIVE = 15  # 1 while the run has not diverged


RADIUS_SQ, RADIUS_4, LOG_RADIUS = int(GasSum.RADIUS_SQ), int(GasSum.RADIUS_4), int(GasSum.LOG_RADIUS)
GRAD_SQ, NOISE_SQ, NOISE_SQ_UNIT = int(GasSum.GRAD_SQ), int(GasSum.NOISE_SQ), int(GasSum.NOISE_SQ_UNIT)
GRAD_MEAN_SQ, GRAD_MEAN_SQ_UNIT = int(GasSum.GRAD_MEAN_SQ), int(GasSum.GRAD_MEAN_SQ_UNIT)
LOSS, LOSS_SQ, HEAT = int(GasSum.LOSS), int(GasSum.LOSS_SQ), int(GasSum.HEAT)
HESSIAN_NOISE, ANGLE_SQ = int(GasSum.HESSIAN_NOISE), int(GasSum.ANGLE_SQ)
GROWTH, DECAY, ALIVE = int(GasSum.GROWTH), int(GasSum.DECAY), int(GasSum.ALIVE)
ROWS = len(GasSum)


class Parameter(IntEnum):
    """Rows of the lanes' parameters."""

    LR = 0  # the learning rate of a step is LR + ELR r²; one of the two is 0
    ELR = 1
    WEIGHT_DECAY = 2
    RADIUS = 3  # of the sphere; 0 where the norm is free
    START_SQ = 4  # squared initial radius


LR, ELR, WEIGHT_DECAY = int(Parameter.LR), int(Parameter.ELR), int(Parameter.WEIGHT_DECAY)
RADIUS, START_SQ = int(Parameter.RADIUS), int(Parameter.START_SQ)


class Shape(IntEnum):
    """Entries of the noise's description; variances are in units of sigma²."""

    SIGMA = 0
    ALONG = 1  # variance along the tangent that points away from mu
    ACROSS = 2  # variance along the other tangents
    AXIS = 3  # variance along a fixed axis normal to mu, before projection, over ACROSS
    SLOPE = 4  # the variance is 1 + SLOPE (1 − mu.w/|w|) times that at mu
    DOF = 5  # degrees of freedom of Student's t, infinite for normal noise


SIGMA, ALONG, ACROSS, AXIS = int(Shape.SIGMA), int(Shape.ALONG), int(Shape.ACROSS), int(Shape.AXIS)
SLOPE, DOF = int(Shape.SLOPE), int(Shape.DOF)

#: The optimisers, by number. From SIGNSGD on a step has two passes, see :mod:`empirics.isotropic.steps`.
CODES = {
    name: code
    for code, name in enumerate(
        ("sgd", "momentum", "nesterov", "adamw", "adam-l2", "signsgd", "lion", "normalised-sgd", "muon", "lars", "lamb")
    )
}
SGD, MOMENTUM, NESTEROV, ADAMW, ADAM_L2, SIGNSGD, LION, NORMALISED_SGD, MUON, LARS, LAMB = range(len(CODES))

# What is known of each lane within a step. All in one array: with many, which may overlap for all the compiler knows,
# the loops would not become vector instructions.
R_SQ, COS, SIN_SQ, LOSS_NOW, XI_SQ, G_SQ, OF_NORMAL, OF_WEIGHTS, OF_MEAN, OF_AXIS, INVERSE = range(11)
RATE, SHRINK, MOVED_SQ, MOVED_ALONG, SLOPES, PULL, KNOWN = range(11, 18)
