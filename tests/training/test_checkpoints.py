"""A run that was stopped ends at the very bits of one that was not; another run is refused."""

import os
import signal
import subprocess
import sys
import textwrap
import time

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from gsdyn.training import BinaryObjective, Checkpoint, Drawn, GroupDRO, Keyed, Watch, stacked, train

X = jnp.asarray([[1.0, 0.5], [0.2, -1.0], [-0.7, 0.3], [0.4, 0.9], [-1.1, -0.2]])
Y = jnp.asarray([1.0, -1.0, -1.0, 1.0, -1.0])
START = jnp.asarray([0.1, -0.2])
STEPS = [0, 3, 50, 120]


def linear(w, x):
    return x @ w


OBJECTIVE = BinaryObjective(linear)
OPTIMIZER = optax.adam(0.02)
WATCH = Watch(jnp.zeros(()), lambda most, w, batch: jnp.maximum(most, w[0]))


def run(checkpoint=None, *, rate=OPTIMIZER, steps=STEPS, x=X, key=0, **options):
    return train(
        START, OBJECTIVE, (x, Y), rate, steps, watch=WATCH, batches=Drawn(2), key=jax.random.key(key),
        checkpoint=checkpoint, **options,
    )  # fmt: skip


def same(a, b):
    jax.tree.map(np.testing.assert_array_equal, (a.params, a.observed, a.watched), (b.params, b.observed, b.watched))


class Stop(Exception):
    pass


def test_pieces_are_the_whole_run_and_progress_is_told(tmp_path):
    told = []
    pieces = run(Checkpoint(tmp_path / "run.npz", 7), progress=lambda *step: told.append(step))
    same(pieces, run())
    assert told[0] == ("training", 7, 120)
    assert told[-1] == ("training", 120, 120)
    assert [path.name for path in tmp_path.iterdir()] == ["run.npz"]


@pytest.mark.parametrize("stop_at", [7, 49, 56, 119])
def test_a_stopped_run_goes_on_to_the_same_bits(tmp_path, stop_at):
    def stop(stage, done, total):
        if done >= stop_at:
            raise Stop

    path = tmp_path / "deep" / "run.npz"
    with pytest.raises(Stop):
        run(Checkpoint(path, 7), progress=stop)
    told = []
    resumed = run(Checkpoint(path, 7), progress=lambda stage, done, total: told.append(done))
    assert told[0] > stop_at
    same(resumed, run(Checkpoint(tmp_path / "whole.npz", 7)))
    told.clear()
    same(run(Checkpoint(path, 7), progress=lambda stage, done, total: told.append(done)), resumed)
    assert not told  # read back, not trained again


@pytest.mark.parametrize(
    "change",
    [{"rate": optax.adam(0.03)}, {"x": X.at[0, 0].add(1e-12)}, {"key": 1}],
    ids=["rate", "data", "key"],
)
def test_another_run_is_refused(tmp_path, change):
    path = tmp_path / "run.npz"
    run(Checkpoint(path, 50))
    before = path.read_bytes()
    with pytest.raises(ValueError, match="belongs to a run with other settings"):
        run(Checkpoint(path, 50), **change)
    assert path.read_bytes() == before


@pytest.mark.parametrize("first", [[0, 3, 50], [50], [0, 3, 10]], ids=["all", "the last", "between two pieces"])
def test_a_longer_run_goes_on_from_a_shorter_one_to_the_same_bits(tmp_path, first):
    """Kept to a step, asked for more: what was recorded on the way is still there, what comes is as in one run."""
    path = tmp_path / "run.npz"
    run(Checkpoint(path, 7), steps=first)
    told = []
    later = [*first, 51, 120]
    found = run(Checkpoint(path, 7), steps=later, progress=lambda stage, done, total: told.append(done))
    assert told[0] > first[-1]
    same(found, run(Checkpoint(tmp_path / "whole.npz", 7), steps=later))
    same(found, run(steps=later))
    told.clear()
    again = run(Checkpoint(path, 7), steps=[first[-1], 120], progress=lambda stage, done, total: told.append(done))
    assert not told  # both are known: read back
    np.testing.assert_array_equal(again.observed, found.observed[jnp.asarray([len(first) - 1, -1])])


@pytest.mark.parametrize("steps", [[0, 3, 40], [0, 4, 60], [2, 50]], ids=["shorter", "never recorded", "passed by"])
def test_what_was_passed_by_is_refused(tmp_path, steps):
    path = tmp_path / "run.npz"
    run(Checkpoint(path, 50), steps=[0, 3, 50])
    before = path.read_bytes()
    with pytest.raises(
        ValueError, match=r"steps must go on from the run kept in .*at step 50 and recorded \[0, 3, 50\]"
    ):
        run(Checkpoint(path, 50), steps=steps)
    assert path.read_bytes() == before


def test_a_schedule_that_knows_the_length_is_another_run(tmp_path):
    path = tmp_path / "run.npz"
    run(Checkpoint(path, 50), rate=optax.sgd(optax.cosine_decay_schedule(0.1, 50)), steps=[50])
    with pytest.raises(ValueError, match="belongs to a run with other settings"):
        run(Checkpoint(path, 50), rate=optax.sgd(optax.cosine_decay_schedule(0.1, 100)), steps=[100])


def test_a_method_keeps_its_memory(tmp_path):
    """Group DRO stopped, continued, and many at once."""
    method = GroupDRO(OBJECTIVE, 2, rate=0.5)
    group = jnp.asarray([0, 1, 0, 1, 1])
    path = tmp_path / "run.npz"
    train(START, method, (X, Y, group), OPTIMIZER, [20], checkpoint=Checkpoint(path, 7))
    found = train(START, method, (X, Y, group), OPTIMIZER, [20, 45], checkpoint=Checkpoint(path, 7))
    np.testing.assert_array_equal(found.params, train(START, method, (X, Y, group), OPTIMIZER, [45]).params)


def test_a_file_that_is_none_is_refused(tmp_path):
    path = tmp_path / "run.npz"
    path.write_bytes(b"PK\x03\x04 not a checkpoint")
    with pytest.raises(ValueError, match="checkpoint must be a file written by train"):
        run(Checkpoint(path))
    with pytest.raises(ValueError, match="every must be at least 1, got 0"):
        Checkpoint(path, 0)


def test_checkpoints_need_the_host(tmp_path):
    checkpoint = Checkpoint(tmp_path / "run.npz")
    with pytest.raises(ValueError, match="checkpoint and progress must be None inside jit"):
        jax.jit(lambda w: train(w, OBJECTIVE, (X, Y), OPTIMIZER, [1], checkpoint=checkpoint).params)(START)


@pytest.mark.slow
def test_many_networks_at_once_are_each_alone(tmp_path):
    starts = [START, 2 * START, -START]
    data = [(X, Y), (X + 0.1, Y), (X, -Y)]
    keys = [jax.random.key(seed) for seed in range(3)]
    options = {"optimizer": OPTIMIZER, "steps": [5, 40], "batches": Keyed(Drawn(2))}

    def noisy(w, x, y, key):
        return OBJECTIVE(w, x + 0.1 * jax.random.normal(key, x.shape), y)

    alone = [train(w, noisy, d, key=k, **options) for w, d, k in zip(starts, data, keys, strict=True)]
    many = train(stacked(starts), noisy, stacked(data), key=jnp.stack(keys), many=True, **options)
    kept = train(stacked(starts), noisy, stacked(data), key=jnp.stack(keys), many=True,
                 checkpoint=Checkpoint(tmp_path / "many.npz", 9), **options)  # fmt: skip
    assert many.observed.shape == (3, 2, 2)
    np.testing.assert_allclose(many.observed, [run.observed for run in alone], rtol=1e-12)
    np.testing.assert_array_equal(kept.observed, many.observed)
    np.testing.assert_array_equal(kept.params, many.params)
    # the key reaches the objective: other keys, other networks
    other = train(START, noisy, data[0], key=keys[1], **options)
    assert (other.params != alone[0].params).any()


SCRIPT = """
    import sys, time
    import jax, jax.numpy as jnp, optax
    jax.config.update("jax_enable_x64", True)
    from gsdyn.training import BinaryObjective, Checkpoint, train

    def linear(w, x):
        return x @ w

    def slow(stage, done, total):
        time.sleep(float(sys.argv[2]))

    x, y = jnp.eye(3), jnp.asarray([1.0, -1.0, 1.0])
    run = train(jnp.zeros(3), BinaryObjective(linear), (x, y), optax.sgd(0.1, momentum=0.9), [100, 2000],
                checkpoint=Checkpoint(sys.argv[1], 10), progress=slow)
    print(jax.numpy.asarray(run.observed).tobytes().hex())
"""


def test_a_killed_process_loses_nothing(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(textwrap.dedent(SCRIPT))

    def start(name, pause):
        return subprocess.Popen(
            [sys.executable, script, tmp_path / name, str(pause)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    victim = start("killed.npz", 0.05)
    deadline = time.monotonic() + 60
    while not (tmp_path / "killed.npz").exists():
        assert victim.poll() is None, victim.communicate()[1]
        assert time.monotonic() < deadline
        time.sleep(0.02)
    os.kill(victim.pid, signal.SIGKILL)
    victim.communicate()
    first, second = start("killed.npz", 0), start("whole.npz", 0)
    outputs = [process.communicate(timeout=100) for process in (first, second)]
    assert first.returncode == second.returncode == 0, outputs
    assert outputs[0][0] == outputs[1][0]
