"""The four fates of a start in the phase plane (z, y) of one mode (C18-§3.3, Fig 2 left)."""

from __future__ import annotations

import enum

import jax.numpy as jnp
from jaxtyping import Array, ArrayLike, Int

from gsdyn import _checks
from gsdyn._checks import together
from gsdyn.modes.hyperbola import Hyperbola, check_range


class Outcome(enum.IntEnum):
    """What becomes of a start `(z_0, y_0)`.

    - `SOLVES`: `y_0 > 0` and `y_0 > -r z_0`; the logit grows without bound (to the margin under hinge).
    - `DIES`: `0 < y_0 < -r z_0`; y reaches 0 in finite time and the neuron falls silent.
    - `DECAYS`: `0 < y_0 = -r z_0`; both weights tend to 0 and never get there (A.7).
    - `FROZEN`: `y_0 <= 0`; the ReLU is inactive and nothing ever moves.

        >>> print(gs.modes.Outcome(int(gs.modes.classify(1.0, 0.1, -0.5))).name)
        DIES
    """

    SOLVES = 0
    DIES = 1
    DECAYS = 2
    FROZEN = 3


def classify(norm: ArrayLike, y0: ArrayLike, z0: ArrayLike) -> Int[Array, "..."]:
    """The `Outcome` of every start `(z_0, y_0)` (C18-§3.3), the same for cross-entropy and hinge.

    **Arguments:** `norm`: r > 0; `y0`, `z0`: finite; shapes that broadcast. A start within rounding of
    `y_0 = -r z_0` counts as on it.

    **Returns:** integers, comparable with the members of `Outcome`.

    **Raises:** `ValueError` if `norm <= 0` or a start is not finite.

        >>> print([gs.modes.Outcome(int(o)).name for o in gs.modes.classify(1.0, np.array([0.5, 0.1, -0.1]), -0.2)])
        ['SOLVES', 'DIES', 'FROZEN']
    """
    norm, y0, z0 = together(
        norm=_checks.positive("norm", norm), y0=_checks.finite("y0", y0), z0=_checks.finite("z0", z0)
    )
    return outcome(Hyperbola.through(norm, check_range(norm, y0, z0), z0))


def outcome(path: Hyperbola) -> Int[Array, "..."]:
    """The `Outcome` of a path."""
    moving = jnp.where(path.plus > 0, Outcome.SOLVES, Outcome.DECAYS)
    moving = jnp.where(path.plus < 0, Outcome.DIES, moving)
    return jnp.where(path.active, moving, Outcome.FROZEN)
