"""The colour probe: does a network of coloured images go by the shape, or by the colour?"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Float

from gsdyn import _checks
from gsdyn.probes.adversarial import check_labels


class ColourVariants(NamedTuple):
    """Four versions of every test image, two channels each, shape (n, 2, ...), or what was found of each.

    - `gray_digit`: the shape without a colour: half of the image in either channel, as bright as a coloured one.
    - `colour_digit`: the image in the channel of its colour, the other zero: what networks are trained on.
    - `gray_blank`: no shape and no colour: an even image, half in either channel.
    - `colour_blank`: the colour without a shape: an even image in the channel of its colour.

        >>> variants = gs.probes.colour_variants(np.ones((4, 3)), np.array([0, 1, 0, 1]))
        >>> print(variants.gray_digit[0])
        [[0.5 0.5 0.5]
         [0.5 0.5 0.5]]
    """

    gray_digit: Any
    colour_digit: Any
    gray_blank: Any
    colour_blank: Any


class ColourProbe(NamedTuple):
    """What a network makes of the four variants.

    - `accuracy`: the share of right decisions, one number for each variant. An output of exactly 0, or a tie of logits,
      is wrong.
    - `entropy`: the mean entropy of its predictions, in nats: log 2 where two classes are a coin's throw.

        >>> variants = gs.probes.colour_variants(np.ones((4, 3)), np.array([1, 0, 1, 0]))
        >>> w = np.array([-1.0] * 3 + [1.0] * 3)
        >>> found = gs.probes.colour_probe(lambda w, x: x.reshape(len(x), -1) @ w, w, variants, y)
        >>> print(f"{found.entropy.gray_digit:.4f}")
        0.6931
    """

    accuracy: ColourVariants
    entropy: ColourVariants


def colour_variants(images: ArrayLike, colour: ArrayLike, blank: ArrayLike | None = None) -> ColourVariants:
    """The four variants of gray images.

    - `images`: shape (n, ...), gray, finite.
    - `colour`: the channel of every image, 0 or 1, shape (n,).
    - `blank`: the brightness of the even images, a scalar; by default the mean of `images`, so that they are as bright.

    Raises `ValueError` for inputs of wrong shape or outside their domain.

        >>> variants = gs.probes.colour_variants(np.ones((4, 3)), np.array([0, 1, 0, 1]))
        >>> print(variants.colour_digit.shape)
        (4, 2, 3)
    """
    images = _checks.finite("images", images)
    if images.ndim < 2 or images.size == 0:
        raise ValueError(f"images must have a row for each image, got shape {images.shape}")
    colour = _checks.classes("colour", colour, 2)
    _checks.same_length("colour", colour, "images", images)
    level = jnp.mean(images) if blank is None else _checks.finite("blank", blank, ndim=0).astype(images.dtype)
    even = jnp.full_like(images, level)
    own = (jnp.arange(2, dtype=colour.dtype)[None, :] == colour[:, None]).astype(images.dtype)
    half = jnp.full_like(own, 0.5)
    return ColourVariants(*(_in_channels(part, share) for part in (images, even) for share in (half, own)))


def colour_probe(
    apply: Callable[[Any, Array], Array], params: Any, variants: ColourVariants, y: ArrayLike
) -> ColourProbe:
    """Accuracy and entropy of a network's predictions on the four variants.

    - `apply`, `params`: the network, from inputs (n, 2, ...) to outputs (n,) or (n, 1), or to logits (n, C). One that
      takes flat inputs flattens them in `apply`.
    - `variants`: as `colour_variants` gives them.
    - `y`: the labels, -1 and +1, or classes 0..C-1 for logits, shape (n,).

    A network that goes by the colour alone is as right on `colour_blank` as on `colour_digit`, and no better than
    chance on `gray_digit`. Raises `ValueError` for inputs of wrong shape or outside their domain and outputs of NaN.

        >>> variants = gs.probes.colour_variants(np.ones((4, 3)), np.array([1, 0, 1, 0]))
        >>> w = np.array([-1.0] * 3 + [1.0] * 3)
        >>> found = gs.probes.colour_probe(lambda w, x: x.reshape(len(x), -1) @ w, w, variants, y)
        >>> print(found.accuracy.colour_digit, found.accuracy.colour_blank)
        1.0 1.0
    """
    _checks.function("apply", apply)
    _checks.instance("variants", variants, ColourVariants)
    shape = eqx.filter_eval_shape(apply, params, variants.colour_digit).shape
    y = check_labels(shape, variants.colour_digit, y)
    accuracy, entropy = (
        ColourVariants(*(float(part) for part in row))
        for row in zip(*(_judged(apply, params, x, y) for x in variants), strict=True)
    )
    if np.isnan(entropy).any():
        raise ValueError(f"apply must give numbers for every variant, got NaN: mean entropies {tuple(entropy)}")
    return ColourProbe(accuracy, entropy)


def prediction_entropy(outputs: Float[Array, "n *C"]) -> Float[Array, " n"]:
    """The entropy `-sum_c p_c log p_c` of every prediction, in nats, with `0 log 0 = 0`.

    - `outputs`: (n,) or (n, 1), whose sigmoid is the probability of one of two classes, or logits (n, C). May be
      infinite.

        >>> print(gs.probes.prediction_entropy(jnp.array([0.0, 5.0])))
        [0.693 0.04 ]
    """
    outputs = _checks.require("outputs", outputs, "numbers, not NaN", lambda v: ~(v != v))
    if outputs.ndim not in (1, 2) or not outputs.size:
        raise ValueError(f"outputs must have shape (n,), (n, 1) or (n, classes), got {outputs.shape}")
    return _entropy(outputs)


def _entropy(outputs: Array) -> Float[Array, " n"]:
    if outputs.ndim == 2 and outputs.shape[1] > 1:
        # p_c = e^(away_c)/(1 + s), so it is log(1 + s) - sum_c p_c away_c, of terms >= 0; +inf is certain, or evenly so
        top = jnp.max(outputs, axis=1, keepdims=True)
        away = jnp.where(outputs == top, 0.0, outputs - top)
        first = jnp.arange(outputs.shape[1])[None, :] == jnp.argmax(outputs, axis=1)[:, None]
        rest = jnp.sum(jnp.where(first, 0.0, jnp.exp(away)), axis=1)
        shares = jnp.where(jnp.isfinite(away), jnp.exp(away) * jnp.where(jnp.isfinite(away), away, 0.0), 0.0)
        return jnp.log1p(rest) - jnp.sum(shares, axis=1) / (1 + rest)
    size = jnp.abs(outputs.reshape(outputs.shape[0]))
    # p log p + (1-p) log(1-p) at p = sigma(-|f|); beyond 700 both vanish
    finite = jnp.minimum(size, 700.0)
    return jnp.where(size > 700.0, 0.0, jax.nn.softplus(-finite) + finite * jax.nn.sigmoid(-finite))


def _in_channels(images: Array, share: Float[Array, "n 2"]) -> Array:
    share = share.reshape(*share.shape, *(1,) * (images.ndim - 1))
    return images[:, None] * share


@eqx.filter_jit
def _judged(apply: Callable, params: Any, x: Array, y: Array) -> tuple[Array, Array]:
    outputs = apply(params, x)
    entropy = jnp.mean(_entropy(outputs))
    if outputs.ndim == 2 and outputs.shape[1] > 1:
        own = jnp.take_along_axis(outputs, y[:, None], axis=1)[:, 0]
        mine = jnp.arange(outputs.shape[1])[None, :] == y[:, None]
        lead = own - jnp.max(jnp.where(mine, -jnp.inf, outputs), axis=1)
    else:
        lead = outputs.reshape(-1) * y.astype(outputs.dtype)
    return jnp.mean((lead > 0).astype(entropy.dtype)), entropy
