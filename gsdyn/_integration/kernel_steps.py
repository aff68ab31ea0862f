"""Implicit steps of a flow in the coefficients of a kernel, `beta' = a(K beta) - lam_2 K beta + pull - lam_1 beta`.

Five stages of the Radau IIA method at once, because products of a large kernel with five vectors take hardly longer
than with one. Their systems, `A^-1/h + lam_1 + D K` with the curvature `D` of loss and penalty at the middle of the
step, are solved by corrections (`kernel_corrections`), and so is that of the error, with the real mode of `A^-1`.

Errors are measured in the norm of the kernel: an error `e` of the coefficients changes the output at an input x by at
most `sqrt(k(x, x) e^T K e)`. What rounding does to the velocity at the start is no error of a step: where that is all
there is, as after a flow has arrived, steps grow.
"""

from __future__ import annotations

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from gsdyn._integration import kernel_corrections
from gsdyn._integration.kernel_corrections import Rest
from gsdyn._integration.kernel_systems import Modes, Problem, Pull, System, velocity
from gsdyn._numerics.radau import radau

STAGES = 5
RADAU = radau(STAGES)
IMPLICIT = Modes(RADAU.mu, RADAU.to, RADAU.back)
APART = Modes(np.full(2, RADAU.real), np.eye(2), np.eye(2))  # an error and what rounding makes of it
CLOSE = 0.05  # how far below the error allowed corrections end
LOOSE = 0.2  # of the error allowed, to which errors are known


class Stages(NamedTuple):
    """A step tried: increments of coefficients and margins at the stages, the error anywhere within it as a change of
    outputs, over what is allowed, how the corrections shrank (`rate`), how many there were, and whether they ended."""

    Z: Array
    KZ: Array
    error: Array
    rate: Array
    count: Array
    found: Array


def attempt(
    problem: Problem, force: Pull, beta: Array, f: Array, h: Array, guess: tuple[Array, Array], rate: Array
) -> Stages:
    """A step of length `h` from a `guess` of its stages and of the `rate` of its corrections."""
    inverse = jnp.asarray(RADAU.inverse, beta.dtype) / h
    system = System.of(problem, force, force.bend(f + jnp.mean(guess[1], axis=-1)), h)
    begin = force.weight(f) - force.lam1 * beta
    tol = problem.allowed(f)
    unit = 4 * len(beta) ** 0.5 * float(jnp.finfo(beta.dtype).eps)

    def rest(Z: Array, KZ: Array) -> Rest:
        Y, F = beta[..., None] + Z, f[..., None] + KZ
        speed = velocity(force, Y, F)
        terms = jnp.abs(speed) + _terms(problem, force, system, Y, F) + jnp.abs(Z) @ jnp.abs(inverse).T
        return Rest(speed - Z @ inverse.T, unit * terms)

    # where a flow hardly moves any more the last step's stages are rounding, which a guess from them would magnify
    useful = jnp.sum(rest(*guess).value ** 2) < STAGES * jnp.sum(begin**2)
    Z, KZ = (jnp.where(useful, v, 0.0) for v in guess)
    stop = jnp.maximum(CLOSE * tol, unit * (jnp.max(jnp.abs(f)) + problem.atol))
    s = kernel_corrections.solve(problem, system, rest, IMPLICIT, (Z, KZ), False, rate, stop)
    tol = jnp.maximum(tol, problem.allowed(f + s.KX[..., -1]))
    e = _error(problem, force, system, beta, f, begin, s, tol)
    return Stages(s.X, s.KX, jnp.where(s.found, e, jnp.inf), s.rate, s.count, s.found)


def _error(
    problem: Problem,
    force: Pull,
    system: System,
    beta: Array,
    f: Array,
    begin: Array,
    s: kernel_corrections.Search,
    tol: Array,
) -> Array:
    """The error of a step over what is allowed, or over what rounding makes of it where that is more."""
    slope = jnp.asarray(RADAU.slope @ RADAU.inverse, beta.dtype) / system.h
    terms = jnp.abs(begin) + _terms(problem, force, system, beta[..., None], f[..., None])[..., 0]
    terms = terms + jnp.abs(s.X) @ jnp.abs(slope)
    signs = jnp.sin(jnp.arange(len(beta), dtype=beta.dtype) ** 2).reshape(-1, *(1,) * (beta.ndim - 1))
    rounding = len(beta) ** 0.5 * float(jnp.finfo(beta.dtype).eps) * terms * signs
    missing = RADAU.error * RADAU.real * jnp.stack([begin - s.X @ slope, rounding], axis=-1)
    shift = RADAU.real / system.h + force.lam1

    def rest(e: Array, Ke: Array) -> Rest:
        return Rest(missing - shift * e - system.bent(Ke), jnp.zeros_like(e))

    zero = jnp.zeros_like(missing)
    stop = jnp.where(s.found, LOOSE * tol, jnp.inf)
    e = kernel_corrections.solve(problem, system, rest, APART, (zero, zero), True, jnp.zeros_like(tol), stop)
    size, noise = (problem.norm(e.X[..., i : i + 1], e.KX[..., i : i + 1]) for i in range(2))
    return jnp.where(e.found, size / jnp.maximum(tol, noise), jnp.inf)


def _terms(problem: Problem, force: Pull, system: System, Y: Array, F: Array) -> Array:
    """What the rounding of a velocity at coefficients `Y` and margins `F = K Y` is in proportion to, column by column:
    sums of `n` products have larger terms than `F`."""
    product = problem.lead.strengths[0] * jnp.sqrt(jnp.sum(Y * Y, axis=0, keepdims=True)) / len(Y)
    return system.bent(jnp.abs(F) + product) + force.lam1 * jnp.abs(Y)
