"""Coloured digits by their kernel alone: the same schedule as that of the networks, and where it ends."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import scipy.linalg
from jaxtyping import Array, Float

from gsdyn.experiments._colour_runs import Data
from gsdyn.integration import integrate
from gsdyn.kernel_flows import KernelFlow, Phase
from gsdyn.kernels import infinite_ntk
from gsdyn.losses import CrossEntropy
from gsdyn.networks import FullyConnected
from gsdyn.penalties import SpectralDecoupling, Unregularised
from gsdyn.predictions import predict

LOSS = CrossEntropy()
RTOL = 1e-5
STRENGTH = 2.0
"""Of spectral decoupling for each example: `mean(yhat^2)` beside the mean loss, in a sum with a factor of one half."""


class Kernels(NamedTuple):
    """The NTK of the infinitely wide network between the examples, and between new images and them."""

    theta: Float[Array, "n n"]
    between: Float[Array, "m n"]
    y: Float[Array, " n"]
    y_new: np.ndarray

    @property
    def strength(self) -> float:
        """The square of the strength of the strongest feature."""
        n = len(self.y)
        (top,) = scipy.linalg.eigh(np.asarray(self.theta), eigvals_only=True, subset_by_index=[n - 1, n - 1])
        return float(top)


def kernels_of(data: Data) -> Kernels:
    """The kernels of images in two channels under three dense layers of ReLU."""
    net = FullyConnected(depth=3)
    x, new = data.train.x, data.test.x
    return Kernels(infinite_ntk(net, x), infinite_ntk(net, new, x), data.train.y, np.asarray(data.test.y))


def decoupling() -> SpectralDecoupling:
    """The penalty after the switch."""
    return SpectralDecoupling(STRENGTH)


def flow_of(kernels: Kernels, switch: float, ts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Margins at the times `ts` on the examples (T, n) and on new images (T, m): cross-entropy up to time `switch`,
    spectral decoupling from then on."""
    phases = [Phase(switch, Unregularised()), Phase(jnp.inf, decoupling())]
    run = integrate(KernelFlow(kernels.theta, kernels.y, LOSS, phases), ts, rtol=RTOL)
    if not bool(run.succeeded):
        raise RuntimeError("the kernel flow was not integrated to its end")
    outputs = predict(kernels.between, kernels.y, run.coefficients)
    return np.asarray(run.margins), kernels.y_new * np.asarray(jax.block_until_ready(outputs))


def least_squares(kernels: Kernels) -> np.ndarray:
    """The margins on new images of least squares on the labels, `y_new k(x, X) Theta^-1 y`: the end of any spectral
    decoupling but for a factor."""
    theta, y = np.asarray(kernels.theta), np.asarray(kernels.y)
    return kernels.y_new * (np.asarray(kernels.between) @ scipy.linalg.solve(theta, y, assume_a="pos"))
