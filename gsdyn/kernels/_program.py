"""What the program of a network tells: its operations and its activations."""

from __future__ import annotations

import math
from typing import Any

import equinox as eqx
import jax
import jax.extend.core as core
from jaxtyping import Array

from gsdyn.kernels._model import Model


def forward_operations(model: Model, x: Array) -> int:
    """Operations, about, for the outputs of one example: those of products and convolutions, and one an entry else."""
    return _operations(_program(model, x))


def activation_count(model: Model, x: Array) -> int:
    """Numbers, about, that are held on the way to the outputs of one example."""
    return _entries(_program(model, x))


def reverse_only(model: Model, x: Array) -> bool:
    """Whether the network has a part of its own reverse derivative, which leaves it without a forward one."""

    def inside(program: Any) -> bool:
        return any(
            equation.primitive.name.startswith("custom_vjp") or any(map(inside, _inner(equation)))
            for equation in program.eqns
        )

    return inside(_program(model, x))


def _program(model: Model, x: Array) -> Any:
    arrays, static = eqx.partition((model, x[0]), eqx.is_array)

    def run(arrays: Any) -> Array:
        model, x = eqx.combine(arrays, static)
        return model.one(model.leaves, x)

    return jax.make_jaxpr(run)(arrays).jaxpr


def _inner(equation: Any) -> list[Any]:
    """The programs that an equation carries, such as the body of a loop."""
    return list(core.jaxprs_in_params(equation.params))


def _repeats(equation: Any) -> int:
    return int(equation.params.get("length", 1)) if equation.primitive.name == "scan" else 1


def _operations(program: Any) -> int:
    total = 0
    for equation in program.eqns:
        inner = _inner(equation)
        if inner:
            total += _repeats(equation) * sum(_operations(body) for body in inner)
            continue
        entries = sum(math.prod(out.aval.shape) for out in equation.outvars)
        total += entries * _products_an_entry(equation)
    return total


def _products_an_entry(equation: Any) -> int:
    name = equation.primitive.name
    if name == "dot_general":
        shape = equation.invars[0].aval.shape
        return 2 * math.prod(shape[axis] for axis in equation.params["dimension_numbers"][0][0])
    if name == "conv_general_dilated":
        shape = equation.invars[1].aval.shape
        return 2 * math.prod(shape) // shape[equation.params["dimension_numbers"].rhs_spec[0]]
    return 1


def _entries(program: Any) -> int:
    own = sum(
        math.prod(out.aval.shape) for equation in program.eqns if not _inner(equation) for out in equation.outvars
    )
    return own + sum(_repeats(equation) * _entries(body) for equation in program.eqns for body in _inner(equation))
