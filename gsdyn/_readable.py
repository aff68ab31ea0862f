"""What objects look like to people: values where they are known, shapes where they are traced, never an error."""

from __future__ import annotations

import abc
import dataclasses
import html
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

FEW = 6  # entries that are shown one by one
DIGITS = 6


class Summary(NamedTuple):
    """A line on what an object is, and names with values."""

    title: str
    rows: list[tuple[str, str]]


class Readable(eqx.Module):
    """An object that shows a `Summary` of itself, as text and in notebooks."""

    @abc.abstractmethod
    def _summary(self) -> Summary:
        """What it is and what is known of it."""

    def __repr__(self) -> str:
        title, rows = self._summary()
        width = max((len(name) for name, _ in rows), default=0)
        return "\n".join([title, *(f"  {name:<{width}}  {value}" for name, value in rows)])

    def _repr_html_(self) -> str:
        title, rows = self._summary()
        cells = "".join(
            f'<tr><th style="text-align:left">{html.escape(name)}</th>'
            f'<td style="text-align:left">{html.escape(value)}</td></tr>'
            for name, value in rows
        )
        return f"<div><b>{html.escape(title)}</b><table>{cells}</table></div>"


class Call(eqx.Module):
    """An object that is shown as the call that makes it, such as a loss or a penalty: `WeightDecay(lam=0.01)`."""

    def __repr__(self) -> str:
        fields = ((f.name, getattr(self, f.name, None)) for f in dataclasses.fields(self) if not f.name.startswith("_"))
        told = ((name, shown(value)) for name, value in fields if value is not None)
        given = (f"{name}=<{text}>" if text.startswith("shape ") else f"{name}={text}" for name, text in told)
        return f"{type(self).__name__}({', '.join(given)})"

    def _repr_html_(self) -> str:
        return f"<code>{html.escape(repr(self))}</code>"


class Optimum(Readable):
    """A fixed point, or several along the first axes, with its certificates."""

    def _summary(self) -> Summary:
        part = _getter(self)
        problem = [f"{word} {part(name)!r}" for word, name in (("of", "loss"), ("under", "penalty")) if part(name)]
        converged, steps = _flags(part("converged")), known(part("iterations"))
        title = " ".join([type(self).__name__, *problem])
        if converged is not None:
            title += f": {_how_many(converged, 'converged', 'not converged')}"
            title += f", Newton steps {shown(steps)}" if steps is not None else ""
        rows = [(name, shown(part(name))) for name in ("z", "margins", "alpha", "objective") if part(name) is not None]
        bounds = (("primal - dual", "gap"), ("|alpha - alpha*|", "error_bound"))
        rows += [(name, f"<= {shown(largest(part(key)), 2)}") for name, key in bounds if part(key) is not None]
        return Summary(title, rows)


class OverTime(Readable):
    """A flow over time: what became of it, and what it came to at its last time."""

    def _summary(self) -> Summary:
        part = _getter(self)
        ts, title = known(part("ts")), type(self).__name__
        single = ts is not None and ts.ndim == 1 and ts.size > 0
        if ts is not None and ts.ndim and ts.size:
            title += f" over {ts.shape[-1]:,} times from {shown(ts.min())} to {shown(ts.max())}"
        # a result is a code of diffrax, whose values are no arrays where other things stand in place of them
        succeeded = _flags(part("succeeded")) if known(getattr(part("result"), "_value", None)) is not None else None
        if succeeded is not None:
            title += f": {_how_many(succeeded, 'every time reached', 'not every time reached')}"
        steps = part("steps")
        accepted, rejected = (known(getattr(steps, name, None)) for name in ("accepted", "rejected"))
        rows = []
        if accepted is not None and rejected is not None:
            rows.append(("steps", f"{shown(accepted)} accepted, {shown(rejected)} rejected"))
        for name in ("z", "margins", "coefficients", "alpha"):
            value = part(name)
            if value is not None:
                last = known(value)
                if single and last is not None and last.ndim and last.size:
                    rows.append((f"{name}, last", shown(last[-1])))
                else:
                    rows.append((name, shown(value)))
        return Summary(title, rows)


def shown(x: Any, digits: int = DIGITS) -> str:
    """`x` on one line: numbers, few entries of an array one by one, of many their range, of a traced one its type."""
    values = known(x)
    if values is None:
        is_array = hasattr(x, "dtype") and hasattr(x, "shape")
        return f"{x.dtype}{list(x.shape)}" if is_array else " ".join(repr(x).split())
    if values.ndim == 0:
        return _one(values[()], digits)
    if values.size <= FEW and values.ndim == 1:
        return f"[{', '.join(_one(v, digits) for v in values)}]"
    return _many(values, digits)


def known(x: Any) -> np.ndarray | None:
    """The values of an array that is not traced, or None."""
    if isinstance(x, Tracer) or not isinstance(x, jax.Array | np.ndarray | np.generic | float | int | bool):
        return None
    if isinstance(x, jax.Array) and (x.is_deleted() or not x.is_fully_addressable):
        return None
    if isinstance(x, jax.Array) and jnp.issubdtype(x.dtype, jax.dtypes.extended):
        return None
    return np.asarray(x)


def largest(x: Any) -> Any:
    """The largest entry of an array of known values; anything else as it is."""
    values = known(x)
    return x if values is None or values.ndim == 0 or not values.size else values.max()


def _one(value: Any, digits: int) -> str:
    if isinstance(value, np.bool_ | bool):
        return str(bool(value))
    return str(int(value)) if isinstance(value, np.integer | int) else f"{float(value):.{digits}g}"


def _many(values: np.ndarray, digits: int) -> str:
    """The shape and the range of an array."""
    shape = f"shape {values.shape}"
    if not values.size or values.dtype.kind not in "fiu":
        return shape
    finite = values[np.isfinite(values)]
    lost = values.size - finite.size
    told = f"{shape}, {_one(finite.min(), digits)} to {_one(finite.max(), digits)}" if finite.size else shape
    return f"{told}, {lost:,} not finite" if lost else told


def _flags(x: Any) -> np.ndarray | None:
    """Whether something holds, where that is known."""
    values = known(x)
    return values if values is not None and values.dtype == bool else None


def _how_many(flags: np.ndarray, yes: str, no: str) -> str:
    if flags.ndim == 0:
        return yes if flags else no
    return f"{int(flags.sum()):,} of {flags.size:,} {yes}"


def _getter(module: Any) -> Any:
    """Attributes of an object that may be half made, or hold other things in place of its arrays."""

    def part(name: str) -> Any:
        try:
            return getattr(module, name)
        except Exception:  # whatever stands in an array's place, a picture of it is no error
            return None

    return part
