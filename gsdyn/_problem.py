"""What basis, loss and penalty make together: the filter and the tilt of one problem."""

from __future__ import annotations

from jaxtyping import Array, Float

from gsdyn import _checks
from gsdyn._numerics import eigen
from gsdyn.features import FeatureBasis
from gsdyn.losses import Loss
from gsdyn.penalties import Penalty, Tilt, WeightDecay


def problem(basis: FeatureBasis, loss: Loss, penalty: Penalty) -> tuple[Float[Array, " k"], Tilt | None]:
    """The filter `c` and the tilt of a problem, after checking that its three parts fit."""
    tilt = fitting(basis, loss, penalty)
    return penalty.filter(basis.s * basis.s).astype(basis.U.dtype), tilt


def fitting(basis: FeatureBasis, loss: Loss, penalty: Penalty) -> Tilt | None:
    """The tilt of a problem, with or without an optimum, after checking that its three parts fit."""
    _checks.instance("basis", basis, FeatureBasis, "FeatureBasis.from_kernel(theta, y) makes one of a kernel")
    _checks.instance("loss", loss, Loss)
    _checks.instance("penalty", penalty, Penalty)
    tilt = penalty.tilt(basis.examples)
    loss.check(basis.examples, tilt is not None)
    if tilt is not None:
        tilt = Tilt(tilt.curvature.astype(basis.U.dtype), tilt.pull.astype(basis.U.dtype))
    return tilt


def aligned(basis: FeatureBasis, penalty: Penalty) -> FeatureBasis:
    """The same basis, with derivatives of `U c U^T` that are right where strengths repeat."""
    if isinstance(penalty, WeightDecay):  # c is a multiple of s^2, for which those of the basis are
        return basis
    s2 = basis.s * basis.s
    c, slope = (x.astype(basis.U.dtype) for x in (penalty.filter(s2), penalty.filter_slope(s2)))
    return FeatureBasis._of(eigen.aligned(basis.U, s2, c, slope), basis.s)
