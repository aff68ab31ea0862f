"""Both classes of a binary problem at once, and how much sooner one is learnt (C18-Eq3, Cor 3.3)."""

from __future__ import annotations

from collections.abc import Sequence

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, ArrayLike, Float

from gsdyn import _checks
from gsdyn.losses import Hinge, Loss
from gsdyn.modes._arrays import check_fraction
from gsdyn.modes.depth import pace
from gsdyn.modes.mode import Mode
from gsdyn.modes.phase_plane import Outcome

Pair = ArrayLike | Sequence[ArrayLike]


class TwoClasses(eqx.Module):
    """The two classes of one network under H1-H3, which learn independently (C18-Lemma 3.1, Eq3).

    **Arguments:** any shapes that broadcast.

    - `fraction`: p inside (0, 1), the share of the examples that are of the first class.
    - `norms`: `(r_1, r_2)`, the norms of the two classes' inputs.
    - `depth`, `loss`: as in `Mode`, the same for both.
    - the starts, as in `Mode`: `u0`, or `y0` and `z0`, each a tuple of two or one value for both. The second
      class's are mirrored: its neuron has output weight `-z0` and its logit in the network is `-u`.

    `first` and `second` are the `Mode` of each class, with the rates p and 1 - p.

        >>> classes = gs.modes.TwoClasses(fraction=0.8, norms=(1.0, 1.0), u0=(0.1, 0.1))
        >>> print(f"{classes.time_ratio(0.9):.4f}")
        0.2500
    """

    first: Mode
    second: Mode

    def __init__(
        self,
        fraction: ArrayLike,
        norms: Sequence[ArrayLike],
        depth: ArrayLike = 2,
        loss: Loss | None = None,
        *,
        u0: Pair | None = None,
        y0: Pair | None = None,
        z0: Pair | None = None,
    ):
        p = check_fraction("fraction", fraction)
        if not isinstance(norms, Sequence):
            raise ValueError(f"norms must be a tuple of two, one norm for each class, got {_checks.in_short(norms)}")
        for norm in norms:
            _checks.positive("norms", norm)
        given: dict[str, Pair | None] = {"norms": norms, "u0": u0, "y0": y0, "z0": z0}
        one, two = zip(*(_pair(name, value) for name, value in given.items()), strict=True)
        self.first = Mode(one[0], depth, p, loss, u0=one[1], y0=one[2], z0=one[3])
        self.second = Mode(two[0], depth, 1 - p, loss, u0=two[1], y0=two[2], z0=two[3])

    def logits(self, t: ArrayLike) -> tuple[Float[Array, "..."], Float[Array, "..."]]:
        """The network's logit on each class at `t >= 0`: `ubar(r_1 p t)` and `vbar(r_2 (1-p) t) <= 0` (C18-Eq3)."""
        return self.first.logit(t), -self.second.logit(t)

    def confidences(self, t: ArrayLike) -> tuple[Float[Array, "..."], Float[Array, "..."]]:
        """The confidence in the right class on each class at `t >= 0` (C18-Eq3)."""
        return self.first.confidence(t), self.second.confidence(t)

    def times_to_confidence(self, confidence: ArrayLike) -> tuple[Float[Array, "..."], Float[Array, "..."]]:
        """When each class reaches a confidence inside (1/2, 1)."""
        return self.first.time_to_confidence(confidence), self.second.time_to_confidence(confidence)

    def time_ratio(self, confidence: ArrayLike) -> Float[Array, "..."]:
        """`t_1/t_2`, the exact ratio of the times to a confidence (C18-Cor 3.3).

        From equal starts (the same `u_0` and `c/r`) it is `r_2 (1-p) / (r_1 p)` at every confidence. From others it
        is `r_2 (1-p) / (r_1 p)` times `T(u_0, u)/T(|v_0|, u)`, and tends to the former only as `P -> 1`. NaN where
        neither class ever gets there.
        """
        one, two = self.times_to_confidence(confidence)
        return one / two

    @property
    def ratio_limit(self) -> Float[Array, "..."]:
        """What `time_ratio` tends to as the confidence tends to 1.

        Cross-entropy: `(r_2/r_1)^(2/N) (1-p)/p` from any start that solves, C18-Cor 3.3 at N = 2. Hinge: the ratio of
        the times to the margin, in which the starts never cease to count. NaN where a class is not learnt.
        """
        solved = (self.first.outcome == Outcome.SOLVES) & (self.second.outcome == Outcome.SOLVES)
        if isinstance(self.first.loss, Hinge):
            one, two = (mode.time_to(jnp.maximum(mode.start, 1)) for mode in (self.first, self.second))
            return jnp.where(solved, one / two, jnp.nan)
        paces = [mode.rate * pace(mode.norm, mode.depth) for mode in (self.first, self.second)]
        return jnp.where(solved, paces[1] / paces[0], jnp.nan)


def _pair(name: str, value: Pair | None) -> tuple:
    if not isinstance(value, Sequence):
        return value, value
    if isinstance(value, str | bytes):
        raise ValueError(f"{name} must be one value or a tuple of two, got {_checks.in_short(value)}")
    if len(value) != 2:
        raise ValueError(f"{name} must be one value or a tuple of two, got {len(value)} values")
    return tuple(value)
