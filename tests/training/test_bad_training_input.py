"""Bad input to training: one line that names the argument, before anything is compiled."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import gsdyn as gs
from gsdyn.training import (
    BinaryObjective,
    Checkpoint,
    Drawn,
    FullBatch,
    Keyed,
    Penalised,
    Responses,
    Scaled,
    Shuffled,
    Watch,
    gradient_flow,
    stacked,
    train,
)

X = np.array([[1.0, 0.5], [0.2, -1.0], [-0.7, 0.3]])
Y = np.array([1.0, -1.0, -1.0])
W = np.array([0.1, -0.2])


def linear(w, x):
    return x @ w


PLAIN = BinaryObjective(linear)
STEPS = "steps must be a vector of integers"
ROWS = "data must be a tuple of arrays with at least one row each"
TRAIN = {
    "objective None": ({"objective": None}, "objective must be a function, got a value of type NoneType"),
    "objective by name": ({"objective": "loss"}, "objective must be a function"),
    "optimizer by name": ({"optimizer": "sgd"}, "optimizer must be an optax optimiser, got a value of type str"),
    "optimizer a rate": ({"optimizer": 0.1}, "optimizer must be an optax optimiser"),
    "optimizer not called": ({"optimizer": optax.sgd}, "optimizer must be an optax optimiser, got a value of type"),
    "steps None": ({"steps": None}, STEPS),
    "steps text": ({"steps": "many"}, STEPS),
    "steps a number": ({"steps": 3}, STEPS),
    "steps empty": ({"steps": []}, STEPS),
    "steps with a point": ({"steps": [0.5]}, STEPS),
    "steps true": ({"steps": [True]}, STEPS),
    "steps ragged": ({"steps": [[1], [1, 2]]}, STEPS),
    "steps fall": ({"steps": [3, 2]}, "steps must be >= 0 and ascending, got [3, 2]"),
    "small steps fall": ({"steps": np.array([3, 2], np.uint8)}, "steps must be >= 0 and ascending, got [3, 2]"),
    "steps below 0": ({"steps": [-1]}, "steps must be >= 0 and ascending, got [-1]"),
    "steps beyond all": ({"steps": np.array([2**63], np.uint64)}, "steps must be at most 9223372036854775807"),
    "data an array": ({"data": X}, f"{ROWS}, such as (x, y), got a value of type ndarray"),
    "data None": ({"data": None}, f"{ROWS}, such as (x, y)"),
    "data text": ({"data": ("x", "y")}, ROWS),
    "data empty": ({"data": ()}, ROWS),
    "no rows": ({"data": (X[:0], Y[:0])}, ROWS),
    "a scalar in data": ({"data": (X, 1.0)}, ROWS),
    "unequal lengths": ({"data": (X, Y[:2])}, "data must have as many rows as its first array (3, 2), got an array of"),
    "inputs NaN": ({"data": (X * np.nan, Y)}, "x must be finite"),
    "three arrays": ({"data": (X, Y, Y)}, "data must be the arrays (x, y), got 3 of them"),
    "observe None": ({"observe": None}, "observe must be a function"),
    "watch a function": ({"watch": linear}, "watch must be a Watch"),
    "batches a number": ({"batches": 32}, "batches must be a Batches, got a value of type int"),
    "batches not made": ({"batches": FullBatch}, "batches must be a Batches, got the class FullBatch"),
    "checkpoint a path": ({"checkpoint": "run.npz"}, "checkpoint must be a Checkpoint, got a value of type str"),
    "progress true": ({"progress": True}, "progress must be a function"),
    "no key": ({"batches": Shuffled(2)}, "key must be a random key for batches that are drawn, such as"),
    "a key that is a seed": ({"batches": Drawn(2), "key": 0}, "key must be a random key, such as jax.random.key"),
    "noise without a key": ({"batches": Keyed()}, "key must be a random key for batches that are drawn"),
    "noise for none": ({"batches": Keyed(), "key": jax.random.key(0)}, "data must be the arrays (x, y), got 3 of them"),
    "a batch of more than all": ({"batches": Shuffled(4), "key": jax.random.key(0)}, "size must be at most the 3 ex"),
}  # fmt: skip


def refused(call, message):
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - the text is compared below, literally
        call()
    assert str(caught.value).startswith(message)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", TRAIN)
def test_train(name):
    change, message = TRAIN[name]
    given = {"params": jnp.asarray(W), "objective": PLAIN, "data": (X, Y), "optimizer": optax.sgd(0.1), "steps": [1]}
    given |= change
    refused(lambda: train(**given), message)


PAIR = (np.stack([X, X]), np.stack([Y, Y]))
MANY = {
    "one start": ({"params": jnp.asarray(W[:1])}, "params must hold arrays with a leading axis over the 2 networks"),
    "one factor": (
        {"objective": Scaled(PLAIN, 2.0)},
        "objective must hold arrays with a leading axis over the 2 netwo",
    ),
    "one key": ({"key": jax.random.key(0), "batches": Drawn()}, "key must hold arrays with a leading axis over the 2"),
    "rows of one": ({"data": (PAIR[0], Y)}, "data must be a tuple of arrays with at least one row each"),
    "labels of one": ({"data": (PAIR[0], PAIR[1][:, :2])}, "data must have as many rows as its first array (2, 3, 2)"),
    "labels 0 and 1": ({"data": (PAIR[0], (PAIR[1] + 1) / 2)}, "y must be a vector of -1 and +1, got 0.0: convert 0 a"),
    "a number of networks": ({"many": 2}, "many must be True or False, got 2"),
}


@pytest.mark.parametrize("name", MANY)
def test_train_many(name):
    change, message = MANY[name]
    given = {"params": jnp.asarray([W, W]), "objective": PLAIN, "data": PAIR, "optimizer": optax.sgd(0.1)}
    refused(lambda: train(**{**given, "steps": [1], "many": True, **change}), message)


FLOW = {
    "objective None": ({"objective": None}, "objective must be a function"),
    "observe by name": ({"observe": "z"}, "observe must be a function"),
    "ts None": ({"ts": None}, "ts must be finite and >= 0, got None"),
    "ts text": ({"ts": "long"}, "ts must be finite and >= 0, got 'long'"),
    "ts a number": ({"ts": 1.0}, "ts must have 1 dimensions"),
    "ts empty": ({"ts": []}, "ts must be a vector of increasing times"),
    "ts fall": ({"ts": [1.0, 0.5]}, "ts must be a vector of increasing times"),
    "ts below 0": ({"ts": [-1.0]}, "ts must be finite and >= 0, got -1.0"),
    "ts infinite": ({"ts": [np.inf]}, "ts must be finite and >= 0, got inf"),
    "tolerance None": ({"tolerance": None}, "tolerance must be in (0, 1), got None"),
    "tolerance text": ({"tolerance": "small"}, "tolerance must be in (0, 1), got 'small'"),
    "tolerance 0": ({"tolerance": 0.0}, "tolerance must be in (0, 1), got 0.0"),
    "tolerance 1": ({"tolerance": 1}, "tolerance must be in (0, 1), got 1.0"),
    "tolerance NaN": ({"tolerance": np.nan}, "tolerance must be in (0, 1), got nan"),
    "two tolerances": ({"tolerance": [0.1, 0.1]}, "tolerance must have 0 dimensions"),
    "max_steps None": ({"max_steps": None}, "max_steps must be an integer at least 1, got None"),
    "max_steps text": ({"max_steps": "all"}, "max_steps must be an integer at least 1, got 'all'"),
    "max_steps 0": ({"max_steps": 0}, "max_steps must be at least 1, got 0"),
    "data an array": ({"data": X}, f"{ROWS}, such as (x, y)"),
    "another method": ({"method": "euler"}, "method must be one of tsit5, chebyshev, got 'euler'"),
    "no method": ({"method": None}, "method must be one of tsit5, chebyshev, got None"),
}


@pytest.mark.parametrize("name", FLOW)
def test_gradient_flow(name):
    change, message = FLOW[name]
    given = {"params": jnp.asarray(W), "objective": PLAIN, "data": (X, Y), "ts": [1.0], **change}
    refused(lambda: gradient_flow(**given), message)


PARTS = {
    "Penalised of a function": (lambda: Penalised(linear, gs.WeightDecay(1.0)), "objective must be a NetworkLoss"),
    "Penalised by a number": (lambda: Penalised(PLAIN, 0.1), "penalty must be a Penalty, got a value of type float"),
    "origin text": (lambda: Penalised(PLAIN, gs.WeightDecay(1.0)).columns(X, Y, "zero"), "origin must be finite"),
    "origin of classes": (
        lambda: Penalised(PLAIN, gs.WeightDecay(1.0)).columns(X, Y, np.zeros((3, 2))),
        "origin must have the shape of the outputs, got (3, 2)",
    ),
    "responses of other rows": (
        lambda: Responses(PLAIN, np.eye(2), X, Y, np.zeros(3)), "U must have as many rows as x",
    ),
    "responses of one feature": (lambda: Responses(PLAIN, np.ones(3), X, Y, np.zeros(3)), "U must have 2 dimensions"),
    "a watch without an update": (lambda: Watch(jnp.zeros(()), None), "update must be a function"),
    "noise on no batches": (lambda: Keyed(3), "inner must be a Batches"),
    "a checkpoint without a path": (lambda: Checkpoint(None), "path must be a path, got None"),
    "a checkpoint by halves": (lambda: Checkpoint("run.npz", 0.5), "every must be an integer at least 1, got 0.5"),
    "stacked nothing": (lambda: stacked([]), "runs must be a list with at least one entry, got []"),
    "stacked unlike": (lambda: stacked([W, jnp.ones(3)]), "runs must hold arrays of the same shapes"),
    "stacked None": (lambda: stacked(None), "runs must be a list with at least one entry, got None"),
}  # fmt: skip


@pytest.mark.parametrize("name", PARTS)
def test_parts(name):
    build, message = PARTS[name]
    refused(build, message)


def test_a_path_below_home_is_there(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert Checkpoint("~/run.npz").path == tmp_path / "run.npz"
