"""Sweeps on a Dask cluster of processes: the bits of one machine, also when a worker is killed in the middle."""

import os
import signal
import warnings

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gsdyn as gs
from gsdyn.cli import main

distributed = pytest.importorskip("distributed")
pytestmark = pytest.mark.filterwarnings("ignore")  # of Dask's own clean-up

GRID = {"lam": np.geomspace(1e-3, 10, 40), "delta": np.linspace(0.0, 0.9, 25)}
MORE = {"lam": np.append(GRID["lam"], 20.0), "delta": GRID["delta"]}


def cell(lam, delta):
    def step(state):
        return jnp.sin(state[0] * lam) + delta, state[1] + 1

    value, steps = jax.lax.while_loop(lambda s: (jnp.abs(s[0]) > 0.05) & (s[1] < 500), step, (delta + 1, 0))
    return {"end": value * jnp.ones(2), "steps": steps, "large": lam > 1}


def contents(store):
    return {str(p.relative_to(store)): p.read_bytes() for p in store.rglob("*") if p.is_file()}


@pytest.fixture(scope="module")
def client():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        options = {"n_workers": 2, "threads_per_worker": 1, "processes": True, "dashboard_address": None}
        with distributed.LocalCluster(**options) as cluster, distributed.Client(cluster) as client:
            yield client


def test_a_killed_worker_loses_nothing(client, tmp_path):
    gs.sweep(cell, GRID, tmp_path / "serial.zarr", chunk=10)
    victims = list(client.run(os.getpid).values())

    def kill(stage, done, total):
        if done >= total / 4 and victims:
            os.kill(victims.pop(), signal.SIGKILL)
            victims.clear()

    gs.sweep(cell, GRID, tmp_path / "cluster.zarr", chunk=10, client=client, progress=kill)
    assert not victims
    assert contents(tmp_path / "cluster.zarr") == contents(tmp_path / "serial.zarr")
    for name, options in (("cluster", {"client": client}), ("serial", {})):
        gs.sweep(cell, MORE, tmp_path / f"{name}.zarr", extend=True, **options)
    assert contents(tmp_path / "cluster.zarr") == contents(tmp_path / "serial.zarr")


def test_results_come_back_without_a_store(client):
    def inner(lam, delta):  # goes to the workers by value
        return lam * delta

    ds = gs.sweep(inner, GRID, chunk=100, client=client)
    assert ds.identical(gs.sweep(inner, GRID, chunk=100))


def test_the_faults_of_cells_and_functions_come_back(client, tmp_path):
    with pytest.raises(ValueError, match=r"s must be .*, in a cell with lam in"):
        gs.sweep(lambda lam: gs.closed_forms.equal_strengths(lam, 0.1)[0], {"lam": [-1.0, 1.0]}, client=client)
    with pytest.raises(ValueError, match="at least one array"):
        gs.sweep(lambda lam: {}, {"lam": [1.0]}, tmp_path / "run.zarr", client=client)
    assert not (tmp_path / "run.zarr").exists()


def test_the_command_takes_a_scheduler(client, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "halves.py").write_text("def half(x):\n    return x / 2\n")
    words = ["sweep", "function", "halves:half", "--axis", "x=0:1:5000", "--out", str(tmp_path / "run.zarr")]
    assert main([*words, "--scheduler", client.scheduler.address]) == 0
    assert capsys.readouterr().out.splitlines()[0] == "5,000 cells, 5,000 of them new"
    ds = gs.sweeps.open_store(tmp_path / "run.zarr")
    assert (ds["half"] == ds["x"] / 2).all()
    assert main(words) == 0
    assert capsys.readouterr().out.splitlines()[0] == "5,000 cells, 0 of them new"
