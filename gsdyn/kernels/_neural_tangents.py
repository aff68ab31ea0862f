"""Import neural-tangents 0.6.5, an archived library, on current JAX and without TensorFlow.

The library still runs on current JAX; only its import fails, on names that moved or went. They are
put back while it is imported and taken away again, so that nothing else sees them. Its empirical
kernels by structured derivatives (implementations 0 and 3) need more of the old JAX than names:
choose 1 or 2.
"""

from __future__ import annotations

import contextlib
import functools
import importlib.util
import sys
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any

import jax.core
import jax.extend.core
from jax.interpreters import ad

INSTALL = "pip install --no-deps neural-tangents==0.6.5"


@functools.cache
def load() -> Any:
    """The module `neural_tangents`, imported at the first call.

    Raises `ImportError` with the command that installs it. It is no plain requirement of gsdyn,
    because it declares one of TensorFlow, which pip cannot leave out.
    """
    if "neural_tangents" in sys.modules:
        return sys.modules["neural_tangents"]
    if importlib.util.find_spec("neural_tangents") is None:
        raise ImportError(f"this kernel needs neural-tangents: {INSTALL}")
    with _old_names():
        return importlib.import_module("neural_tangents")


@contextlib.contextmanager
def _old_names() -> Iterator[None]:
    """Old JAX names, and an empty package in place of the one that would import TensorFlow."""
    moved = ("Jaxpr", "JaxprEqn", "Literal", "Primitive", "Var")
    util = ModuleType("jax.util")
    vars(util).update(safe_map=_safe_map, safe_zip=_safe_zip)
    modules = {"jax.util": util}
    modules["neural_tangents.experimental"] = ModuleType("neural_tangents.experimental")
    with (
        _added(jax.core.__dict__, {name: getattr(jax.extend.core, name) for name in moved}),
        # Only a key in a table of rules: no program contains this primitive any more.
        _added(ad.__dict__, {"zeros_like_p": jax.extend.core.Primitive("zeros_like")}),
        _added(sys.modules, modules),
    ):
        yield


@contextlib.contextmanager
def _added(table: dict[str, Any], entries: dict[str, Any]) -> Iterator[None]:
    """The entries that `table` lacks, in it for as long as the context lasts."""
    missing = {name: value for name, value in entries.items() if name not in table}
    table.update(missing)
    try:
        yield
    finally:
        for name in missing:
            del table[name]


def _safe_map(f: Callable, *args: Any) -> list:
    return [f(*items) for items in _safe_zip(*args)]


def _safe_zip(*args: Any) -> list[tuple]:
    return list(zip(*args, strict=True))
