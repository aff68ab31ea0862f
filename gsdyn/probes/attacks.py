"""Attacks: they look for the smallest perturbation that changes a network's decision."""

from __future__ import annotations

import abc
from collections.abc import Callable
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from gsdyn import _checks
from gsdyn.probes.norms import Norm

HALVINGS = 40
"""Of the way to a changed decision, where an attack ends."""


class Task(eqx.Module):
    """What an attack works on.

    - `held`: from points (n, d), one beside each example, to numbers that are positive while its decision holds.
    - `aim`: likewise, to the lead over one other decision: a different one for each number, by turns.
    - `x`: the examples (n, d). `norm`: how perturbations are measured. `bounds`: the least and the largest input.
    """

    held: Callable[[Array], Array]
    aim: Callable[[Array, Array], Array]
    x: Float[Array, "n d"]
    norm: Norm
    bounds: tuple[float, float] | None

    def inside(self, point: Float[Array, "n d"]) -> Float[Array, "n d"]:
        """The nearest allowed points. Nothing that was within a radius of an example leaves it."""
        return point if self.bounds is None else jnp.clip(point, *self.bounds)

    def better(self, best: Best, point: Float[Array, "n d"]) -> Best:
        """The best so far, or the points where they change the decision nearer to their examples."""
        distance = self.norm.length(point - self.x)
        wins = (self.held(point) <= 0) & (distance < best.distance)
        return Best(jnp.where(wins, distance, best.distance), jnp.where(wins[:, None], point, best.point))

    def shortened(self, best: Best) -> Best:
        """The best so far, moved along the segment to its example to where the decision changes."""

        def halve(_, ends):
            low, high = ends
            middle = (low + high) / 2
            changed = self.held(self.x + middle[:, None] * (best.point - self.x)) <= 0
            return jnp.where(changed, low, middle), jnp.where(changed, middle, high)

        ends = jnp.zeros_like(best.distance), jnp.ones_like(best.distance)
        _, high = jax.lax.fori_loop(0, HALVINGS, halve, ends)
        return self.better(best, self.x + high[:, None] * (best.point - self.x))


class Best(NamedTuple):
    """The nearest points of another decision so far: their distances, and the points; at first at `reach`."""

    distance: Float[Array, " n"]
    point: Float[Array, "n d"]


class Attack(eqx.Module):
    """A search for nearby points of another decision.

    >>> attacks = [gs.probes.PGD(5, 2), gs.probes.Search(20, 5)]
    >>> found = gs.probes.adversarial_margin(net.apply, params, x, y, jax.random.key(0), attacks=attacks)
    >>> print(found.by_attack.shape)
    (2, 4)
    """

    @abc.abstractmethod
    def improve(self, task: Task, best: Best, key: PRNGKeyArray) -> Best:
        """Points at most as far as the best so far."""


class PGD(Attack):
    """Projected gradient descent on the decision's own value, which no loss can flatten.

    Every restart takes `steps` steps of steepest descent, of lengths that fall to zero, inside the ball of the smallest
    distance found so far, and ends by bisection along the segment to the example. They begin by turns from the example,
    from a random point of the ball and from the best point. Of C classes every three restarts aim at another, so that
    it takes 3C restarts to try them all. A network whose gradient vanishes or misleads is not attacked well: compare
    with `Search`.

    Reference: Madry et al., Towards deep learning models resistant to adversarial attacks (2018).

        >>> print(gs.probes.PGD(steps=5, restarts=2))
        PGD(steps=5, restarts=2)
    """

    steps: int = eqx.field(static=True, default=40)
    restarts: int = eqx.field(static=True, default=12)

    def __check_init__(self) -> None:
        _checks.integer("steps", self.steps, 1)
        _checks.integer("restarts", self.restarts, 1)

    def improve(self, task: Task, best: Best, key: PRNGKeyArray) -> Best:
        def restart(best: Best, part: tuple[Array, PRNGKeyArray]) -> tuple[Best, None]:
            number, key = part
            radius = best.distance
            direction, length = jax.random.split(key)
            away = task.norm.random(direction, task.x) * jax.random.uniform(length, radius.shape, radius.dtype)[:, None]
            begin = jnp.where(number % 3 == 1, task.x + radius[:, None] * away, best.point)
            begin = task.inside(jnp.where(number % 3 == 0, task.x, begin))

            def step(i: Array, state: tuple[Array, Best]) -> tuple[Array, Best]:
                point, best = state
                slope = jax.grad(lambda point: jnp.sum(task.aim(point, number // 3)))(point)
                size = 4 * radius / self.steps * (1 - i.astype(radius.dtype) / self.steps)
                point = point - size[:, None] * task.norm.steepest(slope)
                point = task.inside(task.x + task.norm.onto(point - task.x, radius))
                return point, task.better(best, point)

            _, best = jax.lax.fori_loop(0, self.steps, step, (begin, best))
            return task.shortened(best), None

        numbers = jnp.arange(self.restarts), jax.random.split(key, self.restarts)
        return jax.lax.scan(restart, best, numbers)[0]


class Search(Attack):
    """An attack that sees decisions alone, no gradient: random search for the direction of the nearest change.

    It begins with the nearest example of another decision, or one of `tries` random directions, and then `steps` times
    turns every direction a little at random and keeps what changes the decision nearer; the turns adapt to how often
    that succeeds. Slower to converge than `PGD`, above all in many dimensions, but what it finds masks no gradient.

        >>> print(gs.probes.Search(steps=20, tries=5))
        Search(steps=20, tries=5)
    """

    steps: int = eqx.field(static=True, default=500)
    tries: int = eqx.field(static=True, default=50)

    def __check_init__(self) -> None:
        _checks.integer("steps", self.steps, 1)
        _checks.integer("tries", self.tries, 1)

    def improve(self, task: Task, best: Best, key: PRNGKeyArray) -> Best:
        first, then = jax.random.split(key)
        best = task.shortened(self._begin(task, best, first))

        def turn(state: tuple[Best, Array], key: PRNGKeyArray) -> tuple[tuple[Best, Array], None]:
            best, angle = state
            direction = task.norm.unit(best.point - task.x)
            direction = task.norm.unit(direction + angle[:, None] * task.norm.random(key, task.x))

            def at(radius: Array) -> Array:
                return task.inside(task.x + radius[:, None] * direction)

            def halve(_, ends):
                low, high = ends
                middle = (low + high) / 2
                changed = task.held(at(middle)) <= 0
                return jnp.where(changed, low, middle), jnp.where(changed, middle, high)

            _, radius = jax.lax.fori_loop(0, 8, halve, (0.9 * best.distance, best.distance))
            found = task.better(best, at(radius))
            angle = jnp.where(found.distance < best.distance, 1.2 * angle, 0.97 * angle)
            return (found, jnp.clip(angle, 1e-4, 1.0)), None

        state = best, jnp.full_like(best.distance, 0.5)
        best, _ = jax.lax.scan(turn, state, jax.random.split(then, self.steps))[0]
        return task.shortened(best)

    def _begin(self, task: Task, best: Best, key: PRNGKeyArray) -> Best:
        def attempt(best: Best, key: PRNGKeyArray) -> tuple[Best, None]:
            away = best.distance[:, None] * task.norm.random(key, task.x)
            return task.better(best, task.inside(task.x + away)), None

        def other(best: Best, shift: Array) -> tuple[Best, None]:
            return task.better(best, jnp.roll(task.x, shift, axis=0)), None

        best = jax.lax.scan(other, best, jnp.arange(1, task.x.shape[0]))[0]
        return jax.lax.scan(attempt, best, jax.random.split(key, self.tries))[0]
