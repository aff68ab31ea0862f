"""The experiments of P21: the numbers they must give, what they keep, and what they refuse."""

import runpy
import sys
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from scipy import stats

import gsdyn as gs
from gsdyn.cli import main
from gsdyn.experiments import _moon_runs as runs_of
from gsdyn.experiments._kept import kept
from gsdyn.experiments.legendre import legendre
from gsdyn.experiments.moons import moons
from gsdyn.experiments.moons_regularisers import moons_regularisers
from gsdyn.experiments.theory_in_one_figure import theory_in_one_figure
from gsdyn.experiments.width import FAR, fitted_exponent, off, width


@pytest.mark.slow
def test_theory_in_one_figure_ends_where_the_paper_says():
    ds = theory_in_one_figure(strengths=(2.0, 6.0))
    primal, dual, decoupled = (ds.isel(method=i) for i in range(3))
    # THEORY section 4: s_1 = 2 and 6
    np.testing.assert_allclose(primal["end"], [(6.1204, 1.6400), (9.0710, 1.1853)], atol=6e-5)
    np.testing.assert_allclose(dual["z"].isel(record=-1), primal["z"].isel(record=-1), atol=1e-8)
    # f = W_1(1/lam) for both examples: z = f U^T 1
    f = gs.special.r_lambertw(1 / 0.002)
    ends = float(f) * np.array([np.sqrt(0.75) + 0.5, np.sqrt(0.75) - 0.5])
    np.testing.assert_allclose(decoupled["end"], [ends, ends], rtol=1e-12)
    assert ds["distance"].max() < 1e-8
    # on the way they do depend on s_1
    assert abs(decoupled["z"].isel(s1=0) - decoupled["z"].isel(s1=1)).max() > 0.5
    np.testing.assert_allclose(ds["z"].isel(record=0), 0, atol=1e-4)
    trained = ds["trained"].isel(method=[0, 2])
    np.testing.assert_allclose(trained.isel(record=-1), ds["end"].isel(method=[0, 2]), rtol=1e-4)
    assert ds["trained_error"].isel(method=[0, 2]).max() < 0.11  # of the order of the rate


def test_legendre_bounds_touch():
    ds = legendre(points=601)
    assert abs(ds["gap"]).max() < 1e-13
    assert (ds["bound"] <= ds["value"] + 1e-12).all()
    assert (ds["value"] - ds["bound"]).max() < 1e-4
    assert (ds["tangent"] <= ds["value"] + 1e-12).all()
    np.testing.assert_allclose(ds["value"].sel(loss="cross-entropy"), np.logaddexp(0, -ds["margin"]), rtol=1e-12)
    a = ds["alpha"].sel(loss="squared error")
    np.testing.assert_allclose(ds["conjugate"].sel(loss="squared error"), a - a**2 / 2, rtol=1e-12, atol=1e-12)
    with pytest.raises(ValueError, match="lines must be at least 1"):
        legendre(lines=0)


def test_exponents_are_those_of_least_squares():
    widths = np.array([64, 128, 512])
    errors = 3 * widths[:, None] ** -0.5 * np.array([[1.0, 1.2], [0.9, 1.1], [1.3, 0.8]])
    slope, low, high = fitted_exponent(widths, errors)
    fit = stats.linregress(np.repeat(np.log(widths), 2), np.log(errors).ravel())
    np.testing.assert_allclose([slope, (high - low) / 2], [fit.slope, stats.t.ppf(0.975, 4) * fit.stderr], rtol=1e-10)
    missing = np.concatenate([errors, [[np.nan, np.nan]]])
    np.testing.assert_allclose(fitted_exponent(np.array([64, 128, 512, 1024]), missing), (slope, low, high))


def test_errors_of_paths():
    path = np.array([[0.0, 0.0], [3.0, 4.0]])
    assert off(path * 1.1, path) == pytest.approx(0.1)
    assert off(path + np.inf, path) == FAR
    assert np.isnan(off(path * np.nan, path))


def test_moons_keep_their_runs(tmp_path, monkeypatch):
    """A second call trains and judges nothing; the dataset is the same."""
    monkeypatch.setattr(runs_of, "PIECE", 10)
    monkeypatch.setattr(runs_of, "EXAMPLES", 40)
    first = moons(seeds=1, steps=30, runs=tmp_path)
    monkeypatch.setattr(runs_of, "input_margin", None)
    again = moons(seeds=1, steps=30, runs=tmp_path)
    xr.testing.assert_identical(first, again)
    assert list(first["step"].values) == [3, 30]
    assert first["logit"].shape == (4, 2, 100, 100)
    assert all(variable.attrs["long_name"] for variable in first.variables.values())
    # the points are those of the data, and the logits those of the drawn networks
    np.testing.assert_allclose(first["input"][0], gs.data.moons(40, margin=-0.1).x, rtol=1e-6)
    with pytest.raises(ValueError, match="steps must go on from the run kept"):
        moons(seeds=1, steps=20, runs=tmp_path)


def test_costly_variants_may_have_fewer_seeds(monkeypatch):
    def quick(variant, seed, steps, observe, folder):
        return runs_of.Trained((), variant.start(seed))

    def judge(variant, seed, step, params, folder):
        return runs_of.Judged(np.full((100, 100), seed + 1.0), np.full(300, 0.5), np.array(1.0), np.array(0.1))

    monkeypatch.setattr("gsdyn.experiments.moons_regularisers.trained", quick)
    monkeypatch.setattr("gsdyn.experiments.moons_regularisers.judged", judge)
    ds = moons_regularisers(seeds=3, costly_seeds=1, steps=5)
    assert dict(zip(ds["variant"].values, ds["runs"].values, strict=True)) == {
        name: 1 if name in ("10 times longer", "five layers") else 3 for name in ds["variant"].values
    }
    assert float(ds["logit"].sel(variant="five layers").max()) == 1.0
    assert float(ds["logit"].sel(variant="dropout").max()) == 2.0
    assert np.isnan(ds["mean_margin"].sel(variant="five layers", seed=1)).all()
    assert float(ds["mean_margin"].sel(variant="five layers").mean("seed")[0]) == 0.5
    assert [int(ds["steps_taken"].sel(variant=name)[0]) for name in ("10 times longer", "dropout")] == [50, 5]


def test_kept_parts(tmp_path):
    calls = []

    def compute():
        calls.append(1)
        return {"a": np.arange(3.0)}

    path = tmp_path / "deep" / "part.npz"
    for _ in range(2):
        np.testing.assert_array_equal(kept(path, {"seed": 0}, compute)["a"], np.arange(3.0))
    assert len(calls) == 1
    with pytest.raises(ValueError, match="runs must be of the same settings"):
        kept(path, {"seed": 1}, compute)
    path.write_bytes(b"nothing")
    with pytest.raises(ValueError, match="runs must hold files of this experiment"):
        kept(path, {"seed": 0}, compute)
    assert set(kept(None, {}, compute)) == {"a"}


@pytest.mark.parametrize(
    ("function", "change", "message"),
    [
        (moons, {"seeds": 0}, "seeds must be at least 1"),
        (moons, {"steps": 0}, "steps must be at least 1"),
        (moons_regularisers, {"costly_seeds": 0}, "costly_seeds must be at least 1"),
        (theory_in_one_figure, {"lam": 0.0}, "lam must be finite and > 0"),
        (theory_in_one_figure, {"delta": 1.0}, r"delta must be in \[0, 1\)"),
        (width, {"widths": (64,)}, "widths must be at least two ascending integers"),
        (width, {"widths": (64, 32)}, "widths must be at least two ascending integers"),
        (width, {"problems": ("cats",)}, "problems must be some of"),
        (width, {"lam": -1.0}, "lam must be finite and > 0"),
    ],
)
def test_bad_settings_are_refused(function, change, message):
    with pytest.raises(ValueError, match=message):
        function(**change)


@pytest.mark.slow
def test_wider_networks_are_nearer_to_the_theory(tmp_path):
    ds = width(seeds=2, widths=(64, 1024), problems=("moons",), runs=tmp_path)
    part = ds.isel(problem=0)
    error = part["path_error"].mean("seed")
    assert (error.isel(width=1) < 0.5 * error.isel(width=0)).all()
    assert (error.isel(width=1) < 0.04).all()
    assert part["end_error"].isel(width=1).max() < 0.04
    assert part["change_error"].isel(width=1).max() < part["change_error"].isel(width=0).max()
    # the strengthened feature grows, and the third by response is starved
    assert float(part["change_theory"][0]) > 0 > float(part["change_theory"][2])
    assert (part["change"].isel(width=1, feature=2) < 0).all()
    # where it breaks: the standard parameterisation, and large steps
    standard = ds["standard_error"].mean("seed")
    assert float(standard.sel(prediction="infinite width").isel(width=1)) > 0.15
    assert float(standard.sel(prediction="at the start").isel(width=1)) < 0.01
    assert float(ds["rate_error"].mean("seed")[-1]) > 10 * float(ds["rate_error"].mean("seed")[0])
    assert len(list((tmp_path / "width").iterdir())) == 2 * 2 + 2 * 2 + 8 * 2


@pytest.mark.parametrize("name", ["legendre", pytest.param("theory-in-one-figure", marks=pytest.mark.slow)])
def test_commands_write_figures_and_data(tmp_path, capsys, name):
    places = ["--figures", str(tmp_path / "figures"), "--results", str(tmp_path / "results")]
    assert main(["reproduce", name, *places]) == 0
    word = name.replace("-", "_")
    assert {path.name for path in (tmp_path / "figures").iterdir()} == {
        f"{word}{suffix}" for suffix in (".png", ".svg", ".pdf")
    }
    with xr.open_zarr(tmp_path / "results" / f"{word}.zarr") as ds:
        assert ds.attrs["gsdyn_version"]
    assert f"{word}.zarr" in capsys.readouterr().out


@pytest.mark.slow
@pytest.mark.parametrize("name", ["moons", "moons-responses", "moons-regularisers"])
def test_quick_looks(tmp_path, name):
    places = ["--figures", str(tmp_path / "figures"), "--results", str(tmp_path / "results")]
    words = ["--quick", "--steps", "200", "--seeds", "1"]
    assert main(["reproduce", name, *words, *places]) == 0
    assert (tmp_path / "figures" / f"{name.replace('-', '_')}.png").exists()


@pytest.mark.parametrize(
    "name", ["moons", "moons_responses", "moons_regularisers", "theory_in_one_figure", "legendre", "width"]
)
def test_scripts_are_the_commands(name, monkeypatch, capsys):
    script = Path(__file__).parents[2] / "scripts" / f"reproduce_{name}.py"
    monkeypatch.setattr(sys, "argv", [str(script), "--help"])
    with pytest.raises(SystemExit) as stop:
        runpy.run_path(str(script), run_name="__main__")
    assert not stop.value.code
    assert "--figures" in capsys.readouterr().out
