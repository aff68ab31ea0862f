"""Coloured digits by their kernel alone: the networks' schedule, where it ends, and which features go when."""

from __future__ import annotations

import itertools
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
import scipy.linalg
from jaxtyping import Array, Float

from gsdyn.data import Coloured
from gsdyn.experiments._colour_runs import Data, Task
from gsdyn.experiments._kept import kept
from gsdyn.features import FeatureBasis
from gsdyn.integration import integrate
from gsdyn.kernel_flows import KernelFlow, Phase
from gsdyn.kernels import infinite_ntk
from gsdyn.losses import CrossEntropy
from gsdyn.networks import FullyConnected
from gsdyn.penalties import SpectralDecoupling, Unregularised
from gsdyn.predictions import feature_functions, predict
from gsdyn.special import r_lambertw

LOSS = CrossEntropy()
RTOL = 1e-5
STRENGTH = 2.0
"""Of spectral decoupling for each example: `mean(yhat^2)` beside the mean loss, in a sum with a factor of one half."""
AFTER = np.geomspace(1e-4, 100, 73)
"""Times since the switch."""
BEFORE = np.geomspace(1e-4, 1, 40)
"""Times before the switch, as shares of its own."""
ACCURACIES = tuple(f"{name}, {group}" for name in ("train", "test") for group in ("all", "aligned", "conflicting"))
EDGES = (10, 30, 100, 300, 1000)


class Kernels(NamedTuple):
    """The NTK of the infinitely wide network between the examples, and between new images and them."""

    theta: Float[Array, "n n"]
    between: Float[Array, "m n"]
    data: Data

    @property
    def strength(self) -> float:
        """The square of the strength of the strongest feature."""
        n = self.theta.shape[0]
        (top,) = scipy.linalg.eigh(np.asarray(self.theta), eigvals_only=True, subset_by_index=[n - 1, n - 1])
        return float(top)


def kernels_of(data: Data) -> Kernels:
    """The kernels of images in two channels under three dense layers of ReLU."""
    net = FullyConnected(depth=3)
    return Kernels(infinite_ntk(net, data.train.x), infinite_ntk(net, data.test.x, data.train.x), data)


def decoupling() -> SpectralDecoupling:
    """The penalty after the switch."""
    return SpectralDecoupling(STRENGTH)


def flow_of(kernels: Kernels, switch: float, ts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Margins at the times `ts` on the examples (T, n) and on new images (T, m): cross-entropy up to time `switch`,
    spectral decoupling from then on."""
    train, _, test = kernels.data
    phases = [Phase(switch, Unregularised()), Phase(jnp.inf, decoupling())]
    run = integrate(KernelFlow(kernels.theta, train.y, LOSS, phases), ts, rtol=RTOL)
    if not bool(run.succeeded):
        raise RuntimeError("the kernel flow was not integrated to its end")
    outputs = np.asarray(predict(kernels.between, train.y, run.coefficients))
    return np.asarray(run.margins), np.asarray(test.y)[None, :] * outputs


def accuracies(data: Data, train: np.ndarray, test: np.ndarray) -> np.ndarray:
    """Accuracy (T, row) of margins on the examples and on new images: all, aligned and conflicting of each."""
    rows = []
    for part, margins in ((data.train, train), (data.test, test)):
        right, agrees = margins > 0, np.asarray(part.y * part.colour) > 0
        rows += [right.mean(axis=1), right[:, agrees].mean(axis=1), right[:, ~agrees].mean(axis=1)]
    return np.stack(rows, axis=1)


def mean_loss(margins: np.ndarray) -> np.ndarray:
    """The mean cross-entropy at every time."""
    return np.logaddexp(0, -margins).mean(axis=1)


class Path(NamedTuple):
    """The kernel flow of a seed.

    - `switch`: the time at which its loss is that of the networks at their switch.
    - `before` (T, row), `before_loss` (T,): at the times `switch BEFORE`. `after` (T, row): at `switch + AFTER`.
    - `end` (row,): least squares on the labels, where it ends.
    """

    switch: np.ndarray
    before: np.ndarray
    before_loss: np.ndarray
    after: np.ndarray
    end: np.ndarray


def path_of(task: Task, seed: int, loss: float) -> Path:
    """The kernel flow that switches where its mean loss is `loss`; kept."""

    def compute() -> dict[str, np.ndarray]:
        kernels = kernels_of(task.data(seed))
        switch = _time_of(kernels, loss)
        ts = np.concatenate([switch * BEFORE, switch + AFTER])
        train, test = flow_of(kernels, switch, ts)
        found, count = accuracies(kernels.data, train, test), len(BEFORE)
        return {
            "switch": np.asarray(switch),
            "before": found[:count],
            "before_loss": mean_loss(train[:count]),
            "after": found[count:],
            "end": _least_squares(kernels),
        }

    return Path(**kept(task.path(f"kernel-{seed}"), {**task.words(), "seed": seed, "loss": round(loss, 6)}, compute))


def _time_of(kernels: Kernels, loss: float) -> float:
    """When the flow of cross-entropy has a mean loss of `loss`."""
    ts = np.geomspace(0.1, 300, 50)
    run = integrate(KernelFlow(kernels.theta, kernels.data.train.y, LOSS, Unregularised()), ts, rtol=RTOL)
    return float(np.exp(np.interp(-loss, -mean_loss(np.asarray(run.margins)), np.log(ts))))


def _least_squares(kernels: Kernels) -> np.ndarray:
    """Accuracy of least squares on the labels, `k(x, X) Theta^-1 y`: the end of any spectral decoupling."""
    train, _, test = kernels.data
    y = np.asarray(train.y)
    solved = scipy.linalg.solve(np.asarray(kernels.theta), y, assume_a="pos")
    margins = np.asarray(test.y) * (np.asarray(kernels.between) @ solved)
    return accuracies(kernels.data, np.ones((1, len(y))), margins[None])[0]


class Unlearnt(NamedTuple):
    """What happens to the features after the switch, in bands of similar strength.

    - `bands`: their names, the first the feature that is the colour. `colour`: its number. `r2`: how much of
      `colour * label` it is.
    - `left` (band, T): the distance of the responses from their end, over that at the switch.
    - `part` (band, T): what the band adds to the mean margin of the new images whose colour conflicts with the label.
    """

    bands: np.ndarray
    colour: np.ndarray
    r2: np.ndarray
    left: np.ndarray
    part: np.ndarray


def unlearnt(task: Task, seed: int, switch: float) -> Unlearnt:
    """The features of the kernel of a seed after the switch; kept."""

    def compute() -> dict[str, np.ndarray]:
        kernels = kernels_of(task.data(seed))
        train, test = kernels.data.train, kernels.data.test
        basis = FeatureBasis.from_kernel(kernels.theta, train.y)
        U = np.asarray(basis.U)
        share = (U.T @ np.asarray(train.y * train.colour)) ** 2 / len(U)
        colour = int(np.argmax(share))
        margins, _ = flow_of(kernels, switch, switch + np.concatenate([[0.0], AFTER]))
        z = margins @ U
        end = float(r_lambertw(1 / STRENGTH))  # the margin of every example: sigma(-f) = STRENGTH f
        away = z - end * U.sum(axis=0)
        weight = _conflicting_means(basis, kernels, test)
        names, members = _bands(colour, len(basis.s))
        left = np.array([np.linalg.norm(away[:, m], axis=1) for m in members])
        part = np.array([z[:, m] @ weight[m] for m in members])
        return {
            "bands": np.array(names),
            "colour": np.asarray(colour + 1),
            "r2": np.asarray(share[colour]),
            "left": left[:, 1:] / left[:, :1],
            "part": part[:, 1:],
        }

    words: dict[str, Any] = {**task.words(), "seed": seed, "switch": round(switch, 6)}
    return Unlearnt(**kept(task.path(f"features-{seed}"), words, compute))


def _conflicting_means(basis: FeatureBasis, kernels: Kernels, test: Coloured) -> np.ndarray:
    """The mean of every feature, times the label, over the new images whose colour conflicts with it."""
    functions = np.asarray(feature_functions(basis, kernels.between, kernels.data.train.y))
    y, against = np.asarray(test.y), np.asarray(test.y * test.colour) < 0
    return (y[against, None] * functions[against]).mean(axis=0)


def _bands(colour: int, count: int) -> tuple[list[str], list[np.ndarray]]:
    """The colour alone, then all other features cut at `EDGES`."""
    names, members = [f"the colour ({colour + 1})"], [np.array([colour])]
    edges = [0, *(edge for edge in EDGES if edge < count), count]
    for low, high in itertools.pairwise(edges):
        own = np.setdiff1d(np.arange(low, high), [colour])
        names.append(f"{own[0] + 1}-{high}")
        members.append(own)
    return names, members
