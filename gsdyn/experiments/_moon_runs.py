"""What P21's two-moons experiments share: a variant of training, its runs over seeds, and how they are judged."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array

from gsdyn import _checks
from gsdyn._progress import Progress
from gsdyn.data import moons
from gsdyn.experiments import _moon_nets as nets
from gsdyn.experiments._kept import kept
from gsdyn.penalties import Mixed, SpectralDecoupling, WeightDecay
from gsdyn.probes import input_margin
from gsdyn.training import BinaryObjective, Checkpoint, Keyed, Penalised, train

EXAMPLES = 300
RATE, MOMENTUM = 0.01, 0.9
GRID = np.linspace(-2.0, 2.0, 100, dtype=np.float32)
PLAIN = BinaryObjective(nets.logits)
NORMALISED = BinaryObjective(nets.normalised_logits)
PIECE = 2000
"""Steps between checkpoints."""


@functools.cache
def momentum(rate: float = RATE) -> optax.GradientTransformation:
    """Gradient descent with the paper's momentum; one object for each rate, so that it compiles once."""
    return optax.sgd(rate, momentum=MOMENTUM)


@functools.cache
def adam(rate: float) -> optax.GradientTransformation:
    """Adam, one object for each rate."""
    return optax.adam(rate)


@dataclasses.dataclass(frozen=True)
class Variant:
    """One way to train on the moons: what the paper varies, at its other settings.

    - `decay`: an optimiser's weight decay, `(decay/2) |theta|^2` beside the mean loss; it pulls to zero.
    - `decoupling`: the coefficient of `mean(yhat^2)` beside the mean loss.
    - `longer`: how many times as many steps.
    """

    name: str
    margin: float = 0.1
    rotation: float = 0.0
    decay: float = 0.0
    decoupling: float = 0.0
    longer: int = 1
    sizes: tuple[int, ...] = (2, 500, 1)
    dropout: float = 0.0
    normalise: bool = False
    optimizer: Callable[[], optax.GradientTransformation] = momentum

    @property
    def costly(self) -> bool:
        """Whether a run takes many times as long as a usual one."""
        return self.longer > 1 or len(self.sizes) > 3

    def data(self, seed: int) -> tuple[Array, Array]:
        """Inputs and labels."""
        x, y = moons(EXAMPLES, margin=self.margin, seed=seed, rotation=self.rotation)
        return jnp.asarray(x, jnp.float32), jnp.asarray(y, jnp.float32)

    def start(self, seed: int) -> nets.Weights | nets.Normalised:
        """The network before training."""
        return (nets.normalised if self.normalise else nets.dense)(jax.random.key(seed), self.sizes)

    def objective(self) -> Any:
        """What is minimised."""
        if self.dropout:
            return nets.DropoutLoss(self.dropout)
        plain = NORMALISED if self.normalise else PLAIN
        penalty = self.penalty()
        return plain if penalty is None else Penalised(plain, penalty)

    def penalty(self) -> Mixed | SpectralDecoupling | WeightDecay | None:
        """The penalty beside the sum of the losses, as the theory has it."""
        decay, decoupling = self.decay * EXAMPLES, 2 * self.decoupling
        if decay and decoupling:
            return Mixed(decay, decoupling)
        if decoupling:
            return SpectralDecoupling(decoupling)
        return WeightDecay(decay) if decay else None


def file_name(variant: Variant, seed: int) -> str:
    """What the files of a run are called."""
    return f"{variant.name.replace(' ', '-')}-{seed}"


class Trained(NamedTuple):
    """What `observe` saw of one run at every recorded step, and the network at the last."""

    observed: Any
    params: Any


def trained(
    variant: Variant,
    seed: int,
    steps: Sequence[int],
    observe: Callable[[Any], Any],
    runs: Path | None,
) -> Trained:
    """One run, recorded after `steps` times `longer`. With a folder `runs` it is kept there and never done twice."""
    data, objective = variant.data(seed), variant.objective()
    if isinstance(objective, Penalised):
        data = objective.columns(*data)
    batches, key = (Keyed(), jax.random.key(seed + 1_000_000)) if variant.dropout else (None, None)
    path = None if runs is None else runs / f"{file_name(variant, seed)}.npz"
    run = train(
        variant.start(seed),
        objective,
        data,
        variant.optimizer(),
        np.asarray(steps) * variant.longer,
        observe=observe,
        batches=batches,
        key=key,
        checkpoint=None if path is None else Checkpoint(path, PIECE),
    )
    return Trained(run.observed, run.params)


def each_run(
    stage: str,
    variants: Sequence[Variant],
    seeds: int,
    progress: Progress,
    one: Callable[[Variant, int], Any],
    costly_seeds: int | None = None,
) -> list[list[Any]]:
    """`one(variant, seed)` for all of them, the quick ones first; None for costly variants beyond `costly_seeds`."""
    limit = seeds if costly_seeds is None else min(seeds, costly_seeds)
    cells = [(i, s) for s in range(seeds) for i, v in enumerate(variants) if s < limit or not v.costly]
    done: dict[tuple[int, int], Any] = {}
    for i, seed in sorted(cells, key=lambda cell: (variants[cell[0]].costly, cell[1])):
        progress(stage, len(done), len(cells))
        done[i, seed] = one(variants[i], seed)
    progress(stage, len(cells), len(cells))
    return [[done.get((i, seed)) for seed in range(seeds)] for i in range(len(variants))]


class Judged(NamedTuple):
    """A trained network: its logits on the grid, whose first axis is the first coordinate; its margins in input space
    (signed, negative for examples on the wrong side); its accuracy and mean loss on the training data."""

    grid: np.ndarray
    margin: np.ndarray
    accuracy: np.ndarray
    loss: np.ndarray


def judged(variant: Variant, seed: int, step: int, params: Any, runs: Path | None) -> Judged:
    """How a network of `variant` does on its training data after `step` steps; kept in the folder `runs`."""

    def compute() -> dict[str, np.ndarray]:
        x, y = variant.data(seed)
        layers = nets.plain(params, x)
        margin = input_margin(nets.logits, layers, x, y).margin
        grid, accuracy, loss = _looks(layers, x, y)
        found = {"grid": grid, "margin": margin, "accuracy": accuracy, "loss": loss}
        return {name: np.asarray(value) for name, value in found.items()}

    path = None if runs is None else runs / f"{file_name(variant, seed)}-judged-{step}.npz"
    return Judged(**kept(path, {"variant": variant.name, "seed": seed, "step": step}, compute))


@eqx.filter_jit
def _looks(layers: nets.Weights, x: Array, y: Array) -> tuple[Array, Array, Array]:
    first, second = jnp.meshgrid(jnp.asarray(GRID), jnp.asarray(GRID), indexing="ij")
    plane = jnp.stack([first.ravel(), second.ravel()], axis=1)
    f = y * nets.logits(layers, x)
    return nets.logits(layers, plane).reshape(first.shape), jnp.mean(f > 0), jnp.mean(jax.nn.softplus(-f))


def check(seeds: int, steps: int) -> None:
    """The number of seeds and of steps."""
    _checks.integer("seeds", seeds, 1)
    _checks.integer("steps", steps, 1)
