"""The Jacobian of a network parameter by parameter, as a product of two vectors where a weight matrix allows it.

A matrix `W` that multiplies one vector `h` has the gradient `delta h^T`, with `delta` the derivative of the output with
respect to `W h`. Inner products of such gradients are `(delta . delta') (h . h')`: that of two matrices of a million
entries each costs two products of a thousand. To find `h` and `delta` the program of the network runs equation by
equation, and what is added to `W h`, zero, is differentiated in place of `W`.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import jax
import jax.extend.core as core
import jax.numpy as jnp
from jaxtyping import Array, Float

from gsdyn.kernels._model import Model

# Only the order of the entries of a parameter changes, and with it nothing in an inner product of gradients.
_REORDERED = ("transpose", "reshape", "squeeze", "expand_dims")


class Whole(NamedTuple):
    """Derivatives of the outputs with respect to one parameter."""

    rows: Float[Array, "*n C size"]


class Factors(NamedTuple):
    """The same as `right[:, :, None] * left[None, None, :]`."""

    left: Float[Array, "*n K"]
    right: Float[Array, "*n C F"]


def jacobian(model: Model, x: Array) -> list[Array]:
    """For every leaf the derivatives of the outputs of one example with respect to it, shape (C, size)."""
    rows = jax.jacrev(lambda leaves: model.one(leaves, x))(model.leaves)
    return [row.reshape(row.shape[0], -1) for row in rows]


def factored(model: Model, x: Array) -> list[Whole | Factors]:
    """The same with `Factors` for every leaf that is a matrix, used once, and multiplies one vector."""
    closed = jax.make_jaxpr(lambda leaves: model.one(leaves, x))(model.leaves)
    run = _Run()
    jax.eval_shape(lambda leaves: run(closed, leaves)[0], model.leaves)
    sites = {index: out for index, out in run.sites.items() if run.uses[index] == 1}

    def outputs(whole: list[Array | None], taps: dict[int, Array]) -> tuple[Array, dict[int, Array]]:
        leaves = [leaf if part is None else part for leaf, part in zip(model.leaves, whole, strict=True)]
        return _Run(taps)(closed, leaves)

    whole = [None if index in sites else leaf for index, leaf in enumerate(model.leaves)]
    taps = {index: jnp.zeros(out.shape, out.dtype) for index, out in sites.items()}
    value, pull, left = jax.vjp(outputs, whole, taps, has_aux=True)
    rows, right = jax.vmap(pull)(jnp.eye(value.size, dtype=value.dtype))
    return [
        Factors(left[index].astype(value.dtype), right[index].reshape(value.size, -1).astype(value.dtype))
        if row is None
        else Whole(row.reshape(value.size, -1).astype(value.dtype))
        for index, row in enumerate(rows)
    ]


class _Leaf(NamedTuple):
    """A variable that holds a leaf, times a number, with its entries in any order."""

    index: int
    scale: Any


class _Run:
    """One evaluation of a program, which counts the uses of every leaf and adds taps where leaves multiply vectors."""

    def __init__(self, taps: dict[int, Array] | None = None) -> None:
        self.uses: dict[int, int] = {}
        self.sites: dict[int, Any] = {}
        self._left: dict[int, Array] = {}
        self._taps = taps or {}

    def __call__(self, closed: Any, leaves: list[Array]) -> tuple[Array, dict[int, Array]]:
        """The outputs, and for every tap the vector that its leaf multiplied."""
        named = {var: _Leaf(index, 1) for index, var in enumerate(closed.jaxpr.invars)}
        (out,) = self._program(closed.jaxpr, closed.consts, leaves, named)
        return out, self._left

    def _program(self, program: Any, consts: list[Any], inputs: list[Any], named: dict[Any, _Leaf]) -> list[Any]:
        env = dict(zip([*program.constvars, *program.invars], [*consts, *inputs], strict=True))

        def read(atom: Any) -> Any:
            return atom.val if isinstance(atom, core.Literal) else env[atom]

        for equation in program.eqns:
            out = self._equation(equation, [read(atom) for atom in equation.invars], named)
            env.update(zip(equation.outvars, out, strict=True))
        self._use(_leaves(program.outvars, named))
        return [read(atom) for atom in program.outvars]

    def _equation(self, equation: Any, values: list[Any], named: dict[Any, _Leaf]) -> list[Any]:
        name, given = equation.primitive.name, _leaves(equation.invars, named)
        if name in ("jit", "pjit"):
            inner = equation.params["jaxpr"]
            inside = {var: leaf for var, leaf in zip(inner.jaxpr.invars, given, strict=True) if leaf is not None}
            return self._program(inner.jaxpr, inner.consts, values, inside)
        out = _evaluate(equation, values)
        same = _still(name, given, values)
        if same is not None:
            named[equation.outvars[0]] = same
            return out
        self._use(given)
        if name == "dot_general" and given.count(None) == 1:
            side = given.index(None)
            return [self._tapped(equation, given[1 - side], side, values[side], out[0])]
        return out

    def _tapped(self, equation: Any, leaf: _Leaf | None, side: int, vector: Array, out: Array) -> Array:
        """The product `out` of a leaf and a vector, plus a tap if one is asked for."""
        contracted, batched = equation.params["dimension_numbers"]
        axes = contracted[side]
        if leaf is None or batched[0] or math.prod(vector.shape[axis] for axis in axes) != vector.size:
            return out
        self.sites[leaf.index] = out
        if leaf.index not in self._taps:
            return out
        self._left[leaf.index] = vector.reshape(-1) * jnp.asarray(leaf.scale, vector.dtype)
        return out + self._taps[leaf.index]

    def _use(self, given: list[_Leaf | None]) -> None:
        for leaf in given:
            if leaf is not None:
                self.uses[leaf.index] = self.uses.get(leaf.index, 0) + 1


def _leaves(atoms: list[Any], named: dict[Any, _Leaf]) -> list[_Leaf | None]:
    return [None if isinstance(atom, core.Literal) else named.get(atom) for atom in atoms]


def _still(name: str, given: list[_Leaf | None], values: list[Any]) -> _Leaf | None:
    """The leaf that the result of an equation still is."""
    if name in _REORDERED:
        return given[0]
    if name not in ("mul", "div") or len(given) != 2:
        return None
    first, second = given
    if first is not None and second is None and jnp.ndim(values[1]) == 0:
        scale = values[1] if name == "mul" else 1 / values[1]
        return _Leaf(first.index, first.scale * scale)
    if name == "mul" and second is not None and first is None and jnp.ndim(values[0]) == 0:
        return _Leaf(second.index, second.scale * values[0])
    return None


def _evaluate(equation: Any, values: list[Any]) -> list[Any]:
    """One equation, as a program of its own."""
    atoms = zip(equation.invars, values, strict=True)
    given = {var: value for var, value in atoms if not isinstance(var, core.Literal)}
    names = core.DebugInfo("jit", "equation", ("",) * len(given), ("",) * len(equation.outvars))
    program = core.Jaxpr((), list(given), equation.outvars, [equation], equation.effects, names)
    return core.jaxpr_as_fun(core.ClosedJaxpr(program, ()))(*given.values())
