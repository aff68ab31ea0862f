"""A whole report on few examples with all their features, against SciPy on the same kernel; files and interruptions."""

import json

import jax.numpy as jnp
import numpy as np
import pytest
import xarray as xr
from scipy.integrate import solve_ivp
from scipy.optimize import root

import gsdyn as gs
from gsdyn.diagnosis import paths, starving, verdict
from gsdyn.diagnosis._schema import COORDINATES, VARIABLES
from gsdyn.diagnosis.ties import told_of

N, M, SWITCH, DECOUPLING = 60, 30, 4.0, 2.0
TS = np.append(np.geomspace(0.02, 2.0, 5), [4.0, 12.0, 40.0])


def kernel_of(x, z):
    """Some smooth kernel, made without gsdyn."""
    return (x @ z.T / x.shape[1] + 1.0) ** 2 + 0.1 * np.exp(-((x[:, None] - z[None]) ** 2).sum(axis=2))


def draw(rng, n, agreement):
    """A loud colour that goes with the label, and a faint, noisy shape that is it."""
    y = np.where(np.arange(n) % 2 == 0, 1.0, -1.0)
    colour = np.where(rng.random(n) < agreement, y, -y)
    x = np.stack([3 * colour, y + rng.normal(size=n), *rng.normal(size=(3, n))], axis=1)
    return x, y, colour


@pytest.fixture(scope="module")
def given():
    rng = np.random.default_rng(3)
    x, y, colour = draw(rng, N, 0.85)
    new, new_y, new_colour = draw(rng, M, 0.3)
    return {
        "x": x, "y": y, "colour": colour, "K": kernel_of(x, x), "new_y": new_y, "new_colour": new_colour,
        "new": kernel_of(new, x),
    }  # fmt: skip


def ask(given, progress=False, out=None, **more):
    return gs.diagnose(
        None, given["y"], kernel=given["K"], features=N, ts=TS, decays=[0.05, 1.0], progress=progress, out=out, **more
    )  # fmt: skip


def ask_all(given, progress=False, out=None, **more):
    test = {"kernel": given["new"], "y": given["new_y"], "attributes": {"colour": given["new_colour"]}}
    return ask(
        given, progress, out, attributes={"colour": given["colour"]}, test=test, switch_times=[SWITCH],
        decouplings=[DECOUPLING], **more,
    )  # fmt: skip


@pytest.fixture(scope="module")
def out(tmp_path_factory):
    return tmp_path_factory.mktemp("stages")


@pytest.fixture(scope="module")
def report(given, out):
    """Interrupted late, and then finished; what was done before is not done again."""

    def stop(stage, done, total):
        if stage == "over time":
            assert (done, total) == (6, 8)
            raise KeyboardInterrupt

    def never(*_):
        raise AssertionError("done twice")

    with pytest.raises(KeyboardInterrupt):
        ask_all(given, stop, out)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(paths.Solver, "optima", never)
        patch.setattr(paths.Solver, "switched", never)
        finished = ask_all(given, False, out)
        with pytest.raises(AssertionError, match="done twice"):  # other labels are another report
            ask_all({**given, "y": -given["y"]}, False, out)
    return finished


@pytest.fixture(scope="module")
def ds(report):
    return report.dataset


def flow(K, ts, lam2=0.0, beta=None):
    """Coefficients over time by SciPy: `beta' = sigma(-f) - lam_2 f`, `f = K beta`."""

    def velocity(_, b):
        f = K @ b
        return 1 / (1 + np.exp(f)) - lam2 * f

    beta = np.zeros(len(K)) if beta is None else beta
    run = solve_ivp(velocity, (0, ts[-1]), beta, "LSODA", np.append(0, ts), rtol=1e-9, atol=1e-11)
    return run.y.T[1:]


def close(actual, expected, K):
    """Within what a step of tolerance `RTOL` may do, of the largest margin."""
    allowed = 20 * paths.RTOL * max(1.0, np.abs(expected).max())
    assert np.abs(actual - expected).max() <= allowed


def signed(given):
    return given["y"][:, None] * given["K"] * given["y"][None, :]


def test_training_over_time_is_that_of_scipy(given, ds):
    K, times = signed(given), ds.time.values
    beta = flow(K, times)
    s2, U = np.linalg.eigh(K)
    assert np.allclose(ds.strength.values**2, s2[::-1], atol=1e-9 * s2[-1])
    # responses up to their sign, in which features are arbitrary
    close(np.abs(ds.response_time.values[:, :3]), np.abs(beta @ K @ U[:, ::-1][:, :3]), K)
    new = given["new_y"] * (beta * given["y"] @ given["new"].T)
    contrast = given["new_colour"] == given["new_y"]
    close(ds.gap_time.sel(split="test").values[0], new[:, contrast].mean(axis=1) - new[:, ~contrast].mean(axis=1), K)
    right = (new > 0).mean(axis=1)
    assert np.allclose(ds.accuracy_time.sel(split="test").isel(group=0), right, atol=1.01 / M)
    start = beta[np.argmin(np.abs(times - SWITCH))]
    after = flow(K, times, DECOUPLING, start) @ K
    close(np.abs(ds.response_switch.values[0, 0][:, 0]), np.abs(after @ U[:, -1]), K)
    own = given["colour"] == given["y"]
    close(
        ds.gap_switch.sel(split="train").values[0, 0, 0],
        after[:, own].mean(axis=1) - after[:, ~own].mean(axis=1),
        K,
    )


def test_starvation_since_the_switch_is_that_of_the_leading_features_alone(given, ds):
    K, k = signed(given), starving.FEW
    s2, U = (v[..., ::-1][..., :k] for v in np.linalg.eigh(K))

    def velocity(lam2):
        def of(_, y):
            z, G = y[:k], y[k:].reshape(k, k)
            f = U @ z
            a = 1 / (1 + np.exp(f))
            p = U.T @ (a - lam2 * f)
            return np.append(s2 * p, -s2[:, None] * (U.T @ ((a * (1 - a) + lam2)[:, None] * U)) @ G + np.diag(p))

        return of

    def run(lam2, y, ts):
        return solve_ivp(velocity(lam2), (0, ts[-1]), y, "LSODA", ts, rtol=1e-9, atol=1e-12).y.T

    y = run(DECOUPLING, run(0.0, np.zeros(k + k * k), [SWITCH])[-1], ds.after.values)
    z, G = y[:, :k], y[:, k:].reshape(-1, k, k)
    # elasticities do not depend on the signs of features
    own = ds.isel(switch=0, decoupling=0, feature=slice(k), cause=slice(k))
    scale = s2[None, None, :] / np.abs(z)[:, :, None]
    assert (
        np.abs(own.elasticity_switch.values - G * s2 / z[:, :, None]) <= (own.starvation_switch_error + 1e-6) * scale
    ).all()
    assert (own.starvation_switch_error < 1e-3 * np.abs(G).max()).all()
    rest = ds.isel(switch=0, decoupling=0)
    assert rest.elasticity_switch.isel(feature=slice(k, None)).isnull().all()
    # the two are of different tolerances
    f = flow(K, ds.after.values, DECOUPLING, flow(K, np.array([SWITCH]))[0]) @ K
    apart = np.linalg.norm(f - z @ U.T, axis=1) / np.linalg.norm(f, axis=1)
    np.testing.assert_allclose(rest.few_error_switch, apart, rtol=0.05, atol=0.01)
    harm = (G * np.sign(z)[:, :, None])[..., ~np.eye(k, dtype=bool)]
    told = own.starves_switch.values[..., ~np.eye(k, dtype=bool)]
    assert not (told & ~(harm < 0)).any()
    assert not told[rest.few_error_switch.values > 0.1].any()


def test_the_gap_is_an_exact_sum_over_features(ds):
    for path, dims in (("time", 1), ("decay", 1), ("switch", 3)):
        for split in ("train", "test"):
            kappa = ds.kappa.sel(split=split, attribute="colour").values
            whole = ds[f"gap_{path}"].sel(split=split, attribute="colour").values
            parts = ds[f"response_{path}"].values @ kappa
            assert whole.ndim == dims
            assert np.abs(parts - whole).max() <= 1e-9 * max(1.0, np.abs(whole).max())
            assert np.abs(ds[f"gap_rest_{path}"].sel(split=split).values).max() <= 1e-9 * np.abs(whole).max()
    assert float(ds.gap_share.sum()) == pytest.approx(1.0, abs=1e-8)
    assert float(ds.mean_margin_share.sum()) == pytest.approx(1.0, abs=1e-8)


def test_without_a_feature_and_at_optima_too(given, ds):
    K = signed(given)
    s2, U = np.linalg.eigh(K)
    j = int(ds.removed[0]) - 1
    u = U[:, ::-1][:, j]
    less = K - s2[::-1][j] * np.outer(u, u)
    margins = flow(less, ds.time.values) @ less
    size = np.linalg.norm(margins - np.outer(margins @ u, u), axis=1)
    rest = np.delete(ds.response_without.values[0], j, axis=1)
    close(np.linalg.norm(rest, axis=1), size, K)
    assert np.abs(ds.response_without.values[0][:, j]).max() < 1e-6
    for i, lam in enumerate(ds.decay.values):
        optimum = root(lambda f, lam=lam: f - K @ (1 / (1 + np.exp(f))) / lam, np.ones(N), tol=1e-13).x
        z = np.abs(U[:, ::-1].T @ optimum)
        error = np.abs(np.abs(ds.response_decay.values[i]) - z)
        assert (error[:3] <= 1e-8 * z.max()).all()
        assert (ds.response_decay_error.values[i] < 1e-6).all()
    even = ds.response_decoupling.values[0] / ds.response_decoupling.values[0][0]
    total = np.abs(U[:, ::-1].sum(axis=0))
    assert even[0] == 1
    value = np.abs(ds.response_decoupling.values[0])[0] / total[0]
    assert value == pytest.approx(0.5 / (1 + np.exp(value)), rel=1e-9)  # sigma(-f) = lam f


def test_held_out_examples_are_seen_by_a_solution_of_the_others(given, ds):
    from gsdyn.diagnosis import problem

    test = {"kernel": given["new"], "y": given["new_y"], "attributes": {"colour": given["new_colour"]}}
    held = problem.read(
        None, given["y"], {"colour": given["colour"]}, test, given["K"], positive=None, limit=None, seed=0
    ).held_out
    assert held.sum() == ds.attrs["n_held_out"] == 12
    scale = N / (N - held.sum())
    K = scale * signed(given)
    f = flow(K[~held][:, ~held], ds.time.values) @ K[held][:, ~held].T
    accuracy = ds.accuracy_time.sel(split="held-out").isel(group=0).values
    assert np.allclose(accuracy, (f > 0).mean(axis=1), atol=1.01 / held.sum())
    loss = np.log1p(np.exp(-f)).mean(axis=1)
    assert ds.attrs["plain_time"] == ds.time.values[np.argmin(loss)]
    close(ds.margin_time.sel(split="held-out").isel(group=0).values, f.mean(axis=1), K)


def test_of_many_examples_those_held_out_leave_the_kernel(given, monkeypatch):
    held = np.arange(N) % 5 == 0
    solver = paths.Solver(jnp.asarray(given["K"]), given["y"], None, None)
    few = paths.rest(solver, held)
    monkeypatch.setattr(paths, "FEW", N - 1)
    many = paths.rest(solver, held)
    assert few.theta.shape == (N, N)
    assert many.theta.shape == (48, 48)
    np.testing.assert_array_equal(many.theta, few.theta[~held][:, ~held])
    np.testing.assert_array_equal(many.new, few.new[:, ~held])
    assert not np.any(few.theta[held])
    assert not np.any(few.new[:, held])


def test_the_choice_is_the_best_of_the_path_by_the_worst_cell_held_out(ds):
    own = ds.sel(attribute="colour")
    cells = np.flatnonzero((ds.group_kind == "cell") & (ds["count"].sel(split="held-out") >= 5))
    for strategy, path in (("stopped", "time"), ("decay", "decay"), ("switch", "switch")):
        score = ds[f"accuracy_{path}"].sel(split="held-out").isel(group=cells).min("group").values
        assert float(own.choice_worst.sel(strategy=strategy, split="held-out")) == score.max()
    at = {"time": float(own.choice_time.sel(strategy="stopped"))}
    told = ds.accuracy_time.sel(split="test").sel(at).isel(group=0)
    assert float(own.choice_average.sel(strategy="stopped", split="test")) == float(told)
    assert np.isnan(float(own.choice_decay.sel(strategy="switch")))


def test_the_test_set_decides_only_where_it_is_asked(given, ds, out):
    asked = ask_all(given, out=out, select="test").dataset
    assert (ds.attrs["select"], asked.attrs["select"]) == ("held-out", "test")
    worst = asked.choice_worst.sel(attribute="colour", split="test")
    assert (worst >= ds.choice_worst.sel(attribute="colour", split="test"))[1:].all()
    cells = np.flatnonzero((ds.group_kind == "cell") & (ds["count"].sel(split="test") >= 5))
    score = ds.accuracy_time.sel(split="test").isel(group=cells).min("group").values
    assert float(worst.sel(strategy="stopped")) == score.max()
    counts = asked["count"]
    some = str(verdict.judge(asked.assign(count=counts.where(counts.group != cells[0], 4).where(counts >= 5, 4))))
    assert "Chosen by the worst cell of label and 'colour' on the test set (of its 4 cells 2 with fewer than 5" in some
    every = str(verdict.judge(asked.assign(count=counts.where(counts >= 5, 5))))
    assert "Chosen by the worst cell of label and 'colour' on the test set: " in every
    own = asked.choice_worst.copy()
    own.loc[{"strategy": "plain"}] = 1.0
    told = str(verdict.judge(asked.assign(choice_worst=own)))
    assert "do not count), 100% there, no stopping time, weight decay or decoupling that was tried does better" in told


def test_the_verdict_names_the_colour(report):
    assert report.verdict.kind == "shortcut"
    (record,) = report.verdict.shortcuts
    assert record["attribute"] == "colour"
    assert record["r2"] > 0.5
    assert record["gap_share"] > 0.5
    assert record["accuracy_aligned_low"] > record["accuracy_conflicting_high"]
    first = report.verdict.sentences[0]
    assert first.startswith(f"'colour' is a shortcut: feature {record['feature']} follows it (R^2 = {record['r2']:.2f}")
    assert "makes more of the conflicting test examples right." in str(report.verdict)
    assert repr(report).startswith(f"Report of {N} examples, {N} features: shortcut\n  'colour'")
    assert "&#x27;colour&#x27; is a shortcut" in report._repr_html_()


def test_attributes_that_have_nothing_to_do_with_the_inputs_are_no_shortcuts(given):
    rng = np.random.default_rng(5)
    nothing = {f"a{i}": rng.integers(2, size=N) for i in range(20)}
    plain = ask(given, attributes=nothing, switch_times=[], decouplings=[])
    assert plain.verdict.kind == "no shortcut"
    assert plain.verdict.sentences[0] == "No shortcut found."
    assert plain.verdict.sentences[1].startswith(
        "No feature is tied to 'a0', 'a1', 'a2', 'a3' and 16 more beyond chance"
    )
    assert plain.dataset.attribute_verdict.values.tolist() == ["no shortcut"] * 20
    same = ask(given, attributes={"same": given["y"]}, switch_times=[], decouplings=[])
    assert same.verdict.sentences[0] == (
        "Undecided for 'same': it goes with the label in every training example, so that nothing tells the two apart."
    )


def test_few_conflicting_examples_leave_it_undecided_whatever_is_tied():
    counts = {"count_aligned": 55, "count_conflicting": 4, "split": "train", "p_corrected": 0.5}
    told = verdict._decided({**counts, "features": []}, True)
    assert told == ("undecided", "only 4 training examples are in one of its two groups")
    enough = verdict._decided({**counts, "count_conflicting": 5, "features": []}, True)
    assert enough[0] == "no shortcut"


def test_every_variable_is_of_the_schema(ds):
    expected = set(VARIABLES) - {"direction", "input_std"}  # of a kernel alone there are no inputs
    assert set(ds.data_vars) == expected
    for name in ds.data_vars:
        assert ds[name].dims == VARIABLES[name].dims
        assert set(ds[name].attrs) == {"units", "description"}
    for name in COORDINATES:
        assert ds[name].attrs["description"]
    assert bool(ds.flow_reached.all())
    assert float(ds.duality_gap.max()) < 1e-8
    assert float(ds.eigen_residual[:3].max()) < 1e-12


@pytest.mark.parametrize("suffix", [".zarr", ".json"])
def test_a_saved_report_comes_back(report, tmp_path, suffix):
    path = report.save(tmp_path / f"report{suffix}")
    back = gs.Report.load(path)
    assert back.verdict == report.verdict
    xr.testing.assert_identical(back.dataset.load(), report.dataset)
    assert verdict.judge(back.dataset) == report.verdict
    assert [entry.name for entry in tmp_path.iterdir()] == [path.name]
    if suffix == ".json":
        json.loads(path.read_text(), parse_constant=lambda word: pytest.fail(f"{word} is no JSON"))


def test_the_feature_told_for_an_attribute_is_the_tied_one_that_carries_most(ds, report):
    own = ds.sel(attribute="colour")
    carried = own.gap_share.where(own.tied)
    assert int(own.attribute_feature) == int(carried.idxmax("feature")) == report.verdict.attributes[0]["feature"]
    given = {"tied": np.array([[0, 0, 1], [0, 1, 0], [0, 1, 0]], bool), "tie_given_label": np.eye(3)[:, ::-1]}
    share = np.array([[0.9, 0.9, np.nan], [0.1, np.nan, 0.5], [0.0, -0.2, 0.5]])
    assert told_of(given, share).tolist() == [2, 2, 0]


def test_a_report_saved_before_some_things_were_told_opens(report, tmp_path):
    old = gs.Report(report.dataset.drop_vars(["attribute_feature", "large"]), report.verdict)
    old.dataset.attrs.pop("rare"), old.dataset.attrs.pop("holds")
    for path in (old.save(tmp_path / "old.json"), old.save(tmp_path / "old.zarr")):
        back = gs.Report.load(path)
        xr.testing.assert_identical(back.dataset.load(), report.dataset)
        assert back.page()


def test_what_is_no_report_is_told(report, tmp_path):
    with pytest.raises(ValueError, match=r"path must end in .html, .json or .zarr, got 'report.txt'"):
        report.save("report.txt")
    (tmp_path / "other.json").write_text("{}")
    with pytest.raises(ValueError, match="path must be a saved report, got"):
        gs.Report.load(tmp_path / "other.json")
    with pytest.raises(ValueError, match=r"path must be a saved report, .zarr or .json, got"):
        gs.Report.load(tmp_path / "none.zarr")


def test_without_attributes_test_set_and_decoupling_there_is_a_report_too(given, ds, tmp_path):
    plain = ask(given, switch_times=[], decouplings=[])
    assert plain.verdict.kind == "undecided"
    assert plain.verdict.sentences[0] == "No attribute was named, so none could be called a shortcut."
    assert plain.dataset.sizes["switch"] == plain.dataset.sizes["attribute"] == 0
    np.testing.assert_array_equal(plain.dataset.response_time, ds.response_time)
    for suffix in (".json", ".zarr"):
        back = gs.Report.load(plain.save(tmp_path / f"report{suffix}"))
        xr.testing.assert_equal(back.dataset.load(), plain.dataset)
        assert back.page()
