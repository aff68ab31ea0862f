"""Kernels in tiles: kept on disk through a kill, spread over devices, read back, refused where they do not belong."""

import os
import signal
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import zarr

from gsdyn import kernels
from gsdyn.features import FeatureBasis
from gsdyn.kernels import empirical_ntk, infinite_ntk, load, save
from gsdyn.networks import FullyConnected

NET = FullyConnected(3, 8, b_std=0.1)


def inputs(n=11, d=3):
    return np.random.default_rng(0).standard_normal((n, d))


def params():
    return NET.init(jax.random.key(0), 3)


def counted(monkeypatch):
    """How many tiles each kernel computes from here on."""
    done = []
    for module in (kernels.infinite, kernels.empirical):
        block = module._block
        monkeypatch.setattr(module, "_block", lambda *args, block=block: (done.append(args), block(*args))[1])
    return done


CALLS = {
    "infinite": lambda x, **kwargs: infinite_ntk(NET, x, **kwargs),
    "across": lambda x, **kwargs: infinite_ntk(NET, x, x[2:], **kwargs),
    "empirical": lambda x, **kwargs: empirical_ntk(NET, params(), x, **kwargs),
}


@pytest.mark.parametrize("kind", CALLS)
def test_finished_tiles_are_taken_from_the_store(kind, tmp_path, monkeypatch):
    call, x, path = CALLS[kind], inputs(), tmp_path / "k.zarr"
    whole = call(x, tile=4)
    kept = call(x, tile=4, out=path)
    np.testing.assert_array_equal(kept, whole)
    np.testing.assert_array_equal(zarr.open_group(path, mode="r")["theta"][...], whole)
    np.testing.assert_array_equal(load(path).value, whole)
    (path / "theta" / "0.2").unlink()
    (path / "theta" / "1.1").unlink()
    done, told = counted(monkeypatch), []
    again = call(x, tile=4, out=path, progress=lambda *args: told.append(args))
    np.testing.assert_array_equal(again, whole)
    assert len(done) == 2 + (kind != "empirical")  # and the probe of an infinite kernel
    assert told[-1][1] == told[-1][2] == len(told)


def test_a_store_says_what_made_it(tmp_path):
    infinite_ntk(NET, inputs(), out=tmp_path / "k.zarr")
    made = load(tmp_path / "k.zarr").made
    assert made["network"] == repr(NET)
    assert made["kind"] == "infinite NTK"
    assert made["dtype"] == "float64"
    assert made["jax_version"] == jax.__version__
    assert len(made["inputs"]) == 64


def test_a_store_of_another_call_is_refused(tmp_path):
    x, path = inputs(), tmp_path / "k.zarr"
    infinite_ntk(NET, x, out=path, tile=4)
    before = {file: file.stat().st_mtime_ns for file in path.rglob("*")}
    others = {
        "network": lambda: infinite_ntk(FullyConnected(4), x, out=path, tile=4),
        "inputs": lambda: infinite_ntk(NET, x + 1e-9 * (x == x[-1, -1]), out=path, tile=4),
        "tile": lambda: infinite_ntk(NET, x, out=path, tile=3),
        "shape": lambda: infinite_ntk(NET, x, x[:3], out=path, tile=4),
        "dtype": lambda: infinite_ntk(NET, x.astype(np.float32), out=path, tile=4),
        "kind": lambda: empirical_ntk(NET, params(), x, out=path, tile=4),
    }
    for key, other in others.items():
        with pytest.raises(ValueError, match="out must be a new store or one that this call began") as error:
            other()
        assert key in str(error.value) or key in ("dtype", "shape")
        assert "\n" not in str(error.value)
    assert {file: file.stat().st_mtime_ns for file in path.rglob("*")} == before
    (tmp_path / "notes").mkdir()
    with pytest.raises(ValueError, match="out must be a new store"):
        infinite_ntk(NET, x, out=tmp_path / "notes")
    with pytest.raises(ValueError, match="out must be None inside jit"):
        jax.jit(lambda x: infinite_ntk(NET, x, out=tmp_path / "jit.zarr"))(x)


def test_functions_are_named_and_probed(tmp_path):
    def first(p, x):
        return jnp.tanh(x @ p)

    def second(p, x):
        return jnp.sin(x @ p)

    second.__qualname__, p = first.__qualname__, jnp.ones(3)
    empirical_ntk(first, p, inputs(), out=tmp_path / "k.zarr")
    empirical_ntk(first, p, inputs(), out=tmp_path / "k.zarr")
    with pytest.raises(ValueError, match="the probe"):
        empirical_ntk(second, p, inputs(), out=tmp_path / "k.zarr")
    with pytest.raises(ValueError, match="the inputs"):
        empirical_ntk(first, 2 * p, inputs(), out=tmp_path / "k.zarr")


KILLED = """
import sys, time, jax, numpy as np
jax.config.update("jax_enable_x64", True)
from gsdyn.kernels import infinite_ntk
from gsdyn.networks import FullyConnected
x = np.random.default_rng(0).standard_normal((11, 3))
def slowly(stage, done, total):
    print(done, flush=True)
    if done == 3:
        time.sleep(60)
infinite_ntk(FullyConnected(3, 8, b_std=0.1), x, tile=4, out=sys.argv[1], progress=slowly)
"""


def test_a_killed_run_goes_on_where_it_was(tmp_path, monkeypatch):
    path = tmp_path / "k.zarr"
    process = subprocess.Popen([sys.executable, "-c", KILLED, path], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    while process.stdout.readline().strip() != "3":
        assert process.poll() is None
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdout.close()
    (path / "theta" / f".9.9.{os.getpid()}.partial").write_bytes(b"half")
    with pytest.raises(ValueError, match=r"must be a finished kernel, got .* tiles missing"):
        load(path)
    finished = {tile: tile.stat().st_mtime_ns for tile in (path / "theta").glob("[0-9]*")}
    assert 3 <= len(finished) < 9
    done = counted(monkeypatch)
    theta = infinite_ntk(NET, inputs(), tile=4, out=path)
    assert len(done) == 1 + 3
    assert {tile: tile.stat().st_mtime_ns for tile in finished} == finished
    monkeypatch.undo()
    np.testing.assert_array_equal(theta, infinite_ntk(NET, inputs(), tile=4))
    np.testing.assert_array_equal(load(path).value, theta)


DEVICES = """
import sys, jax, numpy as np
jax.config.update("jax_num_cpu_devices", 2)
jax.config.update("jax_enable_x64", True)
from gsdyn import kernels
from gsdyn.networks import FullyConnected
x = np.random.default_rng(0).standard_normal((11, 3))
net, used = FullyConnected(3, 8, b_std=0.1), set()
for module in (kernels.infinite, kernels.empirical):
    def block(*args, block=module._block):
        tile, good = block(*args)
        used.add((block.__module__, *tile.devices()))
        return tile, good
    module._block = block
infinite = kernels.infinite_ntk(net, x, tile=4)
empirical = kernels.empirical_ntk(net, net.init(jax.random.key(0), 3), x, tile=4)
assert len(jax.local_devices()) == 2 and len(used) == 4, used
assert infinite.devices() == empirical.devices() == {jax.local_devices()[0]}
np.save(sys.argv[1], np.stack([infinite, empirical]))
"""


@pytest.mark.slow
def test_tiles_are_spread_over_devices(tmp_path):
    path = tmp_path / "k.npy"
    done = subprocess.run([sys.executable, "-W", "error", "-c", DEVICES, path], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    infinite, empirical = np.load(path)
    np.testing.assert_allclose(infinite, infinite_ntk(NET, inputs()), rtol=1e-14)
    np.testing.assert_allclose(empirical, empirical_ntk(NET, params(), inputs()), rtol=1e-12, atol=1e-14)


def test_save_and_load(tmp_path):
    theta = infinite_ntk(NET, inputs())
    basis = FeatureBasis.from_kernel(theta)
    save(tmp_path / "theta.zarr", theta, {"network": repr(NET)})
    save(tmp_path / "deep" / "basis.zarr", basis)
    save(tmp_path / "phi.zarr", np.ones((2, 3, 4), np.float32))
    back = load(tmp_path / "theta.zarr")
    np.testing.assert_array_equal(back.value, theta)
    assert back.made["network"] == repr(NET)
    assert back.made["gsdyn_version"]
    again = load(tmp_path / "deep" / "basis.zarr").value
    assert isinstance(again, FeatureBasis)
    np.testing.assert_array_equal(again.U, basis.U)
    np.testing.assert_array_equal(again.s, basis.s)
    assert load(tmp_path / "phi.zarr").value.dtype == jnp.float32
    assert sorted(p.name for p in tmp_path.iterdir()) == ["deep", "phi.zarr", "theta.zarr"]


def test_saving_and_loading_refuse_what_is_wrong(tmp_path):
    with pytest.raises(ValueError, match="value must be finite"):
        save(tmp_path / "k.zarr", [[np.nan]])
    with pytest.raises(ValueError, match="made must hold what JSON can"):
        save(tmp_path / "k.zarr", [[1.0]], {"network": NET})
    assert not list(tmp_path.iterdir())
    save(tmp_path / "k.zarr", [[1.0]])
    with pytest.raises(FileExistsError, match="path must not exist"):
        save(tmp_path / "k.zarr", [[1.0]])
    with jax.enable_x64(False), pytest.raises(ValueError, match="64 bits on"):
        load(tmp_path / "k.zarr")
    with pytest.raises(ValueError, match="path must be a store of a kernel or features"):
        load(tmp_path / "nothing.zarr")
    zarr.open_group(tmp_path / "empty.zarr", mode="w")
    with pytest.raises(ValueError, match="path must be a store of a kernel or features"):
        load(tmp_path / "empty.zarr")


def test_overflowing_kernels_are_an_error():
    with pytest.raises(ValueError, match="infinite NTK must be finite"):
        infinite_ntk(NET, np.full((3, 2), 1e25, np.float32))
    with pytest.raises(ValueError, match="empirical NTK must be finite"):
        empirical_ntk(lambda p, x: jnp.exp(x @ p), jnp.full(2, 400.0), np.ones((3, 2)))


def test_too_little_memory_is_said_before_the_work_starts(monkeypatch):
    monkeypatch.setattr(kernels.infinite, "_block", None)
    with pytest.raises(kernels.NotEnoughMemory, match=r"an infinite NTK of 5000000 x 5000000 .* needs 1.*e\+05 GiB"):
        infinite_ntk(NET, np.zeros((5_000_000, 3)))


PEAK = """
import sys, jax, numpy as np
from pathlib import Path
from gsdyn.kernels import infinite_ntk
from gsdyn.networks import FullyConnected
def high_water():
    rows = Path("/proc/self/status").read_text().splitlines()
    return next(int(row.split()[1]) * 1024 for row in rows if row.startswith("VmHWM:"))
n = int(sys.argv[1])
x, told = np.random.default_rng(0).standard_normal((n, 16)).astype(np.float32), []
infinite_ntk(FullyConnected(3), x[:1000], tile=500).block_until_ready()
before = high_water()
infinite_ntk(FullyConnected(3), x, tile=500, progress=lambda *args: told.append(args)).block_until_ready()
assert told[-1][1] == told[-1][2] == len(told)
print((high_water() - before) / (4 * n * n))
"""


@pytest.mark.skipif(not os.path.exists("/proc/self/status"), reason="reads the peak of a process from /proc")
@pytest.mark.skipif(jax.default_backend() != "cpu", reason="the kernel lies on a device")
@pytest.mark.parametrize("n", [5000, pytest.param(20_000, marks=pytest.mark.slow)])
def test_peak_memory_is_little_more_than_the_kernel(n):
    done = subprocess.run([sys.executable, "-c", PEAK, str(n)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    assert 0.9 < float(done.stdout) < 1.6
