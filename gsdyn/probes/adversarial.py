"""The adversarial margin: how small a perturbation changes a network's decision, as far as attacks can tell."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, ArrayLike, Bool, Float, PRNGKeyArray

from gsdyn import _checks
from gsdyn._numerics.precision import full_precision
from gsdyn.probes.attacks import PGD, Attack, Best, Search, Task
from gsdyn.probes.norms import L2, Norm


class AdversarialMargins(NamedTuple):
    """Upper bounds on margins in input space.

    - `distance`: from every example to the nearest point found where the decision is another, shape (n,); `reach`
      where none was found.
    - `margin`: the same with the sign of the decision: negative for an example on the wrong side.
    - `nearest`: those points, of the shape of `x`; the example itself where none was found.
    - `by_attack`: the distance that each attack found alone, shape (attacks, n). Where one without gradients is far
      below one with them, the network masks its gradients.

        >>> key, attacks = jax.random.key(0), [gs.probes.PGD(5, 2)]
        >>> found = gs.probes.adversarial_margin(net.apply, params, x, y, key, attacks=attacks)
        >>> print(found.by_attack.shape)
        (1, 4)
    """

    distance: Float[Array, " n"]
    margin: Float[Array, " n"]
    nearest: Float[Array, "n ..."]
    by_attack: Float[Array, "attacks n"]


@full_precision
def adversarial_margin(
    apply: Callable[[Any, Array], Array],
    params: Any,
    x: ArrayLike,
    y: ArrayLike,
    key: PRNGKeyArray,
    *,
    norm: Norm | None = None,
    attacks: Sequence[Attack] | None = None,
    reach: ArrayLike = 4.0,
    bounds: tuple[float, float] | None = None,
) -> AdversarialMargins:
    """The smallest perturbation of every example that is found to change the network's decision.

    Every distance is an upper bound that a point of `nearest` proves; the true margin may be smaller. For few inputs
    `input_margin` looks everywhere.

    - `apply`, `params`: the network, from inputs (n, ...) to outputs (n,) or (n, 1), whose sign is the decision, or to
      logits (n, C), whose largest is.
    - `x`, `y`: examples, and labels -1 and +1, or classes 0..C-1 for logits, shape (n,).
    - `key`: a random key.
    - `norm`: `L2()`, the default, or `Linf()`.
    - `attacks`: by default `(PGD(), Search())`, with gradients and without.
    - `reach`: how far to look, finite and > 0.
    - `bounds`: the least and the largest value that an input may take, such as (0, 1) for images; None for no bounds.

    Raises `ValueError` for inputs of wrong shape or outside their domain, and for a network that gives NaN.

        found = adversarial_margin(net.apply, run.params, x, y, jax.random.key(0), norm=Linf(), bounds=(0, 1))

        >>> key, attacks = jax.random.key(0), [gs.probes.PGD(5, 2)]
        >>> found = gs.probes.adversarial_margin(net.apply, params, x, y, key, attacks=attacks)
        >>> print(found.distance.shape)
        (4,)
    """
    x = _checks.finite("x", x)
    if x.ndim < 2 or x.size == 0:
        raise ValueError(f"x must have a row for each example, got shape {x.shape}")
    _checks.function("apply", apply)
    if attacks is not None and not isinstance(attacks, Sequence):
        raise ValueError(f"attacks must be a list of attacks, got {_checks.in_short(attacks)}")
    attacks = (PGD(), Search()) if attacks is None else tuple(attacks)
    for attack in attacks:
        _checks.instance("attacks", attack, Attack)
    if not attacks:
        raise ValueError("attacks must hold at least one attack, got none")
    _checks.instance("norm", norm := L2() if norm is None else norm, Norm)
    reach = _checks.positive("reach", reach, ndim=0).astype(x.dtype)
    _checks.random_key("key", key)
    shape = eqx.filter_eval_shape(apply, params, x).shape
    y = check_labels(shape, x, y)
    _check_bounds(bounds, x)
    found = _attacked(apply, params, x, y, key, norm, attacks, reach, bounds)
    if _checks.is_concrete(found) and bool(jnp.isnan(found.distance).any()):
        raise ValueError("apply must give numbers for every example, got NaN")
    return found


def check_labels(outputs: tuple[int, ...], x: Array, y: ArrayLike) -> Array:
    """Labels for outputs of this shape: signs for one output, classes for logits."""
    n = x.shape[0]
    if outputs in ((n,), (n, 1)):
        y = _checks.labels("y", y)
    elif len(outputs) == 2 and outputs[0] == n:
        y = _checks.classes("y", y, outputs[1])
    else:
        raise ValueError(f"apply must give outputs of shape ({n},), ({n}, 1) or ({n}, classes), got {outputs}")
    _checks.same_length("y", y, "x", x)
    return y


def _check_bounds(bounds: Any, x: Array) -> None:
    if bounds is None:
        return
    limits = _checks.finite("bounds", bounds)
    if limits.shape != (2,) or (_checks.is_concrete(limits) and not limits[0] < limits[1]):
        raise ValueError(f"bounds must be the least and the largest input, got {_checks.in_short(bounds)}")
    _checks.require("x", x, f"within bounds {bounds}", lambda v: (v >= bounds[0]) & (v <= bounds[1]))


@eqx.filter_jit
def _attacked(apply, params, x, y, key, norm, attacks, reach, bounds) -> AdversarialMargins:
    flat = x.reshape(x.shape[0], -1)
    outputs = apply(params, x)
    classes = outputs.ndim == 2 and outputs.shape[1] > 1
    decision = jnp.argmax(outputs, axis=1) if classes else outputs.reshape(-1) > 0

    def held(points: Array) -> Array:
        return _lead(apply(params, points.reshape(x.shape)), decision)

    def aim(points: Array, turn: Array) -> Array:
        if not classes:
            return held(points)
        # first at the strongest of the others, then at each
        count = outputs.shape[1]
        logits = apply(params, points.reshape(x.shape))
        target = (decision + turn % count) % count
        own, other = (jnp.take_along_axis(logits, which[:, None], axis=1)[:, 0] for which in (decision, target))
        return jnp.where(turn % count == 0, _lead(logits, decision), own - other)

    task = Task(held, aim, flat, norm, bounds)
    none = Best(jnp.broadcast_to(reach, x.shape[:1]), flat)
    keys = jax.random.split(key, len(attacks))
    found = [attack.improve(task, none, key) for attack, key in zip(attacks, keys, strict=True)]
    by_attack = jnp.stack([best.distance for best in found])
    first = jnp.argmin(by_attack, axis=0)
    nearest = jnp.take_along_axis(jnp.stack([best.point for best in found]), first[None, :, None], axis=0)[0]
    lost = jnp.isnan(outputs).reshape(x.shape[0], -1).any(axis=1)
    distance = jnp.where(lost, jnp.nan, jnp.min(by_attack, axis=0))
    right = decision == (y if classes else y > 0)
    return AdversarialMargins(distance, jnp.where(right, distance, -distance), nearest.reshape(x.shape), by_attack)


def _lead(outputs: Array, decision: Bool[Array, " n"] | Array) -> Float[Array, " n"]:
    """By how much a decision leads over all others: <= 0 where it is no longer taken."""
    if outputs.ndim == 2 and outputs.shape[1] > 1:
        own = jnp.take_along_axis(outputs, decision[:, None], axis=1)[:, 0]
        mine = jnp.arange(outputs.shape[1])[None, :] == decision[:, None]
        return own - jnp.max(jnp.where(mine, -jnp.inf, outputs), axis=1)
    outputs = outputs.reshape(-1)
    # an output of 0 decides for -1
    return jnp.where(decision, outputs, jnp.where(outputs > 0, -outputs, jnp.finfo(outputs.dtype).tiny - outputs))
