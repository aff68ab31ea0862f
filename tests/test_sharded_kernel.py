"""One kernel over several devices and over two real processes."""

import socket
import subprocess
import sys

import jax
import numpy as np
import pytest

import gsdyn as gs
from gsdyn.kernels.distributed import sharded_ntk

NET = gs.networks.FullyConnected(depth=3, b_std=0.1)
X = np.random.default_rng(0).normal(size=(24, 7))

PROCESS = """
import sys, jax, numpy as np
jax.config.update("jax_enable_x64", True)
jax.config.update("jax_platforms", "cpu")
jax.config.update("jax_num_cpu_devices", 2)
jax.distributed.initialize(f"localhost:{sys.argv[1]}", 2, int(sys.argv[2]))
import gsdyn as gs, jax.numpy as jnp
from gsdyn.kernels.distributed import sharded_ntk
x = np.random.default_rng(0).normal(size=(24, 7))
net = gs.networks.FullyConnected(depth=3, b_std=0.1)
assert (len(jax.devices()), len(jax.local_devices())) == (4, 2)
theta, whole = sharded_ntk(net, x, tile=5), np.load(sys.argv[3])
assert theta.shape == (24, 24) and not theta.is_fully_addressable
for shard in theta.addressable_shards:
    assert shard.data.shape == (6, 24)
    np.testing.assert_allclose(shard.data, whole[shard.index], rtol=1e-14)
spread = jax.sharding.NamedSharding(theta.sharding.mesh, jax.sharding.PartitionSpec())
v = np.linspace(-1, 1, 24)
product = jax.jit(lambda t, v: t @ (t @ v), out_shardings=spread)(theta, v)  # needs the other process's rows
np.testing.assert_allclose(product, whole @ (whole @ v), rtol=1e-12)
print("right")
"""


def test_two_processes_compute_one_kernel(tmp_path):
    np.save(tmp_path / "whole.npy", gs.kernels.infinite_ntk(NET, X))
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-c", PROCESS, str(port)]
    runs = [
        subprocess.Popen([*command, str(i), tmp_path / "whole.npy"], stdout=-1, stderr=-1, text=True) for i in range(2)
    ]
    try:
        told = [run.communicate(timeout=120) for run in runs]
    finally:
        for run in runs:
            run.kill()
    assert [run.returncode for run in runs] == [0, 0], told[0][1][-1500:] + told[1][1][-1500:]
    assert all(out.endswith("right\n") for out, _ in told)


def test_tiles_change_nothing():
    whole = gs.kernels.infinite_ntk(NET, X)
    np.testing.assert_allclose(sharded_ntk(NET, X, tile=5), whole, rtol=1e-14)
    np.testing.assert_allclose(sharded_ntk(NET, X, X[:10]), whole[:, :10], rtol=1e-13)
    single = sharded_ntk(NET, X.astype(np.float32), tile=5)
    assert single.dtype == np.float32
    np.testing.assert_allclose(single, whole, rtol=1e-5)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("net", X), "net must be"),
        ((NET, X, X[:, :3]), "equally many columns"),
        ((NET, X, X.astype(np.float32)), "one dtype"),
        ((NET, X[:0]), "rows"),
        ((NET, np.full((2, 2), np.nan)), "x1 must be finite"),
    ],
)
def test_bad_input_is_named(arguments, words):
    with pytest.raises(ValueError, match=words):
        sharded_ntk(*arguments)


def test_rows_that_cannot_be_shared_out_are_refused():
    with pytest.raises(ValueError, match="number of rows that 2 devices divide, got 23"):
        sharded_ntk(NET, X[:23], devices=jax.devices()[:1] * 2)
