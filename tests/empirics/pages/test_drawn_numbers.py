"""What the figures of a page draw: points, lines, bands and cells at the numbers that they stand for."""

import numpy as np
import pytest
import xarray as xr
from test_shown_numbers import COUNT, DIMENSION, EXCLUDED, RUNS, changed

from empirics.claims.exhibit import Map, Plot, Series
from empirics.measure.stationarity import BALANCE_MARGIN
from empirics.pages import figures
from empirics.pages.evidence import RunEvidence
from empirics.pages.figures.neighbours import lag_shares
from empirics.results import Runs


@pytest.fixture
def drawn(monkeypatch):
    """Axes and message of what a function of `figures` draws."""

    def of(function, *given):
        kept = []

        def picture(figure, name, title, message, caption):
            figure.draw_without_rendering()
            kept.extend((figure.axes[0], message))

        with monkeypatch.context() as patched:
            patched.setattr(f"{function.__module__}.picture", picture)
            function(*given)
        return kept

    return of


def data_of(line):
    return np.asarray(line.get_xdata(), float), np.asarray(line.get_ydata(), float)


def test_a_map_has_the_number_of_a_run_in_the_cell_of_its_rates(drawn):
    axes, message = drawn(figures.radius_map, RunEvidence(RUNS))
    radius = np.sqrt(RUNS.dataset["radius_sq"].values)
    assert message.endswith(f"runs from {radius.min():.3g} to {radius.max():.3g}.")
    shown = {text.get_position(): float(text.get_text()) for text in axes.texts}
    lr, wd = RUNS.dataset["lr"].values, RUNS.dataset["weight_decay"].values
    assert shown == {(lr[i], wd[i]): pytest.approx(radius[i], rel=0.01) for i in range(COUNT)}
    (mesh,) = axes.collections
    corners, colours = np.asarray(mesh.get_coordinates()), np.asarray(mesh.get_array()).reshape(3, 4)
    for row, column in np.ndindex(3, 4):
        (x0, y0), (x1, y1) = corners[row, column], corners[row + 1, column + 1]
        inside = np.flatnonzero((x0 * 1.1 < lr) & (lr < x1 / 1.1) & (y0 * 1.1 < wd) & (wd < y1 / 1.1))
        assert colours[row, column] == pytest.approx(radius[inside.item()])


def test_measured_norms_stand_over_predicted_ones_and_their_distance_is_that_of_included_runs(drawn):
    factor = np.ones(COUNT)
    factor[2], factor[EXCLUDED] = 1.1**2, 1.5**2
    columns = {name: factor * RUNS.dataset[name].values for name in ("radius_sq", "grad_sq")}
    one = RunEvidence(changed(**columns))
    axes, message = drawn(figures.radius_plot, one)
    assert message == f"Measured norms lie within {100 * (1.1 * 1.02**0.5 - 1):.3g} percent of the prediction."
    _, included, excluded = axes.lines
    np.testing.assert_allclose(data_of(included), [one.sde_radius[:EXCLUDED], one.radius[:EXCLUDED]])
    np.testing.assert_allclose(data_of(excluded), [one.sde_radius[[EXCLUDED]], one.radius[[EXCLUDED]]])


def test_curves_of_the_norm_are_over_their_later_mean_and_the_burn_in_is_marked(drawn):
    trace = np.linspace(0.5, 0, 19) ** 2 + RUNS.dataset["log_radius"].values[:, None]
    axes, _ = drawn(figures.traces, RunEvidence(changed("trace", log_radius=trace)))
    *curves, mark = axes.lines
    for curve in curves:
        np.testing.assert_allclose(data_of(curve)[1], np.exp(trace[0] - trace[0, -9:].mean()))
    assert data_of(mark)[0].tolist() == [RUNS.experiment.training.burn_in] * 2


def test_the_entropy_over_the_grid(drawn):
    values = 2 * RUNS.dataset["entropy"].values / (DIMENSION - 1)
    axes, message = drawn(figures.entropy_map, RunEvidence(RUNS))
    assert f"spans {np.ptp(values):.3g} over the grid" in message
    shown = [float(text.get_text().replace("−", "-")) for text in axes.texts]
    assert sorted(shown) == pytest.approx(sorted(values - values[:EXCLUDED].mean()), abs=0.006)
    for line in axes.lines:  # isotherms
        assert np.ptp(np.log(data_of(line)).sum(0)) < 1e-9


def test_slopes_of_the_entropy_beside_the_line_of_scale_invariance(drawn):
    one = RunEvidence(RUNS)
    axes, message = drawn(figures.slope_plane, one)
    fit = one.entropy_slopes(False)
    assert f"all neighbours: ({fit.lr.value:.2f}, {fit.weight_decay.value:.2f});" in message
    x, y = data_of(axes.lines[0])
    np.testing.assert_allclose(x - y, 1)  # d(S/R)/dlog lr - d(S/R)/dlog wd
    (bar, *_) = [box for box in axes.containers if box.get_label() == "all neighbours"]
    spans = [np.ptp(segments.get_segments()[0], axis=0).max() for segments in bar.lines[2]]
    assert spans == pytest.approx([fit.lr.high - fit.lr.low, fit.weight_decay.high - fit.weight_decay.low])


def test_isotherms_are_those_of_all_directions(drawn):
    one = RunEvidence(RUNS)
    axes, message = drawn(figures.pressure_volume, one)
    _, _, temperature, gas_constant = one.state
    assert f"temperature from {temperature.min():.3g} to {temperature.max():.3g}" in message
    work = [np.prod(data_of(line), axis=0) for line in axes.lines]
    np.testing.assert_allclose([work[0], work[-1]], np.outer([temperature.min(), temperature.max()], [20, 20]))
    assert gas_constant == 20


def test_lags_have_their_names_and_chance_its_level(drawn):
    lags = np.tile(np.where(np.arange(40) < 10, 1, np.where(np.arange(40) < 39, 7, 39)), (COUNT, 1))
    one = RunEvidence(changed("snapshots", neighbour_lag=lags))
    assert dict(lag_shares(one)) == {"1": 25, "2": 0, "3–8": 72.5, "9–32": 0, "33–39": 2.5}
    _, message = drawn(figures.lag_histogram, one)
    assert message.startswith("25 percent of snapshots have their nearest neighbour next to them")
    axes, message = drawn(figures.adjacency, one)
    assert data_of(axes.lines[0])[1].tolist() == [5.0, 5.0]  # two of 40
    assert "from 25 to 25 percent" in message


def test_the_band_about_a_balance_and_the_counts_beside_the_statuses(drawn):
    one = RunEvidence(RUNS)
    axes, message = drawn(figures.balance_plot, one)
    low, high = np.sort(axes.transData.inverted().transform(axes.patches[0].get_extents())[:, 1])
    assert (low, high) == pytest.approx((1 - BALANCE_MARGIN, 1 + BALANCE_MARGIN))
    assert "from 0.998 to 1.002;" in message
    axes, _ = drawn(figures.status_map, one)
    assert [line.get_label() for line in axes.lines] == ["ok (11)", "not stationary (1)"]


def test_a_cell_of_several_seeds_shows_the_excluded_run(drawn):
    lr, wd = (RUNS.dataset[name].values.copy() for name in ("lr", "weight_decay"))
    lr[EXCLUDED], wd[EXCLUDED] = lr[0], wd[0]
    parts = {path: node.to_dataset() for path, node in RUNS.tree.subtree_with_keys}
    summary = parts["summary"].assign_coords(lr=("run", lr), weight_decay=("run", wd))
    axes, _ = drawn(figures.status_map, RunEvidence(Runs(None, xr.DataTree.from_dict({"/summary": summary}), None, {})))
    assert [len(line.get_xdata()) for line in axes.lines] == [COUNT - 2, 1]


def test_of_very_many_marks_some_are_drawn_and_the_caption_says_so():
    x = np.arange(1.0, 7001.0)
    made = figures.drawn(Plot("a", "A", "M.", "C.", "x", "y", (Series("s", x, x),)), "a")
    assert made.caption == "C. Of 7,000 marks at most 3,000 are drawn."
    assert 2300 < made.svg.count("<use ") < 3000


def test_what_a_claim_shows_is_drawn_where_it_says(drawn):
    x = np.arange(1.0, 4.0)
    plot = Plot("a", "A", "M.", "C.", "x", "y", (Series("s", x, 2 * x, True, 0.1 * x),), level=3.0, margin=0.5)
    axes, _ = drawn(figures.drawn, plot, "a")
    band = axes.transData.inverted().transform(axes.patches[0].get_extents())[:, 1]
    assert sorted(band) == pytest.approx([2.5, 3.5])
    ends = axes.collections[0].get_paths()[0].vertices
    assert np.ptp(ends[np.isclose(ends[:, 0], 3.0), 1]) == pytest.approx(0.6)
    to = np.array([[[0, 1], [-1, -1]]])  # the left cell points to the right one
    grid = Map("a", "A", "M.", "C.", "x", "y", np.array([1.0, 2.0]), np.array([5.0]), np.array([[3.0, 4.0]]), "u", to)
    axes, _ = drawn(figures.drawn, grid, "a")
    (arrow,) = [text for text in axes.texts if getattr(text, "arrow_patch", None)]
    assert (arrow.xyann, arrow.xy) == ((1.0, 5.0), (2.0, 5.0))
