"""A flow from a kernel, from phase to phase and step to step, with what is saved on the way."""

from __future__ import annotations

from typing import NamedTuple, Protocol

import jax
import jax.numpy as jnp
from jaxtyping import Array

from gsdyn._integration.kernel_corrections import CORRECTIONS
from gsdyn._integration.kernel_steps import RADAU, STAGES, Stages, attempt
from gsdyn._integration.kernel_systems import Force, Problem, Pull, largest
from gsdyn.losses import Loss

FIRST = 8.0  # of the first step, over what the fastest rate alone would ask for
GROWTH = 5.0  # of a step over the one before it
SHRINK = 0.25
SAFETY = 0.9


class Phases(NamedTuple):
    """Penalties one after the other: their ends, and `lam_1`, `lam_2` and pull of each, (p,), (p, n or 1) twice."""

    ends: Array
    lam1: Array
    curvature: Array
    pull: Array

    def force(self, loss: Loss, i: Array) -> Force:
        return Force(loss, self.lam1[i], self.curvature[i], self.pull[i])


class Schedule(Protocol):
    """Forces one after the other: of `Phases`, or of what goes beside them."""

    @property
    def ends(self) -> Array: ...

    def force(self, loss: Loss, i: Array) -> Pull: ...


class State(NamedTuple):
    """Where a flow is: time, phase, coefficients and margins; the step to try; the last step's length and increments,
    from which the next one's are foreseen; the rate of its corrections; steps and failures."""

    t: Array
    phase: Array
    beta: Array
    f: Array
    h: Array
    last: Array
    Z: Array
    KZ: Array
    rate: Array
    accepted: Array
    rejected: Array
    stuck: Array


class Pieces(NamedTuple):
    """The first steps of a flow: when each begins and how long it takes, (q,), coefficients at its begin, (q, ...), and
    increments at its stages, (q, ..., s). Steps that there weren't begin at infinity."""

    begin: Array
    length: Array
    beta: Array
    Z: Array

    @classmethod
    def room(cls, count: int, beta: Array) -> Pieces:
        """For so many steps from `beta`."""
        never = jnp.full(count, jnp.inf, beta.dtype)
        Z = jnp.zeros((count, *beta.shape, STAGES), beta.dtype)
        return cls(never.at[:1].set(0.0), jnp.ones_like(never), jnp.broadcast_to(beta, (count, *beta.shape)), Z)

    def put(self, s: State, then: State) -> Pieces:
        """With the step from `s` to `then`, if it is one and there is room for it."""
        i = jnp.where(then.accepted > s.accepted, s.accepted, len(self.begin))
        values = Pieces(s.t, then.last, s.beta, then.Z)
        return jax.tree.map(lambda a, b: a.at[i].set(b, mode="drop"), self, values)

    def at(self, t: Array) -> Array:
        """The coefficients at times `t`, (q,)."""
        i = jnp.maximum(jnp.searchsorted(self.begin, t, side="right") - 1, 0)

        def one(t: Array, i: Array) -> Array:
            return part_way(self.beta[i], self.Z[i], (t - self.begin[i]) / self.length[i])

        return jax.lax.map(lambda given: one(*given), (t, i))


def part_way(beta: Array, Z: Array, part: Array) -> Array:
    """The coefficients at a part of a step from `beta` with increments `Z` at its stages."""
    return beta + (Z @ RADAU.weights(jnp.clip(part, 0.0, 1.0)[None]).T)[..., 0]


class Path(NamedTuple):
    """Coefficients and margins at the times asked for, how many of these were reached (`count`), the steps that were
    kept, how many were accepted and rejected, and whether they became too small (`stuck`)."""

    saved: Array
    margins: Array
    count: Array
    pieces: Pieces
    accepted: Array
    rejected: Array
    stuck: Array


def follow(problem: Problem, loss: Loss, phases: Schedule, beta: Array, ts: Array, limit: Array, room: int) -> Path:
    """The flow from coefficients `beta` at time 0, saved at times `ts`, which increase, in at most `limit` steps, of
    which the first `room` are kept."""
    way = _Way(problem, loss, phases, ts)
    f = problem.product(beta)
    h = first_step(problem, phases.force(loss, jnp.zeros((), jnp.int32)), f)
    none, nothing = jnp.zeros((), jnp.int32), jnp.zeros((*beta.shape, STAGES), beta.dtype)
    start = State(
        t=jnp.zeros((), ts.dtype), phase=none, beta=beta, f=f, h=h, last=h, Z=nothing, KZ=nothing,
        rate=jnp.asarray(0.5, h.dtype), accepted=none, rejected=none,
        stuck=jnp.zeros((), bool),
    )  # fmt: skip
    # times of zero are known at once
    known = (ts <= 0).reshape((-1,) + (1,) * beta.ndim)
    saved = jnp.where(known, beta[None], 0.0), jnp.sum(ts <= 0, dtype=jnp.int32)

    def go(at: tuple[State, tuple[Array, Array], Pieces]) -> Array:
        s, (_, count), _ = at
        return (count < len(ts)) & (s.accepted + s.rejected < limit) & ~s.stuck

    def move(at: tuple[State, tuple[Array, Array], Pieces]) -> tuple[State, tuple[Array, Array], Pieces]:
        s, saved, pieces = at
        then = jax.lax.cond(s.t < phases.ends[s.phase], way.step, way.turn, s)
        return then, way.save(s, then, saved), pieces.put(s, then) if room else pieces

    end, (saved, count), pieces = jax.lax.while_loop(go, move, (start, saved, Pieces.room(room, beta)))
    margins = jnp.moveaxis(problem.product(jnp.moveaxis(saved, 0, -1)), -1, 0)
    return Path(saved, margins, count, pieces, end.accepted, end.rejected, end.stuck)


class _Way(NamedTuple):
    """What does not change on the way."""

    problem: Problem
    loss: Loss
    phases: Schedule
    ts: Array

    def turn(self, s: State) -> State:
        """On to the next phase, with steps that start anew."""
        phase = jnp.minimum(s.phase + 1, len(self.phases.ends) - 1)
        h = first_step(self.problem, self.phases.force(self.loss, phase), s.f)
        return s._replace(phase=phase, h=h, last=h, Z=jnp.zeros_like(s.Z), KZ=jnp.zeros_like(s.KZ))

    def step(self, s: State) -> State:
        """A step, or where that fails a shorter one to try."""
        problem, force = self.problem, self.phases.force(self.loss, s.phase)
        end = jnp.minimum(self.phases.ends[s.phase], self.ts[-1])
        left = end - s.t
        h = jnp.where(s.h < left, jnp.minimum(s.h, jnp.maximum(left / 2, 0.9 * s.h)), left)
        ahead = RADAU.weights(1 + jnp.asarray(RADAU.nodes, h.dtype) * (h / s.last))
        guess = s.Z @ ahead.T - s.Z[..., -1:], s.KZ @ ahead.T - s.KZ[..., -1:]
        stages = attempt(problem, force, s.beta, s.f, h, guess, s.rate)
        good = stages.error <= 1
        factor = SAFETY * stages.error ** (-1 / (STAGES + 1))
        factor = jnp.minimum(jnp.clip(factor, SHRINK, GROWTH), longest(stages))
        new = s._replace(h=h * jnp.where(good, factor, jnp.minimum(factor, SAFETY)), rate=tame(stages))
        t = jnp.where(h < left, s.t + h, end)
        return jax.lax.cond(good, lambda: _accepted(new, stages, h, t), lambda: _rejected(new))

    def save(self, s: State, then: State, saved: tuple[Array, Array]) -> tuple[Array, Array]:
        """What is saved, with that on the step from `s` to `then`."""
        ts = self.ts

        def within(state: tuple[Array, Array]) -> Array:
            _, i = state
            return (i < len(ts)) & (ts[jnp.minimum(i, len(ts) - 1)] <= then.t)

        def put(state: tuple[Array, Array]) -> tuple[Array, Array]:
            saved, i = state
            return saved.at[i].set(part_way(s.beta, then.Z, (ts[i] - s.t) / then.last)), i + 1

        return jax.lax.while_loop(within, put, saved)


def _accepted(s: State, stages: Stages, h: Array, t: Array) -> State:
    Z, KZ = stages.Z, stages.KZ
    return s._replace(
        t=t, beta=s.beta + Z[..., -1], f=s.f + KZ[..., -1], last=h, Z=Z, KZ=KZ, accepted=s.accepted + 1,
    )  # fmt: skip


def _rejected(s: State) -> State:
    small = 16 * float(jnp.finfo(s.t.dtype).eps) * s.t
    return s._replace(rejected=s.rejected + 1, stuck=~(s.h > small))


def first_step(problem: Problem, force: Pull, f: Array) -> Array:
    """A step on the scale of the fastest rate of the flow."""
    rate = problem.lead.strengths[0] * largest(force.bend(f)) + force.lam1
    part = FIRST * problem.rtol ** (1 / (STAGES + 1))
    return jnp.minimum(part / jnp.maximum(rate, jnp.finfo(f.dtype).tiny), jnp.finfo(f.dtype).max ** 0.5)


def longest(stages: Stages) -> Array:
    """The factor of the step with which half of the corrections that there may be would do: as many as the root of its
    length."""
    share = CORRECTIONS / 2 / jnp.maximum(stages.count, 1).astype(stages.rate.dtype)
    return jnp.where(stages.found, jnp.clip(share**2, SHRINK, GROWTH), SHRINK)


def tame(stages: Stages) -> Array:
    """The rate that the next step's corrections are taken to have until they show it; one alone does not tell."""
    rate = jnp.where(stages.count > 1, stages.rate, stages.rate / 2)
    return jnp.clip(jnp.where(jnp.isfinite(rate), rate, 0.9), 0.1, 0.9)
