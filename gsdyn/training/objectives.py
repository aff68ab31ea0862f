"""What training minimises: a gsdyn loss of a network's outputs on a batch, as a mean or as a sum.

Losses of gsdyn are **sums** over examples (P21). C18's theory counts samples instead: a class that makes up a share p
of the data learns at rate p. That is the **mean** over the batch, the default, for full batches and for SGD of any
batch size alike; time is then learning rate times steps. Under the sum a class of m examples learns at rate m.

`train` checks the data of an `Objective` once, before the loop. Any other function from parameters and a batch to a
number is trained as it is.
"""

from __future__ import annotations

import abc
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, ArrayLike, Float, Int

from gsdyn import _checks
from gsdyn.losses import CrossEntropy, Loss
from gsdyn.training.margin_losses import MarginLoss

Apply = Callable[[Any, Array], Array]


class Objective(eqx.Module):
    """A number to minimise, from parameters and the arrays of a batch, which knows what data it can take.

    >>> print(f"{gs.training.BinaryObjective(lambda w, x: x @ w).value(np.zeros(2), x, y):.4f}")
    0.6931
    """

    @abc.abstractmethod
    def value(self, params: Any, *batch: Array) -> Float[Array, ""]:
        """The objective on a batch that was checked."""

    def check(self, params: Any, *data: Array) -> tuple[Array, ...]:
        """The data in the form `value` takes. Raises `ValueError` for data it cannot take."""
        del params
        return data

    def __call__(self, params: Any, *batch: Any) -> Float[Array, ""]:
        """The objective on a batch, which is checked."""
        return self.value(params, *self.check(params, *batch))


class NetworkLoss(Objective):
    """The loss of a network, a number for each example: what penalties and comparison methods are built on.

    >>> loss = gs.training.BinaryObjective(lambda w, x: x @ w)
    >>> print(loss.outputs(np.array([1.0, 0.0]), jnp.asarray(x)))
    [ 1.  -1.   0.9 -0.8]
    """

    @abc.abstractmethod
    def outputs(self, params: Any, x: Array) -> Array:
        """What the network gives for inputs `x`: shape (n,), or (n, C) for classes."""

    @abc.abstractmethod
    def margins(self, outputs: Array, y: Array) -> Array:
        """What the loss is a function of."""

    @abc.abstractmethod
    def losses(self, f: Array, y: Array) -> Float[Array, " n"]:
        """The loss of every example, from its margin or logits."""

    @abc.abstractmethod
    def labels(self, y: ArrayLike, params: Any = None, x: Array | None = None) -> Array:
        """Labels in the form the loss takes them; with `params` and `x` also against the network's outputs."""

    def total(self, f: Array, y: Array) -> Float[Array, ""]:
        """The sum of the losses."""
        return jnp.sum(self.losses(f, y))

    def check(self, params: Any, *data: Array) -> tuple[Array, ...]:
        x, y = columns_of(data, "x, y")
        return _inputs(x), *same_rows(x, y=self.labels(y, params, x))

    def value(self, params: Any, *batch: Array) -> Float[Array, ""]:
        x, y = columns_of(batch, "x, y")
        return self.shared(self.total(self.margins(self.outputs(params, x), y), y), x.shape[0])

    @abc.abstractmethod
    def shared(self, total: Float[Array, ""], examples: int) -> Float[Array, ""]:
        """A sum over a batch as this loss counts it: divided by the examples where it is a mean."""


class BinaryObjective(NetworkLoss):
    """The loss of the margins `y f(x)` of a network with one output.

    - `apply`: from parameters and inputs (n, ...) to outputs (n,) or (n, 1).
    - `loss`: any binary `gsdyn` loss, default `CrossEntropy()`, or one of those that control margins (`MarginLog`).
    - `mean`: whether to divide by the size of the batch.

    Labels are -1 and +1, shape (n,) or (n, 1). Raises `ValueError` for any others, and for other outputs.

        >>> objective = gs.training.BinaryObjective(lambda w, x: x @ w)
        >>> print(f"{objective(np.zeros(2), x, y):.4f}")
        0.6931
    """

    apply: Apply = eqx.field(static=True)
    loss: Loss | MarginLoss = eqx.field(default_factory=CrossEntropy)
    mean: bool = eqx.field(static=True, default=True)

    def __check_init__(self) -> None:
        _check_fields(self)
        if not isinstance(self.loss, (Loss, MarginLoss)):
            raise ValueError(f"loss must be a gsdyn loss, such as CrossEntropy(), got {_checks.in_short(self.loss)}")

    def outputs(self, params: Any, x: Array) -> Float[Array, " n"]:
        """The outputs for inputs `x`, shape (n,)."""
        return _checks.one_output(self.apply(params, x), x.shape[0])

    def margins(self, outputs: Float[Array, " n"], y: Float[Array, " n"]) -> Float[Array, " n"]:
        """What the loss is a function of, `y yhat`."""
        outputs = _checks.one_output(outputs, y.size)
        return y.reshape(outputs.shape).astype(outputs.dtype) * outputs

    def total(self, f: Float[Array, " n"], y: Float[Array, " n"]) -> Float[Array, ""]:
        """The sum of the losses of margins `f`."""
        del y
        return self.loss.value(f)

    def losses(self, f: Float[Array, " n"], y: Float[Array, " n"]) -> Float[Array, " n"]:
        del y
        return jax.vmap(lambda one: self.loss.value(one[None]))(f)

    def shared(self, total: Float[Array, ""], examples: int) -> Float[Array, ""]:
        return total / examples if self.mean else total

    def labels(self, y: ArrayLike, params: Any = None, x: Array | None = None) -> Float[Array, " n"]:
        del params, x
        return _checks.labels("y", y)


class SoftmaxObjective(NetworkLoss):
    """The softmax cross-entropy of a network with one output per class.

    - `apply`: from parameters and inputs (n, ...) to logits (n, C).
    - `mean`: whether to divide by the size of the batch.

    Labels are integers 0..C-1, shape (n,) or (n, 1). Raises `ValueError` for any others, and for other outputs.

        >>> objective = gs.training.SoftmaxObjective(lambda w, x: x @ w)
        >>> print(f"{objective(np.zeros((2, 3)), x, np.array([0, 1, 0, 2])):.4f}")
        1.0986
    """

    apply: Apply = eqx.field(static=True)
    mean: bool = eqx.field(static=True, default=True)

    def __check_init__(self) -> None:
        _check_fields(self)

    def outputs(self, params: Any, x: Array) -> Float[Array, "n C"]:
        """The logits for inputs `x`."""
        return _logits(self.apply(params, x), x.shape[0])

    def margins(self, outputs: Float[Array, "n C"], y: Int[Array, " n"]) -> Float[Array, "n C"]:
        """What the loss is a function of: the logits."""
        del y
        return outputs

    def losses(self, f: Float[Array, "n C"], y: Int[Array, " n"]) -> Float[Array, " n"]:
        return jax.nn.logsumexp(f - jnp.take_along_axis(f, y[:, None], axis=1), axis=1)

    def shared(self, total: Float[Array, ""], examples: int) -> Float[Array, ""]:
        return total / examples if self.mean else total

    def labels(self, y: ArrayLike, params: Any = None, x: Array | None = None) -> Int[Array, " n"]:
        count = None if x is None else eqx.filter_eval_shape(self.outputs, params, x).shape[1]
        return _checks.classes("y", y, count)


class Scaled(Objective):
    """An objective times a factor: under gradient descent the same path at another rate.

    - `objective`: from parameters and a batch to a number.
    - `factor`: finite, a scalar.

        >>> objective = gs.training.Scaled(gs.training.BinaryObjective(lambda w, x: x @ w), 2.0)
        >>> print(f"{objective(np.zeros(2), x, y):.4f}")
        1.3863
    """

    objective: Callable[..., Array]
    factor: Float[Array, ""]

    def __init__(self, objective: Callable[..., Array], factor: ArrayLike):
        _checks.function("objective", objective)
        self.objective, self.factor = objective, _checks.finite("factor", factor, ndim=0)

    def check(self, params: Any, *data: Array) -> tuple[Array, ...]:
        return checked(self.objective, params, data)

    def value(self, params: Any, *batch: Array) -> Float[Array, ""]:
        value = value_of(self.objective)(params, *batch)
        return self.factor.astype(value.dtype) * value


def checked(objective: Callable[..., Array], params: Any, data: tuple[Array, ...]) -> tuple[Array, ...]:
    """The data in the form that `value_of(objective)` takes, checked where the objective knows how."""
    return objective.check(params, *data) if isinstance(objective, Objective) else data


def value_of(objective: Callable[..., Array]) -> Callable[..., Array]:
    """The objective without the checks of its data."""
    return objective.value if isinstance(objective, Objective) else objective


def columns_of(data: tuple[Any, ...], names: str) -> tuple[Array, ...]:
    """The arrays of `data`, which must be those called `names`."""
    if len(data) != names.count(",") + 1:
        raise ValueError(f"data must be the arrays ({names}), got {len(data)} of them")
    return data


def same_rows(x: Array, **columns: Array) -> tuple[Array, ...]:
    """The named columns, which must have as many rows as `x`."""
    for name, column in columns.items():
        _checks.same_length(name, column, "x", x)
    return tuple(columns.values())


def beside(outputs: Array, column: Array) -> Array:
    """A column of the data, of the dtype and the number of axes of outputs (n,) or (n, C)."""
    column = column.astype(outputs.dtype)
    return column if column.ndim == outputs.ndim else column[:, None]


def _check_fields(objective: BinaryObjective | SoftmaxObjective) -> None:
    _checks.function("apply", objective.apply)
    _checks.flag("mean", objective.mean)


def _logits(outputs: Array, n: int) -> Float[Array, "n C"]:
    if outputs.ndim != 2 or outputs.shape[0] != n or outputs.shape[1] < 2:
        raise ValueError(f"apply must give logits of shape ({n}, classes) for {n} inputs, got {outputs.shape}")
    return outputs


def _inputs(x: ArrayLike) -> Array:
    x = jnp.asarray(x)
    return x if not jnp.issubdtype(x.dtype, jnp.floating) or not _checks.is_concrete(x) else _checks.finite("x", x)
