"""A wide network in the NTK parameterisation beside the kernel flow: gradient descent under the same schedule."""

from __future__ import annotations

from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float

from gsdyn._traced import checked_beforehand
from gsdyn.experiments._colour_kernel import LOSS, Kernels, accuracies, decoupling, flow_of, kernels_of
from gsdyn.experiments._colour_runs import Data, Task, data_of, single
from gsdyn.experiments._kept import kept
from gsdyn.kernels import empirical_ntk
from gsdyn.networks import FullyConnected
from gsdyn.penalties import Penalty, Unregularised
from gsdyn.training import BinaryObjective, Penalised, train

FAST, FINE, SLOW = 2.0, 0.1, 0.5
"""Learning rates over the strength of the strongest feature: under cross-entropy, in the first steps of spectral
decoupling, and later."""
FINE_STEPS = 300
SCALES = (1.0, 3.0)
"""Weights are so many times as large as the kernel's."""
KERNELS = ("infinite width", "at the start")
SWITCH, END = 20.0, 8.0
"""Time of the switch, and from there to the end."""


class Stretch(NamedTuple):
    """Steps of one rate under one penalty, and after which of them to record."""

    penalty: Penalty
    rate: float
    steps: np.ndarray


class Outputs(eqx.Module):
    """Observes the margins of a network on the examples and on new images, counted from the start."""

    objective: BinaryObjective = eqx.field(static=True)
    x: Float[Array, "N d"]
    y: Float[Array, " N"]
    origin: Float[Array, " N"]

    def __call__(self, params: Any) -> Float[Array, " N"]:
        return self.y * (self.objective.apply(params, self.x) - self.origin)


def schedule(strength: float, switch: float, end: float) -> list[Stretch]:
    """Cross-entropy up to time `switch`, spectral decoupling for `end` more, in steps that are small for the kernel."""
    first = max(1, round(switch * strength / FAST))
    last = max(1, round((end - FINE_STEPS * FINE / strength) * strength / SLOW))
    return [
        Stretch(Unregularised(), switch / first, _even(first)),
        Stretch(decoupling(), FINE / strength, _even(FINE_STEPS)),
        Stretch(decoupling(), SLOW / strength, _even(last)),
    ]


def times(stretches: list[Stretch]) -> np.ndarray:
    """The times of the records, learning rate times steps."""
    parts, past = [], 0.0
    for _, rate, steps in stretches:
        parts.append(past + rate * steps)
        past = parts[-1][-1]
    return np.concatenate(parts)


def descended(
    data: Data, stretches: list[Stretch], width: int, seed: int, scale: float
) -> tuple[np.ndarray, np.ndarray]:
    """The margins of the network at those times, on the examples (T, n) and on new images (T, m).

    Weights are `scale` times as large as those of `kernels_of`, and so the kernel `scale^6` times, and time as much
    shorter: the flow of the kernel is the same, but parameters move less, by `scale^-3`, and change the kernel less.
    """
    net = FullyConnected(depth=3, width=width, w_std=scale * 2**0.5)
    clock = scale**6
    plain = BinaryObjective(net.apply, LOSS, mean=False)
    x, y = (np.concatenate([np.asarray(a), np.asarray(b)]) for a, b in zip(data.train[:2], data.test[:2], strict=True))
    x, y, n = single(x), single(y), len(data.train.y)
    params = net.init(jax.random.key(seed), x.shape[1], jnp.float32)
    origin = net.apply(params, x)
    looks, found = Outputs(plain, x, y, origin), []
    for penalty, rate, steps in stretches:
        objective = Penalised(plain, penalty)
        batch = objective.columns(x[:n], y[:n], origin[:n])
        # the penalty is in the columns: one program for all of them
        run = _descend(
            params, Penalised(plain, Unregularised()), batch, single(rate / clock), jnp.asarray(steps), looks
        )
        params = run[0]
        found.append(np.asarray(run[1], float))
    margins = np.concatenate(found)
    return margins[:, :n], margins[:, n:]


class Beside(NamedTuple):
    """Accuracies of kernel flows (kernel, T, row) and of networks (scale, T, row) at the same times (T,)."""

    time: np.ndarray
    kernel: np.ndarray
    network: np.ndarray


def beside(task: Task, examples: int, width: int, seed: int = 0) -> Beside:
    """Networks of a `width`, each kept, and the flows of the kernel at infinite width and of theirs at the start.

    On `examples` images: the steps that gradient descent needs grow with them.
    """
    data = data_of(task.source, examples, task.test, seed)
    infinite = kernels_of(data)
    stretches = schedule(infinite.strength, SWITCH, END)
    ts = times(stretches)
    found = []
    for scale in SCALES:
        words = {**task.words(), "train": examples, "width": width, "scale": scale, "seed": seed}
        path = task.path(f"wide-{examples}-{width}-{scale:g}-{seed}")
        run = kept(path, words, lambda scale=scale: _network(data, stretches, width, seed, scale))
        found.append(run["accuracy"])
    flows = [accuracies(data, *flow_of(k, SWITCH, ts)) for k in (infinite, _at_the_start(data, width, seed))]
    return Beside(ts, np.stack(flows), np.stack(found))


def _at_the_start(data: Data, width: int, seed: int) -> Kernels:
    """The kernels of the network of a seed before it is trained, with weights of the usual size."""
    net = FullyConnected(depth=3, width=width)
    params = net.init(jax.random.key(seed), data.train.x.shape[1], jnp.float32)
    params = jax.tree.map(lambda part: part.astype(float), params)
    between = empirical_ntk(net, params, data.test.x, data.train.x)
    return Kernels(empirical_ntk(net, params, data.train.x), between, data)


def _network(data: Data, stretches: list[Stretch], width: int, seed: int, scale: float) -> dict[str, np.ndarray]:
    return {"accuracy": accuracies(data, *descended(data, stretches, width, seed, scale))}


def _even(steps: int, count: int = 30) -> np.ndarray:
    """`count` steps, evenly in the logarithm: as many for any `steps`, so that one program serves all."""
    return np.geomspace(1, steps, count).round().astype(int)


@eqx.filter_jit
def _train(
    params: Any, objective: Penalised, data: Any, rate: Array, steps: Array, looks: Outputs
) -> tuple[Any, Array]:
    run = train(params, objective, data, optax.sgd(rate), steps, observe=looks)
    return run.params, run.observed


def _descend(*arguments: Any) -> tuple[Any, Array]:
    with checked_beforehand():
        return _train(*arguments)
