"""Networks whose outputs are a column, and labels of every form: right numbers or one line, never wrong training."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import gsdyn as gs
from gsdyn.training import (
    BinaryObjective,
    Decoupled,
    Penalised,
    Responses,
    Scaled,
    SoftmaxObjective,
    gradient_flow,
    stacked,
    train,
)

X = np.array([[1.0, 0.5], [0.2, -1.0], [-0.7, 0.3], [0.4, 0.9], [-1.1, -0.2]])
Y = np.array([1.0, -1.0, -1.0, 1.0, -1.0])
W = np.array([0.1, -0.2])


def vector(w, x):
    return x @ w


def column(w, x):
    return (x @ w)[:, None]


def wide(w, x):
    return jnp.stack([x @ w] * 3, axis=1)


def numbers(apply, y):
    """Everything a binary network is asked for, of these outputs and labels."""
    plain = BinaryObjective(apply)
    objective = Penalised(plain, gs.Mixed(0.3, 0.2), centre=jnp.asarray(W))
    origin = apply(jnp.asarray(W), X)
    data = objective.columns(X, y, origin)
    look = Responses(plain, jnp.eye(5)[:, :3], X, y, origin)
    run = train(jnp.asarray(W), objective, data, optax.sgd(0.1), [0, 3], observe=look)
    bare = train(jnp.asarray(W), plain, (X, y), optax.sgd(0.1), [3]).params
    return plain(jnp.asarray(W), X, y), objective(jnp.asarray(W), *data), run.observed, run.params, bare


def test_a_column_of_outputs_or_of_labels_is_the_vector_it_holds():
    expected = numbers(vector, Y)
    np.testing.assert_allclose(expected[0], np.mean(np.log1p(np.exp(-Y * (X @ W)))), rtol=1e-14)
    for found in (numbers(column, Y), numbers(vector, Y[:, None]), numbers(column, Y[:, None].astype(int))):
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-14, atol=1e-16), found, expected)


def test_the_flow_takes_columns():
    objective = BinaryObjective(column)
    found = gradient_flow(jnp.asarray(W), objective, (X, Y[:, None]), [0.0, 0.5], tolerance=1e-9)
    steps = train(jnp.asarray(W), BinaryObjective(vector), (X, Y), optax.sgd(1e-4), [5000])
    np.testing.assert_allclose(found.params, steps.params, rtol=1e-4)


def test_many_networks_take_columns():
    starts, labels = stacked([jnp.asarray(W), jnp.asarray(-W)]), np.stack([Y, -Y])[:, :, None]
    many = train(starts, BinaryObjective(column), (np.stack([X, X]), labels), optax.sgd(0.1), [3], many=True)
    for start, y, params in zip(starts, (Y, -Y), many.params, strict=True):
        alone = train(start, BinaryObjective(vector), (X, y), optax.sgd(0.1), [3])
        np.testing.assert_allclose(params, alone.params, rtol=1e-14)


SOFT = SoftmaxObjective(lambda w, x: jnp.stack([x @ w, 0 * x[:, 0], x[:, 1]], axis=1))
CLASSES = np.array([0, 1, 2, 2, 1])


def test_classes_are_a_vector_or_a_column():
    f = np.stack([X @ W, 0 * X[:, 0], X[:, 1]], axis=1)
    expected = np.mean(np.log(np.exp(f).sum(axis=1)) - f[np.arange(5), CLASSES])
    for y in (CLASSES, CLASSES[:, None], CLASSES.astype(np.uint8)):
        np.testing.assert_allclose(SOFT(jnp.asarray(W), X, y), expected, rtol=1e-14)


ZERO_ONE = "y must be a vector of -1 and +1, got 0.0: convert 0 and 1 by 2*y - 1"
LABELS = {
    "0 and 1": ((Y + 1) / 2, ZERO_ONE),
    "integers 0 and 1": (((Y + 1) / 2).astype(int), ZERO_ONE),
    "a column of 0 and 1": (((Y + 1) / 2)[:, None], ZERO_ONE),
    "booleans": (Y > 0, "y must be a vector of -1 and +1, got booleans: convert them by 2*y - 1"),
    "1 and 2": (Y + 2, "y must be a vector of -1 and +1, got 3.0"),
    "NaN": (Y * np.nan, "y must be a vector of -1 and +1, got nan"),
    "one row of five": (Y[None], "y must have 1 dimensions, got shape (1, 5)"),
    "text": ("labels", "y must be a vector of -1 and +1, got 'labels'"),
}


def refused(call, message):
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - the text is compared below, literally
        call()
    assert str(caught.value).startswith(message)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", LABELS)
def test_other_binary_labels_are_refused_everywhere(name):
    y, message = LABELS[name]
    plain, w = BinaryObjective(vector), jnp.asarray(W)
    penalised = Penalised(plain, gs.WeightDecay(0.1))
    refused(lambda: plain(w, X, y), message)
    refused(lambda: penalised.columns(X, y), message)
    refused(lambda: Responses(plain, np.eye(5), X, y, np.zeros(5)), message)
    if name in ("one row of five", "text"):
        return  # no data of five rows
    columns = penalised.columns(X, Y)
    for objective, data in (
        (plain, (X, y)),
        (Scaled(plain, 0.1), (X, y)),
        (Decoupled(plain, 0.1), (X, y)),
        (penalised, (columns[0], y, *columns[2:])),
    ):
        refused(lambda objective=objective, data=data: train(w, objective, data, optax.sgd(0.1), [1]), message)
        refused(lambda objective=objective, data=data: gradient_flow(w, objective, data, [1.0]), message)


BAD_CLASSES = {
    "class C": (CLASSES + 1, "y must be a vector of integers in 0..2, got 3"),
    "-1": (CLASSES - 1, "y must be a vector of integers in 0..2, got -1"),
    "numbers with a point": (CLASSES * 1.0, "y must be a vector of integers in 0..2, got shape (5,) and dtype float64"),
    "booleans": (CLASSES > 0, "y must be a vector of integers in 0..2, got shape (5,) and dtype bool"),
}


@pytest.mark.parametrize("name", BAD_CLASSES)
def test_other_classes_are_refused(name):
    y, message = BAD_CLASSES[name]
    refused(lambda: SOFT(jnp.asarray(W), X, y), message)
    refused(lambda: train(jnp.asarray(W), SOFT, (X, y), optax.sgd(0.1), [1]), message)
    refused(lambda: gradient_flow(jnp.asarray(W), SOFT, (X, y), [1.0]), message)


def test_two_classes_as_signs_name_the_conversion():
    two = SoftmaxObjective(lambda w, x: jnp.stack([x @ w, -(x @ w)], axis=1))
    message = "y must be a vector of integers in 0..1, got -1: convert -1 and +1 by (y + 1) // 2"
    refused(lambda: two(jnp.asarray(W), X, Y.astype(int)), message)


@pytest.mark.traced
def test_traced_labels_are_checked_when_it_runs():
    @eqx.filter_jit
    def binary(y):
        return train(jnp.asarray(W), BinaryObjective(vector), (X, y), optax.sgd(0.1), jnp.asarray([1])).params

    @eqx.filter_jit
    def classes(y):
        return SOFT(jnp.asarray(W), X, y)

    assert np.isfinite(binary(jnp.asarray(Y))).all()
    assert np.isfinite(classes(jnp.asarray(CLASSES)))
    with pytest.raises(eqx.EquinoxRuntimeError, match=r"y must be a vector of -1 and \+1 \(2\*y - 1"):
        jax.block_until_ready(binary(jnp.asarray((Y + 1) / 2)))
    assert np.isfinite(classes(jnp.asarray(CLASSES, jnp.uint8)))
    for wrong in (CLASSES + 1, CLASSES - 1):
        with pytest.raises(eqx.EquinoxRuntimeError, match=r"y must be a vector of integers in 0\.\.2"):
            jax.block_until_ready(classes(jnp.asarray(wrong)))


def test_other_outputs_are_refused():
    w = jnp.asarray(W)
    message = "apply must give outputs of shape (5,) or (5, 1) for 5 inputs, got (5, 3)"
    plain = BinaryObjective(wide)
    refused(lambda: plain(w, X, Y), message)
    refused(lambda: train(w, plain, (X, Y), optax.sgd(0.1), [1]), message)
    refused(lambda: gradient_flow(w, plain, (X, Y), [1.0]), message)
    refused(lambda: Responses(plain, np.eye(5), X, Y, np.zeros(5))(w), message)
    message = "apply must give logits of shape (5, classes) for 5 inputs, got (5,)"
    refused(lambda: SoftmaxObjective(vector)(w, X, CLASSES), message)
    refused(lambda: train(w, SoftmaxObjective(column), (X, CLASSES), optax.sgd(0.1), [1]), message[:-5])


def test_a_flow_needs_the_rows_it_is_told_of():
    plain, w = BinaryObjective(vector), jnp.asarray(W)
    refused(lambda: gradient_flow(w, plain, (X, Y[:1]), [1.0]), "data must have as many rows as its first array")
    refused(lambda: gradient_flow(w, plain, (X[:0], Y[:0]), [1.0]), "data must be a tuple of arrays with at least one")
    refused(lambda: gradient_flow(w, plain, (X,), [1.0]), "data must be the arrays (x, y), got 1 of them")
    refused(lambda: gradient_flow(w, plain, (X * np.nan, Y), [1.0]), "x must be finite")
    refused(lambda: gradient_flow(w, Penalised(plain, gs.WeightDecay(1.0)), (X, Y), [1.0]), "data must be what columns")
