"""Experiments of later papers: their numbers against direct computations, their figures from made-up numbers."""

import numpy as np
import pytest
import xarray as xr
from scipy.stats import norm

from gsdyn.data import linear_perception
from gsdyn.experiments import geometric_skew as skew
from gsdyn.experiments import perception as puli
from gsdyn.experiments.catalogue import GeometricSkew, Perception, SlabData
from gsdyn.plotting.geometric_skew import draw_geometric_skew
from gsdyn.plotting.perception import draw_perception
from gsdyn.plotting.slabs import draw_slabs


def test_the_worst_group_is_a_probability_that_samples_have():
    random = np.random.default_rng(0)
    w = np.append([0.03, 0.4], random.normal(size=8) / 5)
    x, y, z = (np.asarray(part) for part in linear_perception(200_000, 10, agreement=0.1, seed=1))
    hard = y != z
    right = np.mean((x @ w * y)[hard] > 0)
    assert abs(puli.worst_group(w) - right) < 4 * np.sqrt(right * (1 - right) / hard.sum())
    assert puli.worst_group(np.array([0.0, 1.0, 0.0])) == 1


@pytest.mark.parametrize("d", [10, 90])
def test_the_closed_form_is_the_shortest_solution(d):
    x, y, _ = (np.asarray(part) for part in linear_perception(40, d, seed=2))
    np.testing.assert_allclose(puli.closed_form(x, y), np.linalg.lstsq(x, y)[0], atol=1e-12)


def test_separation_is_the_first_time_all_are_right():
    path, right = np.array([[0.1, 0.2, 0.3], [0.4, 0.5, 0.6]]), np.array([[0.9, 1.0, 1.0], [0.5, 0.6, 0.7]])
    np.testing.assert_array_equal(puli._when_separated(path, right), [0.2, np.nan])


def test_transition_by_theory():
    """Beyond d = n the shortest solution has signal y^T H y and noise y^T H N N^T H y, H = (X X^T)^-1."""
    x, y, z = (np.asarray(part) for part in linear_perception(50, 120, seed=3))
    H = np.linalg.inv(x @ x.T)
    noise = x[:, 2:] @ x[:, 2:].T
    expected = norm.cdf((y @ H @ y - 100 * z @ H @ y) / np.sqrt(y @ H @ noise @ H @ y))
    np.testing.assert_allclose(puli.worst_group(puli.closed_form(x, y)), expected, rtol=1e-9)


def test_real_data_of_the_skew_are_separable():
    for x, y in (skew._cancer(), skew._digits()):
        w = skew._widest(x, y)
        assert (y * (x @ w)).min() > 1 - 1e-8
        assert x[:, -1].tolist() == [1] * len(y)


def made_up(sizes, variables, coordinates, **attrs):
    random = np.random.default_rng(0)
    values = {name: (over, random.uniform(0.1, 0.9, [sizes[k] for k in over])) for name, over in variables.items()}
    dataset = xr.Dataset(values, coords={**{k: np.arange(n) for k, n in sizes.items()}, **coordinates}, attrs=attrs)
    for variable in dataset.variables.values():
        variable.attrs = {"long_name": "name", "units": "1"}
    return dataset


def figures():
    along = ("loss", "problem", "seed", "time")
    yield draw_perception, 3, made_up(
        {"loss": 2, "problem": 2, "seed": 2, "time": 9, "ratio": 4},
        {"optimum": ("seed", "ratio"), "path": along, "descent": along},
        {"loss": ["a", "b"], "problem": [0.3, 1.2], "ratio": [0.3, 0.9, 1.2, 2], "time": np.geomspace(1, 99, 9)},
        published_ratio=[0.3, 1.2], published=[0.4, 0.397], published_ends=[1.0, 0.397],
    )  # fmt: skip
    over = ("data", "seed", "minority")
    yield (
        draw_geometric_skew,
        2,
        made_up(
            {"data": 2, "seed": 3, "minority": 3},
            {"share": over, "norm_minority": over, "norm_all": ("data",)},
            {"data": ["a", "b"], "minority": [0.5, 0.1, 0.01]},
            published=[0.1, 0.2],
        ),
    )
    yield (
        draw_slabs,
        2,
        made_up(
            {"slabs": 2, "model": 2, "seed": 3, "variant": 3},
            {"auc": ("slabs", "model", "seed", "variant")},
            {"slabs": [5, 7], "model": ["network, a", "kernel, b"], "variant": ["x", "y", "z"]},
        ),
    )


@pytest.mark.parametrize(
    ("draw", "count", "dataset"), list(figures()), ids=lambda value: getattr(value, "__name__", "")
)
def test_figures_say_what_they_show(draw, count, dataset):
    figure = draw(dataset)
    assert len(figure.axes) == count
    assert all(axes.get_title(loc="left") for axes in figure.axes)
    assert any(axes.get_legend() for axes in figure.axes)
    assert any(axes.get_xlabel() for axes in figure.axes)
    assert not any("dimensionless" in axes.get_xlabel() + axes.get_ylabel() for axes in figure.axes)


@pytest.mark.slow
@pytest.mark.parametrize("kind", [Perception, SlabData, GeometricSkew])
def test_quick_looks_show_what_full_runs_do(kind):
    experiment = kind(quick=True)
    (part,) = experiment.parts()
    ds = part.compute(**part.settings)
    assert len(experiment.tell(ds)) > 1
    if kind is Perception:
        assert float(ds["optimum"].sel(ratio=0.9).min()) == 1
        assert float(ds["optimum"].sel(ratio=3.0).max()) < 0.6
        assert float(ds["library_error"].max()) < 1e-8
        assert float(ds["descent_error"].max()) < 0.02
    elif kind is SlabData:
        assert float(abs(ds["auc"].sel(variant="linear randomised") - 0.5).max()) < 0.1
        assert float(ds["auc"].sel(variant="slabs randomised").min()) > 0.8
    else:
        assert (ds["share"].mean("seed").diff("minority") > 0).all()
