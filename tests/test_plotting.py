"""Figures say what they show: labels with units, lines told apart without colour, the sign legible in grey."""

import subprocess
import sys

import numpy as np
import pytest
import xarray as xr
from matplotlib.image import imread

from gsdyn.plotting import draw_curves, draw_map, draw_matrices, draw_responses, save, style

TURN = 2**-0.5


def labelled(dataset):
    for variable in dataset.variables.values():
        variable.attrs = {"long_name": "name", "units": "1"}
    return dataset


def two_features(lam=None, delta=None, ode=True):
    """A made-up dataset of the experiment's form: nothing is solved for it."""
    lam = np.geomspace(1e-3, 10, 9) if lam is None else np.asarray(lam)
    delta = np.linspace(0, 0.95, 20) if delta is None else np.asarray(delta)
    exact = np.log1p(1 / lam)[:, None] * (1 - delta**2)[None, :]
    slope = -delta * (1 - 2 * delta**2) * np.log1p(1 / lam)[:, None]
    methods = ["exact", "first-order", "perturbation"]
    factors = np.array([1.0, 1.01, 1.05])[:, None, None]
    grid = ("lam", "delta")
    dataset = xr.Dataset(
        {
            "z": (("method", "feature", *grid), np.stack([factors * exact, factors * exact / 2], axis=1)),
            "starvation": (("method", *grid), factors * slope),
            "small_overlap": (grid, -delta * np.log1p(1 / lam)[:, None]),
        },
        coords={"method": methods, "feature": [1, 2], "lam": lam, "delta": delta},
        attrs={"s1": 4.0, "s2": 2.0, "at_lam": 0.1, "at_delta": 0.3, "loss": "CrossEntropy", "penalty": "WeightDecay"},
    )
    if ode:
        some = dataset.sel({"method": "exact"}, drop=True).isel(lam=slice(None, None, 2), delta=slice(None, None, 3))
        some = some.rename(lam="lam_ode", delta="delta_ode")
        dataset = dataset.assign(z_ode=some["z"] + 1e-9, starvation_ode=some["starvation"])
    return labelled(dataset)


def digits(features=4, strengths=5):
    random = np.random.default_rng(0)
    matrix = random.normal(size=(2, strengths, features, features))
    matrix[1] = 0
    number = np.arange(1, features + 1)
    dataset = xr.Dataset(
        {
            "z": (("penalty", "lam", "feature"), random.normal(size=(2, strengths, features))),
            "starvation": (("penalty", "lam", "feature", "cause"), matrix),
            "s": ("feature", np.geomspace(30, 5, features)),
        },
        coords={
            "penalty": ["weight decay", "spectral decoupling"],
            "lam": np.geomspace(1e-3, 10, strengths),
            "feature": number,
            "cause": number,
        },
        attrs={"images": 1797, "kernel": "some kernel"},
    )
    return labelled(dataset)


FIGURES = {
    "curves": lambda: draw_curves(two_features()),
    "map": lambda: draw_map(two_features()),
    "responses": lambda: draw_responses(digits()),
    "matrices": lambda: draw_matrices(digits()),
}


@pytest.mark.parametrize("name", FIGURES)
def test_axes_are_labelled(name):
    figure = FIGURES[name]()
    panels = [axes for axes in figure.axes if axes.get_label() != "<colorbar>"]
    assert panels
    for axes in panels:
        place = axes.get_subplotspec()
        assert axes.get_xlabel() or not place.is_last_row()
        assert axes.get_ylabel() or not place.is_first_col()
    words = {axes.get_xlabel() for axes in panels} | {axes.get_ylabel() for axes in panels} | colorbars(figure)
    assert not any("dimensionless" in text for text in words)


def test_a_label_has_the_unit_that_there_is():
    names = {"long_name": "time", "units": "s"}
    assert style.label(xr.DataArray(0.0, attrs=names)) == "time (s)"
    assert style.label(xr.DataArray(0.0, attrs={**names, "units": "1"}), "$t$") == "$t$"


def test_spreads_of_figures_are_those_of_tables():
    runs = xr.DataArray([[1.0, 2.0, 4.0], [1.0, np.nan, np.nan]], dims=("case", "seed"))
    np.testing.assert_allclose(style.spread(runs), [np.std([1, 2, 4], ddof=1), np.nan])
    assert np.isnan(style.spread(runs[0, :1]))


def colorbars(figure):
    return {axes.get_ylabel() for axes in figure.axes if axes.get_label() == "<colorbar>"}


@pytest.mark.parametrize("name", ["curves", "responses"])
def test_lines_differ_without_colour(name):
    figure = FIGURES[name]()
    for axes in figure.axes:
        looks = [
            (str(line.get_linestyle()), line.get_marker(), str(line._dash_pattern))
            for line in axes.get_lines()
            if not line.get_label().startswith("_")
        ]
        assert len(looks) == len(set(looks))


def test_legend_names_every_method_outside_the_panels():
    figure = draw_curves(two_features())
    (legend,) = figure.legends
    names = [text.get_text() for text in legend.get_texts()]
    assert len(names) == 5
    assert "integrated dual flow" in names
    figure.canvas.draw()
    box = legend.get_window_extent()
    assert not any(box.overlaps(axes.get_window_extent()) for axes in figure.axes)


def test_curves_draw_the_data():
    dataset = two_features()
    lower = draw_curves(dataset).axes[4]
    drawn = next(line for line in lower.get_lines() if line.get_label() == "exact fixed point")
    expected = dataset["starvation"].sel({"method": "exact"}).sel(delta=0.3, method="nearest")
    np.testing.assert_array_equal(drawn.get_ydata(), expected)
    np.testing.assert_array_equal(drawn.get_xdata(), dataset["lam"])


def test_distance_of_the_flow_is_taken_at_its_own_cells():
    last = draw_curves(two_features()).axes[6]
    points = next(line for line in last.get_lines() if line.get_marker() == "o")
    values = np.asarray(points.get_ydata())
    assert np.all((values > 0) & (values < 1e-7))


def test_curves_of_one_axis_only():
    assert len(draw_curves(two_features(delta=[0.3], ode=False)).axes) == 4
    assert len(draw_curves(two_features(lam=[0.1], ode=False)).axes) == 4
    with pytest.raises(ValueError, match="more than one value"):
        draw_curves(two_features(lam=[0.1], delta=[0.3], ode=False))
    with pytest.raises(ValueError, match="more than one value"):
        draw_map(two_features(delta=[0.3], ode=False))


def test_one_method_has_nothing_to_differ_from():
    assert len(draw_curves(two_features(ode=False).sel({"method": ["exact"]})).axes) == 6


def test_rounding_has_no_sign():
    dataset = two_features(ode=False)
    noise = np.random.default_rng(0).normal(size=dataset["starvation"].shape) * 1e-17
    dataset["starvation"] = dataset["starvation"].copy(data=noise)
    axes = draw_map(dataset).axes[0]
    assert not [c for c in axes.collections if getattr(c, "hatches", None) and any(c.hatches)]
    assert draw_curves(dataset).axes[4].get_ylim()[1] > 0.1


def test_map_shows_the_sign_without_colour(tmp_path):
    figure = draw_map(two_features())
    axes = figure.axes[0]
    hatched = [c for c in axes.collections if getattr(c, "hatches", None) and any(c.hatches)]
    assert len(hatched) == 1
    low = min(path.vertices[:, 1].min() for path in hatched[0].get_paths() if len(path.vertices))
    assert TURN - 0.06 < low < TURN + 0.06
    assert any("sqrt{2}" in text.get_text() for text in axes.texts)
    save(figure, tmp_path / "map.png")
    grey = imread(tmp_path / "map.png")[..., :3].mean(axis=2)
    height = len(grey)
    x0, y0, x1, y1 = (
        (axes.get_position().transformed(figure.transFigure)).extents * style.SETTINGS["savefig.dpi"] / figure.dpi
    )

    def texture(delta):
        """How much the grey varies along a short stretch at one overlap."""
        row = int(height - (y0 + (y1 - y0) * delta / 0.975))
        part = grey[row - 4 : row + 4, int(x0 + 0.3 * (x1 - x0)) : int(x0 + 0.6 * (x1 - x0))]
        return part.std()

    assert texture(0.87) > 2 * texture(0.3)


def test_map_of_one_sign_has_no_hatch():
    axes = draw_map(two_features(delta=np.linspace(0.05, 0.6, 8), ode=False)).axes[0]
    assert not [c for c in axes.collections if getattr(c, "hatches", None) and any(c.hatches)]
    assert not axes.texts


def test_matrices_print_the_sign():
    dataset = digits()
    figure = draw_matrices(dataset)
    first = figure.axes[0]
    matrix = (dataset["starvation"] * (dataset["s"] ** 2).rename(feature="cause")).values[0, 0]
    signs = {tuple(map(int, text.get_position())): text.get_text() for text in first.texts}
    assert signs[1, 0] == ("+" if matrix[0, 1] > 0 else "−")
    for (i, j), sign in signs.items():
        assert sign == ("+" if matrix[j, i] > 0 else "−")


def test_responses_name_starved_pairs_first():
    dataset = digits()
    names = [text.get_text() for text in draw_responses(dataset).axes[3].get_legend().get_texts()]
    matrix = (dataset["starvation"] * (dataset["s"] ** 2).rename(feature="cause")).values[0].min(axis=0)
    np.fill_diagonal(matrix, np.inf)
    j, i = np.unravel_index(np.argmin(matrix), matrix.shape)
    assert names[0] == f"feature {j + 1}, as {i + 1} grows"


@pytest.mark.parametrize("suffix", [".png", ".svg", ".pdf"])
def test_saved_twice_is_the_same_file(tmp_path, suffix):
    for name in ("a", "b"):
        save(draw_map(two_features(ode=False)), tmp_path / f"{name}{suffix}")
    first = (tmp_path / f"a{suffix}").read_bytes()
    assert first == (tmp_path / f"b{suffix}").read_bytes()
    assert len(first) < 200_000


def test_plotting_loads_no_solver():
    code = "import sys; from gsdyn.plotting import *; print(*sys.modules)"
    loaded = set(
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    )
    assert not loaded & {"jax", "diffrax", "gsdyn.fixed_points", "gsdyn.integration", "gsdyn.experiments"}


def test_rounding_is_not_drawn_in_panels_of_errors():
    values = xr.DataArray([0.0, 1e-17, 3e-13, 1e-9, 0.123456, 40.0])
    noise = 1 + 1e-9 * np.random.default_rng(0).normal(size=values.shape)
    shown = style.above_rounding(values)
    np.testing.assert_array_equal(shown, style.above_rounding(values * noise))
    np.testing.assert_allclose(shown, np.maximum(values, 1e-12), rtol=1.2e-3)


def test_curves_draw_the_floor_where_methods_agree():
    dataset = two_features(ode=False)
    dataset["z"] = dataset["z"].copy(data=np.broadcast_to(dataset["z"].values[:1], dataset["z"].shape))
    for line in draw_curves(dataset).axes[6].get_lines():
        np.testing.assert_array_equal(line.get_ydata()[np.isfinite(line.get_ydata())], 1e-12)
