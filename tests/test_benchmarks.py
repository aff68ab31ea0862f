"""The races against peers: their clockwork, and that all run the same problem."""

import dataclasses
from types import SimpleNamespace

import jax
import numpy as np
import pytest

import gsdyn as gs
from benchmarks import __main__ as command
from benchmarks import _race, batches, descent, flows, grids, large_n, trajectories


def test_a_race_takes_turns_and_scales_shares(monkeypatch):
    clock, turns = [0.0], []
    monkeypatch.setattr(_race, "time", SimpleNamespace(perf_counter=lambda: clock[0]))

    def runner(name, seconds):
        def run():
            turns.append(name)
            clock[0] += seconds

        return run

    quick, slow = _race.Entry("quick", runner("quick", 0.125)), _race.Entry("slow", runner("slow", 0.5), share=0.25)
    first, second = _race.race("title", [quick, slow], repeats=3)
    # the quick one runs until it has taken long enough to be timed
    assert turns == ["quick", "slow"] + ["quick", "quick", "slow"] * 3
    assert (first.median, first.ratio, first.first) == (0.125, 1, 0.125)
    assert (second.least, second.median, second.most, second.ratio, second.first) == (2, 2, 2, 16, 0.5)


def test_an_absent_peer_is_none():
    assert _race.peer("no_such_competitor") is None


def test_the_table_is_written_and_kept_when_one_race_is_run_again(tmp_path, monkeypatch):
    monkeypatch.setattr(command, "FOLDER", tmp_path)
    kept = _race.Result("a", "ours", 0.1, 0.1, 0.2, 3.0, 1.0, made_with="an old machine")
    again = _race.Result("descent", "ours", 2.0, 1.0, 3.0, 3.0, 1.0)
    command._write([kept, again])
    assert command._before() == [kept, again]
    monkeypatch.setattr(descent, "rows", lambda: [dataclasses.replace(again, median=1.5)])
    command.run(["descent"])
    assert command._before()[0] == kept
    assert command._before()[1].median == 1.5
    assert "jaxlib" in command._before()[1].made_with
    text = (tmp_path / "results.md").read_text()
    assert "| ours | 100 ms | 100 ms..200 ms | 1 |" in text
    assert text.index("On an old machine.") < text.index("| ours | 100 ms") < text.index("jaxlib")
    with pytest.raises(SystemExit, match="name must be one of grids"):
        command.main(["girds"])


def test_grids_solve_the_same_cells():
    cells = grids._wide(50)
    alpha = np.asarray(grids.ours(*map(jax.numpy.asarray, cells))[0])
    np.testing.assert_allclose(np.stack(grids.numpy_newton(*cells), axis=1), alpha, rtol=1e-9)


def test_descent_arrives_at_the_fixed_points(monkeypatch):
    monkeypatch.setattr(descent, "LAM", 0.5)
    monkeypatch.setattr(descent, "STRENGTHS", descent.STRENGTHS[:2])
    theta = descent.numpy_descent()
    strengths = np.stack([descent.STRENGTHS, np.full(2, descent.S2)], axis=1)
    np.testing.assert_allclose(strengths * theta, descent.ours(descent.STRENGTHS), rtol=1e-6)


def test_the_gap_of_a_peer_is_that_of_the_fixed_point():
    basis = gs.FeatureBasis.rotation(3.0, 2.0, 0.3)
    fp = large_n.ours(basis, 0.1)
    factor = np.asarray(basis.U) * np.asarray(basis.s)
    theta = np.asarray(fp.z / basis.s)
    assert abs(large_n.relative_gap(factor, theta, 0.1)) < 1e-15
    assert large_n.relative_gap(factor, 1.1 * theta, 0.1) > 1e-4


@pytest.mark.slow
def test_trajectories_run_the_same_flow():
    cells = [np.array([x]) for x in (3.0, 2.0, 0.3, 0.1)]
    ts, start = np.linspace(0, 1, 5), np.array([[0.1, 0.3]])
    kernels = trajectories._kernels(*cells)
    exact = trajectories._reference(kernels[0], start[0], ts)
    np.testing.assert_allclose(trajectories._scipy(kernels, start, ts, "LSODA")[0], exact, rtol=1e-6)
    np.testing.assert_allclose(trajectories._ours(cells, start, ts)()[0], exact, rtol=1e-6)


def test_descent_and_flow_of_a_kernel_agree():
    phi, y = np.random.default_rng(0).normal(size=(6, 9)), np.array([1.0, -1.0, 1.0, 1.0, -1.0, -1.0])
    theta, setting = phi @ phi.T, flows.Setting(gs.WeightDecay(0.1), 0.1, 0.0, np.zeros(6), 1e-9)
    basis = gs.FeatureBasis.from_kernel(theta, y)
    entry = flows._entry("ours", jax.numpy.asarray(theta), y, basis.U, setting, np.array([0.5, 1.0]))
    assert float(entry.note.split("error ")[1]) < 1e-8
    steps = 20_000
    K = theta * np.outer(y, y)
    for make in (flows._numpy, flows._jax):
        beta = np.asarray(make(K, 0.1, 0.0, 1.0 / steps, np.zeros(6), steps)())
        np.testing.assert_allclose(K @ beta, entry.run()[-1], atol=1e-3)


@pytest.mark.parametrize("name", batches.LOSSES)
def test_batches_solve_the_same_problems(name):
    batch = batches.problems(4, 3)
    alpha, *_, converged = batches.ours(batches.LOSSES[name])(*batch)
    assert np.all(converged)
    np.testing.assert_allclose(batches.scipy_loop(batch, name), alpha, atol=1e-6)
