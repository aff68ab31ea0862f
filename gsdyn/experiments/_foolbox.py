"""Attacks of another package on networks of one output: foolbox's DeepFool and Boundary, as checks of gsdyn's own."""

from __future__ import annotations

import functools
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from gsdyn.experiments import _image_nets as nets

ATTACKS = ("DeepFool", "Boundary")
HALVINGS = 20


def required() -> Any:
    """The package. Raises `ValueError` in one line where it is not installed."""
    try:
        import foolbox
    except ImportError:
        raise ValueError(
            "foolbox must be False where it is not installed (pip install 'gsdyn[attacks]'), got True"
        ) from None
    return foolbox


def distances(net: nets.Net, x: Array, steps: int, reach: float) -> Float[np.ndarray, "attacks n"]:
    """How far, in L2, each of `ATTACKS` has to move the images `x` within [0, 1] to change the network's decision.

    `steps`: of Boundary, which sees decisions alone and starts from the nearest image of another decision. Points are
    moved along the segment to the image as far as the decision stays changed; `reach` where there is none.
    """
    foolbox = required()
    held = np.asarray(nets.outputs(net, x)) > 0
    begin = _nearest_of_others(np.asarray(x), held)
    if begin is None:
        return np.full((len(ATTACKS), len(x)), reach)
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        model = foolbox.models.JAXModel(functools.partial(_two_logits, net), bounds=(0, 1))
        labels = jnp.asarray(held, int)
        found = (
            foolbox.attacks.L2DeepFoolAttack()(model, x, labels, epsilons=None)[0],
            foolbox.attacks.BoundaryAttack(steps=steps)(
                model, x, labels, epsilons=None, starting_points=nets.single(begin)
            )[0],
        )
        return np.stack([_shortened(net, x, nets.single(points), held, reach) for points in found])


@eqx.filter_jit
def _two_logits(net: nets.Net, x: Array) -> Float[Array, "n 2"]:
    """One output as the logits of two classes; foolbox draws its noise in JAX's default precision."""
    f = nets.logits(net, nets.single(x))
    return jnp.stack([jnp.zeros_like(f), f], axis=1)


def _nearest_of_others(x: np.ndarray, held: np.ndarray) -> np.ndarray | None:
    """For every image the nearest that gets another decision; None where all get the same."""
    if held.all() or not held.any():
        return None
    flat = x.reshape(len(x), -1).astype(float)
    norms = (flat * flat).sum(axis=1)
    apart = norms[:, None] + norms[None] - 2 * flat @ flat.T
    return x[np.argmin(np.where(held[:, None] == held[None], np.inf, apart), axis=1)]


def _shortened(net: nets.Net, x: Array, points: Array, held: np.ndarray, reach: float) -> Float[np.ndarray, " n"]:
    """The length of the way to where the decision changes, by bisection."""
    lead, own = np.asarray(points - x, float), np.asarray(x, float)
    column = (-1,) + (1,) * (own.ndim - 1)

    def changed(share: np.ndarray) -> np.ndarray:
        return (np.asarray(nets.outputs(net, nets.single(own + share.reshape(column) * lead))) > 0) != held

    low, high = np.zeros(len(own)), np.ones(len(own))
    succeeded = changed(high)
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        other = changed(middle)
        low, high = np.where(other, low, middle), np.where(other, middle, high)
    length = high * np.sqrt((lead.reshape(len(own), -1) ** 2).sum(axis=1))
    return np.where(succeeded, np.minimum(length, reach), reach)
