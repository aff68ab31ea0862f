"""The kernel between new inputs and examples, some rows at a time: what predictions need, and never the whole."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import jax.numpy as jnp
from jaxtyping import Array, ArrayLike

from gsdyn import _checks
from gsdyn.kernels import _tiles
from gsdyn.kernels.infinite import InfiniteWidth, infinite_ntk

ROWS = 1024


class Between:
    """The kernel `k(x_new, x)` of m new inputs and n examples, for `predict` and `feature_functions`.

    - `net`: a network of infinite width, as in `infinite_ntk`; or a function of two sets of inputs, such as
      `lambda a, b: ntrf(net, params, a) @ ntrf(net, params, b).T`.
    - `x_new`, `x`: inputs, shape (m, ...) and (n, ...). `rows`: new inputs worked on at a time, so that no more than so
      many rows of the kernel are held.

    It gives the same as the whole kernel up to rounding, and takes no longer. Raises `ValueError` for `x_new` without
    rows.

    Example: `predict(Between(net, x_new, x), y, run.coefficients)`.

        >>> between = gs.kernels.Between(net, x, x)
        >>> features = gs.FeatureBasis.from_kernel(theta, y)
        >>> beta = gs.coefficients(features, gs.fixed_point(features, gs.CrossEntropy(), gs.WeightDecay(0.1)))
        >>> print(gs.predict(between, y, beta).shape)
        (4,)
    """

    def __init__(
        self,
        net: InfiniteWidth | Callable[[Array, Array], Array],
        x_new: ArrayLike,
        x: ArrayLike,
        *,
        rows: int = ROWS,
    ):
        if isinstance(net, InfiniteWidth):
            self._kernel = lambda a, b: infinite_ntk(net, a, b)
        elif callable(net):
            self._kernel = net
        else:
            raise ValueError(
                f"net must be a network such as FullyConnected(depth=3) or a function, got {_checks.in_short(net)}"
            )
        self._new, self._x = _checks.finite("x_new", x_new), _checks.finite("x", x)
        for name, v in (("x_new", self._new), ("x", self._x)):
            if v.ndim == 0 or not v.shape[0]:
                raise ValueError(f"{name} must have at least one row, got shape {v.shape}")
        self._rows = _tiles.even(len(self._new), _checks.integer("rows", rows, 1))

    @property
    def shape(self) -> tuple[int, int]:
        """New inputs and examples, (m, n)."""
        return len(self._new), len(self._x)

    def blocks(self) -> Iterator[Array]:
        """The rows in order, (b, n) at a time, the last of them again until a block is full: all have one shape."""
        inputs = _tiles.padded(self._new, self._rows)
        for start in range(0, len(inputs), self._rows):
            yield jnp.asarray(self._kernel(inputs[start : start + self._rows], self._x))
