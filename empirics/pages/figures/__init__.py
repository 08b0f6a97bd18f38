"""The figures of the page: one function per figure, from `Evidence` to `Picture`, None where nothing was measured."""

from empirics.pages.figures.entropy import entropy_map, slope_plane
from empirics.pages.figures.exhibits import drawn
from empirics.pages.figures.learning import accuracy_map, accuracy_plot
from empirics.pages.figures.neighbours import adjacency, lag_histogram, lag_shares
from empirics.pages.figures.radius import radius_map, radius_plot
from empirics.pages.figures.state import pressure_volume
from empirics.pages.figures.stationarity import balance_plot, status_map, traces

__all__ = [
    "accuracy_map",
    "accuracy_plot",
    "adjacency",
    "balance_plot",
    "drawn",
    "entropy_map",
    "lag_histogram",
    "lag_shares",
    "pressure_volume",
    "radius_map",
    "radius_plot",
    "slope_plane",
    "status_map",
    "traces",
]
