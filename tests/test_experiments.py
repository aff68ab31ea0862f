"""Experiments are right, labelled and traceable, and leave complete results or none."""

import json
import subprocess
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from scipy.optimize import brentq

import gsdyn as gs
from gsdyn.experiments import Outputs, git_commit, labelled, provenance, save_dataset
from gsdyn.experiments.curves import starvation_curves
from gsdyn.experiments.digits_curves import digits_basis, digits_curves

LAM = np.geomspace(1e-3, 1, 4)
DELTA = np.array([0.0, 0.2, 0.5, 0.8])
SMALL = {"images": 60, "features": 3, "depth": 2}


def run(s1=3.0, delta=DELTA, integrated=0, **options):
    """A small grid, of one shape so that it compiles once."""
    at = {"at_lam": 0.01, "at_delta": float(delta[2]), **options}
    return starvation_curves(LAM, delta, s1=s1, s2=2.0, integrated=integrated, **at)


@pytest.fixture(scope="module")
def curves():
    return run(integrated=3)


@pytest.fixture(scope="module")
def digits():
    return digits_curves([1e-2, 1.0], **SMALL)


# P21 appendix B.1 (s_2 = 2, delta = 0.5, lam = 0.01): where Eq. 9 ends, by an integrated flow
@pytest.mark.parametrize(
    ("s1", "expected"),
    [(2, (6.1204, 1.6400)), (3, (7.0681, 1.5831)), (4, (7.8120, 1.4668)), (5, (8.4652, 1.3290)), (6, (9.0710, 1.1853))],
)
def test_curves_meet_the_papers_end_points(s1, expected):
    z = run(s1=s1)["z"].sel({"method": "exact"}).sel(lam=0.01, delta=0.5, method="nearest")
    np.testing.assert_allclose(z, expected, atol=6e-5)


def test_starvation_is_the_slope_of_the_responses():
    step = 1e-4
    low, middle, high = (run(s1=float(np.sqrt(9 + shift))) for shift in (-step, 0.0, step))
    slope = (high["z"] - low["z"]).sel(feature=2) / (2 * step)
    np.testing.assert_allclose(middle["starvation"], slope, rtol=1e-6, atol=1e-9)


def test_curves_add_the_cuts_to_the_grid(curves):
    np.testing.assert_allclose(curves["lam"], LAM)
    np.testing.assert_allclose(curves["delta"], DELTA)
    wider = starvation_curves(LAM[:3], DELTA[:3], s1=3.0, s2=2.0, at_lam=0.03, at_delta=0.3, integrated=0)
    np.testing.assert_allclose(wider["lam"], [1e-3, 1e-2, 0.03, 1e-1])
    np.testing.assert_allclose(wider["delta"], [0.0, 0.2, 0.3, 0.5])


def test_the_one_value_of_an_axis_is_the_cut():
    one = starvation_curves([0.5], [0.7], loss=gs.Hinge())
    assert (one.attrs["at_lam"], one.attrs["at_delta"]) == (0.5, 0.7)
    assert (one.sizes["lam"], one.sizes["delta"]) == (1, 1)


def test_integrated_flow_ends_at_the_fixed_points(curves):
    assert curves["lam_ode"].values[0] == LAM[0]
    assert curves["delta_ode"].values[-1] == DELTA[-1]
    exact = curves.sel({"method": "exact"}).sel(lam=curves["lam_ode"], delta=curves["delta_ode"])
    np.testing.assert_allclose(curves["z_ode"], exact["z"].transpose(*curves["z_ode"].dims), atol=1e-8)
    np.testing.assert_allclose(curves["starvation_ode"], exact["starvation"], rtol=1e-5, atol=1e-9)
    assert curves["ode_distance"].max() < 1e-8


def test_sign_law_holds_on_the_grid(curves):
    assert curves["converged"].all()
    sign = np.sign(curves["starvation"].sel({"method": ["exact", "first-order"]}))
    beyond = curves["delta"] > 0
    assert (sign == curves["sign_law"]).where(beyond, True).all()
    assert set(np.unique(curves["sign_law"].where(beyond, drop=True))) == {-1.0, 1.0}
    # at delta = 0 features share nothing; rounding may leave some 1e-18 of it
    assert np.abs(curves["starvation"].sel(delta=0)).max() < 1e-15


def test_first_order_formula_is_tangent():
    close = run(delta=np.array([0.0, 1e-8, 2e-8, 3e-8]))
    np.testing.assert_allclose(close["small_overlap"], close["starvation"].sel({"method": "exact"}), rtol=1e-6)


@pytest.mark.parametrize(
    ("loss", "penalty", "methods", "integrated"),
    [
        (gs.CrossEntropy(), gs.WeightDecay, ["exact", "first-order", "perturbation"], True),
        (gs.SquaredError(), gs.SpectralDecoupling, ["exact"], False),
        pytest.param(gs.SquaredError(), gs.SpectralDecoupling, ["exact"], True, marks=pytest.mark.slow),
        (gs.Hinge(), gs.WeightDecay, ["exact"], True),
    ],
)
def test_methods_are_those_that_exist(loss, penalty, methods, integrated):
    # the flow of every loss is integrated in test_integration: here, where it exists, that of one will do
    dataset = run(loss=loss, penalty=penalty, integrated=3 * integrated)
    assert list(dataset["method"].values) == methods
    assert ("z_ode" in dataset) == (integrated and loss.smooth)
    assert dataset.attrs["loss"] == type(loss).__name__
    assert dataset.attrs["penalty"] == penalty.__name__
    if penalty is gs.SpectralDecoupling:
        assert (dataset["starvation"] == 0).all()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"lam": [0.0, 1.0]}, "lam must be finite and > 0"),
        ({"lam": [float("nan")]}, "lam must be finite and > 0"),
        ({"lam": 0.1}, "lam must have 1 dimensions"),
        ({"delta": [1.0]}, r"delta must be in \[0, 1\), got 1.0"),
        ({"delta": [-0.1]}, r"delta must be in \[0, 1\)"),
        ({"at_delta": 1.5}, r"at_delta must be in \[0, 1\)"),
        ({"at_lam": -1.0}, "at_lam must be finite and > 0"),
        ({"s1": 0.0}, "s1 must be finite and > 0"),
        ({"s2": float("inf")}, "s2 must be finite and > 0"),
        ({"integrated": -1}, "integrated must be at least 0, got -1"),
    ],
)
def test_curves_refuse(change, message):
    with pytest.raises(ValueError, match=message):
        starvation_curves(**{"lam": [0.1], "delta": [0.3], **change})


def test_digits_under_spectral_decoupling(digits):
    """Every margin is the root of `sigma(-f) = lam f`, and nothing starves."""
    part = digits.sel(penalty="spectral decoupling")
    assert (part["starvation"] == 0).all()
    for lam in digits["lam"].values:
        margin = brentq(lambda f, lam=lam: 1 / (1 + np.exp(f)) - lam * f, 0, 100, xtol=1e-14, rtol=1e-14)
        np.testing.assert_allclose(part["z"].sel(lam=lam), margin * part["alignment"], rtol=1e-10)


def test_digits_under_weight_decay(digits):
    part = digits.sel(penalty="weight decay", lam=1e-2)
    basis = digits_basis(2, 60)
    fp = gs.fixed_point(basis, gs.CrossEntropy(), gs.WeightDecay(1e-2))
    np.testing.assert_allclose(part["z"], fp.z[:3], rtol=1e-12)
    # the columns by implicit differentiation against the whole matrix, and against differences
    np.testing.assert_allclose(part["starvation"], gs.starvation_matrix(basis, fp)[:3, :3], rtol=1e-8, atol=1e-14)
    for cause in range(3):
        ends = []
        for sign in (-1, 1):
            moved = basis.s.at[cause].multiply(np.sqrt(1 + sign * 1e-4))
            ends.append(gs.fixed_point(gs.FeatureBasis(basis.U, moved), gs.CrossEntropy(), gs.WeightDecay(1e-2)).z[:3])
        slope = (ends[1] - ends[0]) / (2e-4 * basis.s[cause] ** 2)
        np.testing.assert_allclose(part["starvation"].sel(cause=cause + 1), slope, rtol=1e-5, atol=1e-10)


def test_digits_dataset(digits):
    assert digits["converged"].all()
    assert digits["relative_gap"].max() < 1e-14
    assert digits.attrs["images"] == 60
    assert np.all(np.diff(digits["s"]) < 0)
    assert digits["starvation"].dims == ("penalty", "lam", "feature", "cause")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"lam": [-1.0]}, "lam must be finite and > 0"),
        ({"images": 1}, r"images must be in 2..1797, got 1"),
        ({"images": 2000}, r"images must be in 2..1797"),
        ({"features": 0}, r"features must be in 1..60"),
        ({"features": 61}, r"features must be in 1..60"),
        ({"depth": 0}, "depth must be"),
    ],
)
def test_digits_refuse(change, message):
    with pytest.raises(ValueError, match=message):
        digits_curves(**{"lam": [1.0], **SMALL, **change})


@pytest.mark.parametrize("name", ["curves", "digits"])
def test_everything_is_labelled(name, request):
    dataset = request.getfixturevalue(name)
    for variable in dataset.variables.values():
        assert variable.attrs["long_name"]
        assert variable.dtype.kind not in "fi" or variable.attrs["units"] == "1"


def test_a_variable_without_a_name_is_refused():
    with pytest.raises(ValueError, match="got none for 'b'"):
        labelled(xr.Dataset({"a": 1.0, "b": 2.0}), {"a": "first"})


def test_progress_is_told():
    told = []
    run(progress=lambda *step: told.append(step))
    assert told == [("two features", done, 3) for done in range(4)]


def test_stored_and_read_back(tmp_path, curves):
    stored = curves.assign_attrs(provenance({"lam": "1:2:3", "digits": True}))
    save_dataset(stored, tmp_path / "run.zarr")
    with xr.open_zarr(tmp_path / "run.zarr") as found:
        xr.testing.assert_identical(found.load(), stored)
    assert json.loads(stored.attrs["settings"]) == {"lam": "1:2:3", "digits": True}
    assert stored.attrs["gsdyn_version"] == gs.__version__
    assert stored.attrs["precision"] == "float64"
    assert stored.attrs["jax_version"]
    assert not any("date" in key or "time" in key for key in stored.attrs)


def test_commit_is_that_of_the_package(tmp_path):
    def git(*arguments):
        identity = ["-c", "user.name=a", "-c", "user.email=a@b", "-c", "commit.gpgsign=false"]
        subprocess.run(["git", *identity, *arguments], cwd=tmp_path, check=True, capture_output=True)

    package = tmp_path / "package"
    package.mkdir()
    source = package / "__init__.py"
    source.write_text("")
    assert git_commit(package) is None
    git("init")
    assert git_commit(package) is None  # inside a repository that does not track it
    git("add", ".")
    git("commit", "-m", "first", "--no-verify")
    commit = git_commit(package)
    assert commit is not None
    assert len(commit) == 40
    source.write_text("changed = True")
    assert git_commit(package) == f"{commit}-dirty"


def test_commit_without_git(monkeypatch):
    monkeypatch.setenv("PATH", "")
    assert git_commit() is None


def contents(folder: Path) -> dict[str, str]:
    return {str(path.relative_to(folder)): path.read_text() for path in folder.rglob("*") if path.is_file()}


def test_outputs_appear_together(tmp_path):
    with Outputs() as outputs:
        outputs.path(tmp_path / "a" / "b" / "file.txt").write_text("one")
        store = outputs.path(tmp_path / "a" / "store.zarr")
        store.mkdir()
        (store / "part").write_text("two")
        assert not (tmp_path / "a" / "b" / "file.txt").exists()
        assert not (tmp_path / "a" / "store.zarr").exists()
    assert contents(tmp_path) == {"a/b/file.txt": "one", "a/store.zarr/part": "two"}
    assert outputs.targets == [tmp_path / "a" / "b" / "file.txt", tmp_path / "a" / "store.zarr"]


def replaced(folder: Path, *, failure: type[BaseException] | None = None, forgotten: bool = False) -> None:
    with Outputs() as outputs:
        outputs.path(folder / "old.txt").write_text("new")
        outputs.path(folder / "new" / "deep" / "file.txt").write_text("new")
        store = outputs.path(folder / "store")
        store.mkdir()
        (store / "part").write_text("new")
        if forgotten:
            outputs.path(folder / "new" / "never.txt")
        if failure:
            raise failure


@pytest.mark.parametrize(
    ("error", "fault"),
    [
        *((kind, {"failure": kind}) for kind in (RuntimeError, KeyboardInterrupt, SystemExit)),
        pytest.param(FileNotFoundError, {"forgotten": True}, id="the last rename fails"),
    ],
)
def test_a_failure_leaves_what_was_there(tmp_path, error, fault):
    (tmp_path / "old.txt").write_text("old")
    (tmp_path / "store").mkdir()
    (tmp_path / "store" / "part").write_text("old")
    before = contents(tmp_path)
    with pytest.raises(error):
        replaced(tmp_path, **fault)
    assert contents(tmp_path) == before
    assert not (tmp_path / "new").exists()
    replaced(tmp_path)
    assert set(contents(tmp_path).values()) == {"new"}


def test_results_are_replaced(tmp_path):
    for text in ("one", "two"):
        with Outputs() as outputs:
            store = outputs.path(tmp_path / "store")
            store.mkdir()
            (store / text).write_text(text)
    assert contents(tmp_path) == {"store/two": "two"}


def test_one_target_once(tmp_path):
    outputs = Outputs()
    outputs.path(tmp_path / "a")
    with pytest.raises(ValueError, match="asked for once"):
        outputs.path(tmp_path / "a")


def test_a_place_that_cannot_be_written_shows_at_once(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="file"), Outputs() as outputs:
        outputs.path(tmp_path / "file" / "result")
