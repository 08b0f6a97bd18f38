"""The claims that come with the package."""

from empirics.claims.adiabat import AdiabatSlope
from empirics.claims.base import Claim
from empirics.claims.compressibility import CompressibilityFactor
from empirics.claims.edge import StochasticEdge
from empirics.claims.fluctuations import HeatCapacity
from empirics.claims.implicit import ImplicitPotential
from empirics.claims.maxwell import MaxwellRelation
from empirics.claims.mixture import GasMixture
from empirics.claims.potential import MinimalPotential
from empirics.claims.radius import RadiusLaw
from empirics.claims.thermometer import ConfigurationalTemperature
from empirics.claims.trajectory import RadiusTrajectory
from empirics.claims.virial import VirialTheorem

__all__ = ["CLAIMS"]

#: Every claim, in the order of the validation suite.
CLAIMS: tuple[Claim, ...] = (
    RadiusTrajectory(),
    RadiusLaw(),
    MinimalPotential(),
    MaxwellRelation(),
    AdiabatSlope(),
    HeatCapacity(),
    ConfigurationalTemperature(),
    GasMixture(),
    CompressibilityFactor(),
    VirialTheorem(),
    ImplicitPotential(),
    StochasticEdge(),
)
