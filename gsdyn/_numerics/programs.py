"""How programs are compiled that no other program contains: most of what a first call takes is XLA's compiler."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, TypeVar

import equinox as eqx
import jax
import jax.extend.core

from gsdyn import _checks

F = TypeVar("F", bound=Callable)
MANY = 1024  # problems of a batch from which on it is better run fast than compiled fast
# XLA's older way from fused operations to machine code takes a third of the newer one's time, and what it makes of
# programs that mostly multiply and factor matrices is as fast. Other generations of JAX may not know the flag.
QUICKLY: dict[str, Any] = {"xla_cpu_use_fusion_emitters": False} if jax.__version__.startswith("0.10.") else {}


def compiled(function: F) -> F:
    """`function` as `equinox.filter_jit` makes it: a part of the program that calls it, or, outside of `jit`, of values
    that are known or a batch of them, one of its own, which is compiled in half of the time."""
    inside: Any = eqx.filter_jit(function)
    if not QUICKLY:
        return inside
    alone: Any = eqx.filter_jit(function, compiler_options=QUICKLY)  # pyright: ignore[reportCallIssue]
    traced = jax.extend.core.unsafe_am_i_under_a_jit_DO_NOT_USE  # pyright: ignore[reportPrivateImportUsage]

    @functools.wraps(function)
    def call(*args: Any) -> Any:
        return (alone if not traced() and _apart(args) else inside)(*args)

    return call  # pyright: ignore[reportReturnType]


def _apart(args: tuple) -> bool:
    """Whether all values are known, of one problem or of a batch that is not so large that its speed counts more."""
    leaves = [leaf for leaf in jax.tree.leaves(args) if isinstance(leaf, jax.Array)]
    values = [_batch(leaf) for leaf in leaves]
    small = all(value.size <= MANY * leaf.size for value, leaf in zip(values, leaves, strict=True))
    return small and _checks.is_concrete(values)


def _batch(x: jax.Array) -> jax.Array:
    """What `vmap`, whose tracers JAX has no public name for, has made one problem's `x` of."""
    return _batch(getattr(x, "val")) if hasattr(x, "batch_dim") else x  # noqa: B009
