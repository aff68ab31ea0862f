"""Two moons under their settings: the decision boundary of a wide network over time, by the flow of its kernel."""

from __future__ import annotations

import dataclasses
import functools
import math
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from gsdyn.data import moons
from gsdyn.features import FeatureBasis
from gsdyn.fixed_points import FixedPoint, fixed_point
from gsdyn.integration import integrate
from gsdyn.kernel_flows import KernelFlow, KernelRun, Phase
from gsdyn.kernels import infinite_ntk
from gsdyn.losses import CrossEntropy
from gsdyn.networks import FullyConnected
from gsdyn.penalties import Mixed, Penalty, Unregularised
from gsdyn.predictions import coefficients, predict

NET = FullyConnected(depth=3, b_std=1.0)
LOSS = CrossEntropy()
EXAMPLES, NEW, FOLLOWED = 132, 400, 5
WIDTH, HEIGHT, CELLS = (-2.0, 2.0), (-2.0, 2.0), 49
RTOL, SINCE = 1e-6, 32
TIMES = np.geomspace(1e-2, 1e4, 73)


@dataclasses.dataclass(frozen=True)
class Settings:
    """Moons with a `margin` along the first axis (negative: they overlap along it), trained until `time` under weight
    decay from the start and spectral decoupling from the time `switch` on; either may be 0."""

    margin: float = 0.1
    decay: float = 0.0
    decoupling: float = 0.0
    switch: float = 10.0
    time: float = 100.0

    @property
    def optimum(self) -> bool:
        """Whether training has an end."""
        return self.decay > 0 or self.decoupling > 0


class Scene(NamedTuple):
    """Data of one margin, its kernel and features, and the kernel to new points and to a grid of points."""

    x: np.ndarray
    y: np.ndarray
    y_new: np.ndarray
    theta: Array
    to_new: Array
    to_grid: Array
    basis: FeatureBasis


class View(NamedTuple):
    """All that the page shows: number `now` of the times is the stopping time.

    - `ts`, (t,). `accuracy`, of the training set and of new points, and the `least_margin`, (t,). `z`: responses of the
      strongest features, (t, FOLLOWED).
    - `outputs`: on the grid at the stopping time, (CELLS, CELLS); `end_outputs` at the optimum, or None.
    """

    scene: Scene
    run: KernelRun
    now: int
    accuracy: np.ndarray
    accuracy_new: np.ndarray
    least_margin: np.ndarray
    z: np.ndarray
    outputs: np.ndarray
    end: FixedPoint | None
    end_outputs: np.ndarray | None


def view(settings: Settings) -> View:
    """Everything about `settings`; what moves of the time leave as it was is kept."""
    scene = scene_of(settings.margin)
    run = _run(dataclasses.replace(settings, time=0.0), settings.time)
    now = int(np.searchsorted(np.asarray(run.ts), settings.time))
    margins = np.asarray(run.margins)
    new = scene.y_new * np.asarray(predict(scene.to_new, scene.y, run.coefficients))
    end, end_outputs = _end(settings.margin, settings.decay, settings.decoupling) if settings.optimum else (None, None)
    return View(
        scene,
        run,
        now,
        (margins > 0).mean(axis=1),
        (new > 0).mean(axis=1),
        margins.min(axis=1),
        margins @ np.asarray(scene.basis.U[:, :FOLLOWED]),
        _on_grid(scene, run.coefficients[now]),
        end,
        end_outputs,
    )


@functools.lru_cache(maxsize=32)
def scene_of(margin: float) -> Scene:
    """The data of one margin with all that depends on them alone."""
    known, new = moons(EXAMPLES, margin=margin), moons(NEW, margin=margin, seed=1)
    theta = infinite_ntk(NET, known.x)
    basis = FeatureBasis.from_kernel(theta, known.y)
    x, y, y_new = (np.asarray(a) for a in (known.x, known.y, new.y))
    to_new, to_grid = infinite_ntk(NET, new.x, known.x), infinite_ntk(NET, jnp.asarray(grid()), known.x)
    return Scene(x, y, y_new, theta, to_new, to_grid, basis)


def grid() -> np.ndarray:
    """The points of the picture, row by row from below, (CELLS^2, 2)."""
    first, second = np.meshgrid(np.linspace(*WIDTH, CELLS), np.linspace(*HEIGHT, CELLS))
    return np.stack([first.ravel(), second.ravel()], axis=1)


@functools.lru_cache(maxsize=64)
def _run(settings: Settings, time: float) -> KernelRun:
    scene = scene_of(settings.margin)
    since = settings.switch * (1 + np.geomspace(1e-3, 1.0, SINCE))  # where spectral decoupling works fast
    ts = np.sort(np.concatenate([TIMES, since, [time]]))
    before = _penalty(settings.decay, 0.0)
    phases = [Phase(settings.switch, before), Phase(math.inf, _penalty(settings.decay, settings.decoupling))]
    return integrate(KernelFlow(scene.theta, scene.y, LOSS, phases), ts, rtol=RTOL)


@functools.lru_cache(maxsize=64)
def _end(margin: float, decay: float, decoupling: float) -> tuple[FixedPoint, np.ndarray]:
    scene = scene_of(margin)
    fp = fixed_point(scene.basis, LOSS, Mixed(decay, decoupling))
    return fp, _on_grid(scene, coefficients(scene.basis, fp))


def _penalty(decay: float, decoupling: float) -> Penalty:
    return Mixed(decay, decoupling) if decay > 0 or decoupling > 0 else Unregularised()


def _on_grid(scene: Scene, beta: Array) -> np.ndarray:
    return np.asarray(predict(scene.to_grid, scene.y, beta)).reshape(CELLS, CELLS)
