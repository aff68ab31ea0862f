"""`gs.sweep` in memory: the right numbers with the right names, compiled once, within the budget, on any devices."""

import functools
import json
import subprocess
import sys
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import xarray as xr

import gsdyn as gs
from gsdyn.sweeps import Integers, Label, Samples, Uniform, Zipped
from gsdyn.sweeps._blocks import blocks
from gsdyn.sweeps._local import run
from gsdyn.sweeps._plan import make_plan
from gsdyn.sweeps._program import Parameter, Task

LAM, DELTA = np.geomspace(1e-3, 10, 37), np.linspace(0.0, 0.9, 23)


class Pair(NamedTuple):
    product: jax.Array
    both: dict[str, jax.Array]


def cell(lam, delta):
    return Pair(lam * delta, {"sum": lam + delta, "large": lam > 1, "steps": jnp.array([1, 2]) + (lam > 1).astype(int)})


def test_every_cell_has_its_value_under_the_right_name():
    ds = gs.sweep(cell, {"lam": LAM, "delta": DELTA}, chunk=50)
    lam, delta = ds["lam"], ds["delta"]
    assert ds["product"].dims == ("lam", "delta")
    assert (lam.values == LAM).all()
    assert (delta.values == DELTA).all()
    assert (ds["product"] == lam * delta).all()
    assert (ds["both_sum"] == lam + delta).all()
    assert (ds["both_large"] == (lam > 1)).all()
    assert ds["both_steps"].dims == ("lam", "delta", "both_steps_0")
    assert (ds["both_steps"][:, :, 1] == 2 + (lam > 1)).all()
    assert [ds[n].dtype.kind for n in ("product", "both_large", "both_steps")] == ["f", "b", "i"]


@pytest.mark.parametrize("lanes", [None, 7, 50, 1000])
@pytest.mark.parametrize("chunk", [1, 50, 10_000])
def test_chunks_and_lanes_change_nothing(chunk, lanes):
    grid = {"lam": LAM[:4], "delta": DELTA[:3]} if chunk == 1 else {"lam": LAM, "delta": DELTA}
    ds = gs.sweep(lambda lam, delta: lam - delta, grid, chunk=chunk, lanes=lanes)
    assert (ds["value"] == ds["lam"] - ds["delta"]).all()


def test_array_parameters_zipped_and_random_ones():
    def distance(start, lam, a, seed):
        return jnp.sum(start) * lam + a + seed.astype(float)

    starts = np.arange(12.0).reshape(4, 3)
    grid = {"start": starts, "lam": [1.0, 2.0], "draw": Samples(5, {"a": Uniform(0, 1), "seed": Integers(0, 9)}, 7)}
    ds = gs.sweep(distance, grid, chunk=6, labels={"start": Label("where it starts", dims=("weight",))})
    assert ds["distance"].dims == ("start_index", "lam", "draw")
    assert ds["start"].dims == ("start_index", "weight")
    assert ds["start"].attrs == {"long_name": "where it starts", "units": "1"}
    assert (ds["distance"] == ds["start"].sum("weight") * ds["lam"] + ds["a"] + ds["seed"]).all()
    assert ds.attrs["seed"] == "7"
    zipped = gs.sweep(lambda a, b: a / b, Zipped({"a": [1.0, 2.0], "b": [4.0, 5.0]}, name="pair"))
    assert zipped["value"].dims == ("pair",)
    assert (zipped["value"] == zipped["a"] / zipped["b"]).all()


def test_a_function_is_traced_once_and_compiled_once(monkeypatch):
    traces, compiles = [], []
    compile_once = jax.stages.Lowered.compile
    monkeypatch.setattr(jax.stages.Lowered, "compile", lambda *a, **k: (compiles.append(1), compile_once(*a, **k))[1])

    def counted(lam, delta):
        traces.append(1)
        return lam * delta

    reports = []
    gs.sweep(counted, {"lam": LAM, "delta": DELTA}, chunk=100, progress=lambda *args: reports.append(args))
    assert (len(traces), len(compiles)) == (1, 1)
    assert len(reports) == 10
    assert reports[-1] == ("sweep", LAM.size * DELTA.size, LAM.size * DELTA.size)
    assert [r[1] for r in reports] == sorted({r[1] for r in reports})


def test_labels_coordinates_and_provenance():
    labels = {
        "path": Label("response", dims=("time",)),
        "time": Label("time", "steps"),
        "lam": Label("lambda", None),
    }
    times = np.linspace(0, 1, 5)
    path = functools.partial(lambda lam, t: {"path": lam * t}, t=jnp.asarray(times))
    ds = gs.sweep(path, {"lam": LAM}, labels=labels, coords={"time": times}, settings={"loss": "hinge"})
    assert (ds["path"] == ds["lam"] * ds["time"]).all()
    assert ds["path"].attrs == {"long_name": "response", "units": "1"}
    assert ds["time"].attrs == {"long_name": "time", "units": "steps"}
    assert ds["lam"].attrs == {"long_name": "lambda"}
    assert json.loads(ds.attrs["settings"])["loss"] == "hinge"
    assert {"gsdyn_version", "jax_version", "precision", "settings"} <= set(ds.attrs)
    assert "seed" not in ds.attrs


def test_the_budget_bounds_what_the_compiler_plans():
    def heavy(lam):
        return jnp.linalg.eigvalsh(lam * jnp.ones((30, 30)) + jnp.eye(30))

    task = Task(heavy, (Parameter("lam", (), np.dtype(float)),), None, True)
    roomy = make_plan(task, (5000,), 1024, 2**30, None, devices=jax.devices()[:1])
    tight = make_plan(task, (5000,), 1024, 2**20, None, devices=jax.devices()[:1])
    assert roomy[0].block == (1000,)
    assert tight[0].block[0] < 200
    assert tight[1]().memory() <= 2**20 < roomy[1]().memory()
    with pytest.raises(ValueError, match="budget must be at least"):
        make_plan(task, (5000,), 1024, 1000, None, devices=jax.devices()[:1])


def test_float32_stays_float32_and_integers_integers():
    grid = {"lam": LAM.astype(np.float32), "k": np.arange(3, dtype=np.int32)}
    ds = gs.sweep(lambda lam, k: (lam * 2, k + 1), grid)
    assert (ds["lam"].dtype, ds["0"].dtype, ds["1"].dtype) == (np.float32, np.float32, np.int32)
    with jax.enable_x64(False):
        ds = gs.sweep(lambda lam: lam * 2, {"lam": LAM})
    assert (ds["lam"].dtype, ds["value"].dtype) == (np.float32, np.float32)
    assert (ds["value"] == 2 * ds["lam"]).all()


@pytest.mark.traced
def test_a_cell_that_is_not_allowed_is_named():
    def checked(lam, delta):
        return gs.closed_forms.equal_strengths(lam, 0.1)[0] + delta

    with pytest.raises(ValueError, match=r"s must be .*, in a cell with lam in \[-1, 10\], delta in \[0.5, 0.5\]"):
        gs.sweep(checked, {"lam": [-1.0, 1.0, 10.0], "delta": [0.5]})


TWO_DEVICES = """
import sys, jax, numpy as np
jax.config.update("jax_enable_x64", True)
jax.config.update("jax_platforms", "cpu")
jax.config.update("jax_num_cpu_devices", 2)
import gsdyn as gs, jax.numpy as jnp
def cell(lam, delta):
    def step(state):
        return state[0] * 0.5 + jnp.sin(lam * state[0]) * delta, state[1] + 1
    return jax.lax.while_loop(lambda s: (jnp.abs(s[0]) > 1e-3) & (s[1] < 90), step, (jnp.exp(delta), 0))
grid = {"lam": np.geomspace(1e-3, 10, 37), "delta": np.linspace(0, 0.9, 23)}
assert len(jax.devices()) == 2
one, two = (gs.sweep(cell, grid, chunk=50, devices=n) for n in (1, None))
assert one.identical(two)
assert gs.sweep(cell, grid, sys.argv[1], chunk=50, devices=1).identical(two)
part = {"lam": grid["lam"][:20], "delta": grid["delta"]}
gs.sweep(cell, part, sys.argv[2], chunk=50, devices=jax.devices()[1:])
assert gs.sweep(cell, grid, sys.argv[2], chunk=50, extend=True).identical(two)
"""


def test_two_devices_give_the_bits_of_one(tmp_path):
    arguments = [sys.executable, "-W", "error", "-c", TWO_DEVICES, tmp_path / "one.zarr", tmp_path / "two.zarr"]
    done = subprocess.run(arguments, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-2000:]


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: gs.sweep(lambda lam: {}, {"lam": LAM}), "at least one array"),
        (lambda: gs.sweep(lambda lam: jax.lax.complex(lam, lam), {"lam": LAM}), "real numbers"),
        (lambda: gs.sweep(lambda lam: jax.random.key(0), {"lam": LAM}), "real numbers"),
        (lambda: gs.sweep(lambda lam: {"lam": lam}, {"lam": LAM}), "names of their own"),
        (lambda: gs.sweep(lambda lam: {"a_b": lam, "a": {"b": lam}}, {"lam": LAM}), "different names"),
        (lambda: gs.sweep(lambda lam: lam, {"lam": LAM}, labels={"x": Label("x")}), "labels must name"),
        (lambda: gs.sweep(lambda lam: lam, {"lam": LAM}, labels={"lam": Label(dims=("x",))}), "0 dimensions"),
        (lambda: gs.sweep(lambda lam: lam, {"lam": LAM}, coords={"lam": LAM}), "named otherwise"),
        (lambda: gs.sweep(lambda lam: lam * jnp.ones(3), {"lam": LAM}, coords={"t": LAM},
                          labels={"value": Label(dims=("t",))}), "one size"),
        (lambda: gs.sweep(lambda lam: lam, {"lam": LAM}, chunk=0), "chunk"),
        (lambda: gs.sweep(lambda lam: lam, {"lam": LAM}, lanes=0), "lanes"),
        (lambda: gs.sweep(lambda lam: lam, {"lam": LAM}, budget=0), "budget"),
        (lambda: gs.sweep(lambda lam: lam, {"lam": LAM}, devices=99), "devices"),
        (lambda: gs.sweep(lambda lam: lam, {"lam": LAM}, devices=[]), "devices"),
        (lambda: gs.sweep(3.0, {"lam": LAM}), "fn must be a function"),
        (lambda: gs.sweep(lambda lam: lam, {"lam": LAM}, progress=True), "progress must be a function"),
        (lambda: gs.sweep(lambda lam: lam, {"lam": LAM}, client="tcp://here"), "client must be"),
        (lambda: gs.sweep(lambda lam: lam, {"lam": LAM}, labels=["lam"]), "labels must be a dictionary"),
        (lambda: gs.sweep(lambda lam: lam, {"lam": LAM}, labels={"lam": "lambda"}), "labels must hold a Label"),
        (lambda: gs.sweep(lambda lam: lam, {"lam": LAM}, coords=LAM), "coords must be a dictionary"),
        (lambda: gs.sweep(lambda lam: lam, {"lam": LAM}, coords={"t": [[1.0], [1.0, 2.0]]}), "coords must be vectors"),
        (lambda: gs.sweep(lambda lam: lam, {"lam": LAM}, coords={"..": ["a"]}), "coords, must give names"),
        (lambda: gs.sweep(lambda lam: lam, {"lam": LAM}, settings=7), "settings must be a dictionary"),
        (lambda: gs.sweep(lambda lam: lam, {"lambda_": LAM}), "fn must be a function of lambda_, got"),
        (lambda: gs.sweep(lambda lam: lam, {"lam": LAM}, progress=len), "progress must be a function of a stage"),
        (lambda: gs.sweep(lambda lam: lam, {"lam": LAM}, settings={"x": LAM}), "settings must hold what JSON can"),
        (lambda: gs.sweep(lambda lam: lam, {"lam": LAM}, settings={"x": 1, 2: 3}), "settings must hold what JSON can"),
        (lambda: gs.sweep(lambda lam: lam, {"lam": LAM}, "s3://bucket/run.zarr"), "out must be a path on this machine"),
        (lambda: gs.sweep(lambda lam: lam, {"lam": LAM}, 3), "out must be a path"),
        (lambda: gs.sweep(lambda lam: lam, {1: LAM}), "name of an argument"),
        (lambda: gs.sweep(lambda lam: {"t": lam * jnp.ones(2)}, {"lam": LAM}, coords={"u": [1, 2]},
                          labels={"t": Label(dims=("lam",))}), "different names"),
        (lambda: Label(3), "name must be words"),
        (lambda: Label(units=3), "units must be words"),
        (lambda: Label(dims="time"), "dims must be a tuple"),
    ],
)  # fmt: skip
def test_bad_calls_are_named(call, words):
    with pytest.raises(ValueError, match=words) as caught:
        call()
    assert "\n" not in str(caught.value)


def test_the_faults_of_a_function_stay_what_they_are():
    def faulty(lam):
        raise TypeError("of its own")

    with pytest.raises(TypeError, match="of its own"):
        gs.sweep(faulty, {"lam": LAM})


def test_results_are_kept_while_others_are_computed():
    kept = []

    class Sink:
        def write(self, block, results):
            kept.append((block.index, sorted(results)))

    dimensions = Zipped({"lam": LAM}).dimensions()
    task = Task(lambda lam: {"a": lam}, (Parameter("lam", (), np.dtype(float)),), None, True)
    plan, build = make_plan(task, (37,), 10, 2**30, None, devices=jax.devices()[:1])
    run(build(), blocks(dimensions, plan.block), Sink(), lambda count: None)
    assert sorted(kept) == [((i,), ["a"]) for i in range(4)]


def test_a_whole_training_is_a_cell():
    x = jnp.linspace(-1, 1, 20)

    def train(rate, seed):
        def loss(w):
            return jnp.mean((jnp.tanh(w * x) - x) ** 2)

        w = jax.lax.fori_loop(0, 50, lambda _, w: w - rate * jax.grad(loss)(w), jax.random.normal(jax.random.key(seed)))
        return {"weight": w, "loss": loss(w)}

    ds = gs.sweep(train, {"rate": [0.1, 1.0], "seed": np.arange(8)}, chunk=4)
    assert isinstance(ds, xr.Dataset)
    for rate, seed in ((0.1, 3), (1.0, 7)):
        alone = train(rate, seed)
        np.testing.assert_allclose(ds["loss"].sel(rate=rate, seed=seed), alone["loss"], rtol=1e-12)
