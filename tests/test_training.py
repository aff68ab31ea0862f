"""Training: steps that are optax's, batches that are what they say, records at the steps asked for."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import gsdyn as gs
from gsdyn.training import BinaryObjective, Drawn, FullBatch, Shuffled, SoftmaxObjective, Watch, train

X = jnp.asarray([[1.0, 0.5], [0.2, -1.0], [-0.7, 0.3], [0.4, 0.9], [-1.1, -0.2]])
Y = jnp.asarray([1.0, -1.0, -1.0, 1.0, -1.0])


def linear(params, x):
    return x @ params["w"] + params["b"]


def start():
    return {"w": jnp.asarray([0.1, -0.2]), "b": jnp.asarray(0.05)}


def logistic_gradient(w, b, x, y):
    """By hand, in NumPy: d/d(w, b) of the mean of log(1 + e^(-y f))."""
    pull = -y / (1 + np.exp(y * (x @ w + b))) / len(y)
    return pull @ x, pull.sum()


def descend(rate, steps, batch=lambda k: slice(None)):
    w, b = np.array([0.1, -0.2]), 0.05
    path = [(w, b)]
    for k in range(steps):
        rows = batch(k)
        dw, db = logistic_gradient(w, b, np.asarray(X)[rows], np.asarray(Y)[rows])
        w, b = w - rate * dw, b - rate * db
        path.append((w, b))
    return path


def test_full_batch_is_gradient_descent_on_the_mean():
    run = train(start(), BinaryObjective(linear), (X, Y), optax.sgd(0.3), [0, 1, 5, 40])
    path = descend(0.3, 40)
    for row, step in enumerate([0, 1, 5, 40]):
        np.testing.assert_allclose(run.observed["w"][row], path[step][0], rtol=1e-13)
        np.testing.assert_allclose(run.observed["b"][row], path[step][1], rtol=1e-13)
    np.testing.assert_array_equal(run.params["w"], run.observed["w"][-1])
    np.testing.assert_array_equal(run.steps, [0, 1, 5, 40])
    assert run.watched is None


def test_the_sum_learns_as_many_times_faster():
    mean = train(start(), BinaryObjective(linear), (X, Y), optax.sgd(0.5), [7])
    total = train(start(), BinaryObjective(linear, mean=False), (X, Y), optax.sgd(0.1), [7])
    np.testing.assert_allclose(total.params["w"], mean.params["w"], rtol=1e-13)


def test_softmax_of_two_outputs_is_the_sigmoid_of_their_difference():
    def two(params, x):
        f = linear(params, x)
        return jnp.stack([f, jnp.zeros_like(f)], axis=1)

    labels = jnp.where(Y > 0, 0, 1)
    binary = train(start(), BinaryObjective(linear), (X, Y), optax.sgd(0.3), [9])
    soft = train(start(), SoftmaxObjective(two), (X, labels), optax.sgd(0.3), [9])
    np.testing.assert_allclose(soft.params["w"], binary.params["w"], rtol=1e-13)


def rows_drawn(batches, steps, key=0):
    """The examples that every step saw, found by watching their numbers."""
    data = (X, Y, jnp.arange(5))
    watch = Watch(jnp.zeros(batches.size, int), lambda _, params, batch: batch[2])
    run = train(
        start(), Numbered(BinaryObjective(linear)), data, optax.sgd(0.1), np.arange(1, steps + 1),
        watch=watch, batches=batches, key=jax.random.key(key),
    )  # fmt: skip
    return np.asarray(run.watched), run


class Numbered:
    def __init__(self, objective):
        self.objective = objective

    def __call__(self, params, x, y, number):
        return self.objective(params, x, y)


@pytest.mark.parametrize(("size", "epoch"), [(1, 5), (2, 2), (5, 1)])
def test_shuffled_epochs_see_every_example_at_most_once(size, epoch):
    rows, run = rows_drawn(Shuffled(size), 6 * epoch)
    orders = rows.reshape(6, epoch * size)
    assert all(len(set(order)) == epoch * size for order in orders)
    assert len({tuple(order) for order in orders}) > 1
    path = descend(0.1, 6 * epoch, batch=lambda k: rows[k])
    np.testing.assert_allclose(run.params["w"], path[-1][0], rtol=1e-13)


def test_drawn_batches_are_uniform_and_follow_their_key():
    rows, run = rows_drawn(Drawn(2), 2000)
    shares = np.bincount(rows.ravel(), minlength=5) / rows.size
    np.testing.assert_allclose(shares, 0.2, atol=5 * np.sqrt(0.16 / rows.size))
    np.testing.assert_array_equal(rows, rows_drawn(Drawn(2), 2000)[0])
    assert (rows != rows_drawn(Drawn(2), 2000, key=1)[0]).any()
    path = descend(0.1, 2000, batch=lambda k: rows[k])
    np.testing.assert_allclose(run.params["w"], path[-1][0], rtol=1e-11)


def test_a_watch_sees_every_step_between_records():
    watch = Watch(jnp.asarray(0.0), lambda top, params, batch: jnp.maximum(top, params["w"][0]))
    # it swings about the optimum, so that the top lies between the records
    optimizer, objective = optax.sgd(0.3, momentum=0.95), BinaryObjective(linear, gs.SquaredError())
    every = train(start(), objective, (X, Y), optimizer, np.arange(41))
    few = train(start(), objective, (X, Y), optimizer, [0, 20, 40], watch=watch)
    tops = np.maximum.accumulate(np.asarray(every.observed["w"])[1:, 0])
    np.testing.assert_allclose(few.watched[1:], tops[[19, 39]], rtol=1e-12)
    assert few.watched[2] > every.observed["w"][40, 0]


def test_adam_is_optax_adam():
    optimizer = optax.adam(0.02)
    objective = BinaryObjective(linear)
    params, state = start(), optimizer.init(start())
    with jax.numpy_dtype_promotion("standard"):
        for _ in range(12):
            updates, state = optimizer.update(jax.grad(objective)(params, X, Y), state, params)
            params = optax.apply_updates(params, updates)
    run = train(start(), objective, (X, Y), optimizer, [12])
    np.testing.assert_allclose(run.params["w"], params["w"], rtol=1e-12)


def test_learning_rates_and_steps_may_be_traced():
    objective, traced = BinaryObjective(linear), []

    @jax.jit
    def weights(rate, steps):
        traced.append(rate)
        return train(start(), objective, (X, Y), optax.sgd(rate), steps).observed["w"]

    for rate, steps in ((0.1, [2, 8]), (0.2, [1, 4])):
        found = weights(rate, jnp.asarray(steps))
        path = descend(rate, steps[-1])
        np.testing.assert_allclose(found, [path[k][0] for k in steps], rtol=1e-13)
    assert len(traced) == 1
    both = jax.vmap(lambda rate: weights(rate, jnp.asarray([4])))(jnp.asarray([0.1, 0.2]))
    np.testing.assert_allclose(both[:, 0], [descend(rate, 4)[-1][0] for rate in (0.1, 0.2)], rtol=1e-13)


def test_float32_stays_float32():
    params = jax.tree.map(lambda leaf: leaf.astype(jnp.float32), start())
    data = (X.astype(jnp.float32), Y.astype(jnp.float32))
    run = train(params, BinaryObjective(linear, gs.Hinge()), data, optax.adam(0.1), [3])
    assert run.params["w"].dtype == jnp.float32


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"steps": [3, 2]}, "steps must be >= 0 and ascending"),
        ({"steps": [-1, 2]}, "steps must be >= 0 and ascending"),
        ({"steps": [0.5]}, "steps must be a vector of integers"),
        ({"steps": 3}, "steps must be a vector of integers"),
        ({"data": (X, Y[:3])}, "data must have as many rows as its first array"),
        ({"data": ()}, "data must be a tuple of arrays with at least one row"),
        ({"data": (X[:0], Y[:0])}, "data must be a tuple of arrays with at least one row"),
        ({"batches": Shuffled()}, "key must be a random key"),
        ({"batches": Drawn()}, "key must be a random key"),
        ({"batches": Shuffled(6), "key": jax.random.key(0)}, "size must be at most the 5 examples"),
    ],
)
def test_train_refuses(change, message):
    given = {"data": (X, Y), "steps": [1], "batches": FullBatch(), **change}
    data, steps = given.pop("data"), given.pop("steps")
    with pytest.raises(ValueError, match=message):
        train(start(), BinaryObjective(linear), data, optax.sgd(0.1), steps, **given)


@pytest.mark.parametrize("size", [0, -1, 1.5, True])
def test_batch_sizes_are_counts(size):
    for kind in (Shuffled, Drawn):
        with pytest.raises(ValueError, match="size must be an integer of at least 1"):
            kind(size)
