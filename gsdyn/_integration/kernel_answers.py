"""How a flow from a kernel answers to the strengths of its leading features, beside the flow (THEORY section 8).

With `b_i = s_i^2 d beta/d(s_i^2)`, the features held, `s_i^2 d f/d(s_i^2) = K b_i + u_i u_i^T f` and

    b_i' = -(W + lam_2) (K b_i + u_i u_i^T f) - lam_1 b_i,    b_i(0) = -u_i u_i^T beta(0),

so the coefficients of the flow and those of its answers, side by side, are one flow of a weight of `F = K [beta, b]`.
"""

from __future__ import annotations

from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array

from gsdyn._integration.kernel_path import Phases
from gsdyn._integration.kernel_systems import Force
from gsdyn.losses import Loss


class Answers(NamedTuple):
    """What pulls on margins and answers, over columns `F`, (n, 1 + k): a `flow`, and the leading features `U`."""

    flow: Force
    U: Array

    @property
    def lam1(self) -> Array:
        return self.flow.lam1

    def weight(self, F: Array) -> Array:
        f = F[:, 0]
        answers = -self.flow.bend(f)[:, None] * (F[:, 1:] + self.U * (self.U.T @ f)[None, :])
        return jnp.concatenate([self.flow.weight(f)[:, None], answers], axis=1)

    def bend(self, F: Array) -> Array:
        """The curvature, the same for all columns: (n,)."""
        return self.flow.bend(F[:, 0])


class AnswerPhases(NamedTuple):
    """Phases of a flow with its answers."""

    flow: Phases
    U: Array

    @property
    def ends(self) -> Array:
        return self.flow.ends

    def force(self, loss: Loss, i: Array) -> Answers:
        return Answers(self.flow.force(loss, i), self.U)


def start(U: Array, beta: Array) -> Array:
    """The columns at time 0: coefficients, and answers for which the responses do not change."""
    return jnp.concatenate([beta[:, None], -U * (U.T @ beta)[None, :]], axis=1)


def matrix(U: Array, s2: Array, F: Array) -> tuple[Array, Array]:
    """Responses `z`, (t, k), and `G[j, i] = d z_j / d(s_i^2)`, (t, k, k), of margins and answers `F`, (t, n, 1 + k)."""
    parts = jnp.einsum("nj,tni->tji", U, F)
    z = parts[:, :, 0]
    # `K b_i + u_i u_i^T f`, seen by feature j
    answers = parts[:, :, 1:] + jnp.eye(U.shape[1], dtype=U.dtype)[None] * z[:, None, :]
    return z, answers / s2[None, None, :]
