"""gsdyn: which features of the data a neural network learns, how fast, and which features starve which.

Names are loaded when they are first used, so that `import gsdyn` costs nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gsdyn import closed_forms as closed_forms
    from gsdyn import data as data
    from gsdyn import diagnosis as diagnosis
    from gsdyn import experiments as experiments
    from gsdyn import explore as explore
    from gsdyn import kernels as kernels
    from gsdyn import losses as losses
    from gsdyn import modes as modes
    from gsdyn import networks as networks
    from gsdyn import plotting as plotting
    from gsdyn import probes as probes
    from gsdyn import special as special
    from gsdyn import sweeps as sweeps
    from gsdyn import training as training
    from gsdyn import verification as verification
    from gsdyn._checks import PrecisionWarning as PrecisionWarning
    from gsdyn.cache import enable_cache as enable_cache
    from gsdyn.diagnosis import Report as Report
    from gsdyn.diagnosis import diagnose as diagnose
    from gsdyn.features import FeatureBasis as FeatureBasis
    from gsdyn.fixed_points import FixedPoint as FixedPoint
    from gsdyn.fixed_points import fixed_point as fixed_point
    from gsdyn.flows import DualFlow as DualFlow
    from gsdyn.flows import PrimalFlow as PrimalFlow
    from gsdyn.groups import group_metrics as group_metrics
    from gsdyn.groups import margin_gap as margin_gap
    from gsdyn.hard_margins import HardMargin as HardMargin
    from gsdyn.hard_margins import hard_margin as hard_margin
    from gsdyn.integration import Trajectory as Trajectory
    from gsdyn.integration import integrate as integrate
    from gsdyn.integration import steady_state as steady_state
    from gsdyn.kernel_fixed_points import KernelFixedPoint as KernelFixedPoint
    from gsdyn.kernel_fixed_points import kernel_fixed_point as kernel_fixed_point
    from gsdyn.kernel_fixed_points import kernel_path as kernel_path
    from gsdyn.kernel_flows import KernelFlow as KernelFlow
    from gsdyn.kernel_flows import KernelRun as KernelRun
    from gsdyn.kernel_flows import Phase as Phase
    from gsdyn.losses import CrossEntropy as CrossEntropy
    from gsdyn.losses import FirstOrderCrossEntropy as FirstOrderCrossEntropy
    from gsdyn.losses import Hinge as Hinge
    from gsdyn.losses import Loss as Loss
    from gsdyn.losses import Softmax as Softmax
    from gsdyn.losses import SquaredError as SquaredError
    from gsdyn.penalties import Mixed as Mixed
    from gsdyn.penalties import Penalty as Penalty
    from gsdyn.penalties import SpectralDecoupling as SpectralDecoupling
    from gsdyn.penalties import Unregularised as Unregularised
    from gsdyn.penalties import WeightDecay as WeightDecay
    from gsdyn.predictions import coefficients as coefficients
    from gsdyn.predictions import feature_functions as feature_functions
    from gsdyn.predictions import predict as predict
    from gsdyn.starvation import elasticity as elasticity
    from gsdyn.starvation import sign_law as sign_law
    from gsdyn.starvation import starvation_error as starvation_error
    from gsdyn.starvation import starvation_matrix as starvation_matrix
    from gsdyn.starvation import starves as starves
    from gsdyn.starvation_paths import starvation_over_time as starvation_over_time
    from gsdyn.sweeps import sweep as sweep
    from gsdyn.truncation import truncation_bound as truncation_bound

__version__ = "0.1.0"

_HOMES = {
    "_checks": ("PrecisionWarning",),
    "cache": ("enable_cache",),
    "diagnosis": ("Report", "diagnose"),
    "features": ("FeatureBasis",),
    "losses": ("CrossEntropy", "FirstOrderCrossEntropy", "Hinge", "Loss", "Softmax", "SquaredError"),
    "penalties": ("Mixed", "Penalty", "SpectralDecoupling", "Unregularised", "WeightDecay"),
    "kernel_flows": ("KernelFlow", "KernelRun", "Phase"),
    "flows": ("DualFlow", "PrimalFlow"),
    "groups": ("group_metrics", "margin_gap"),
    "hard_margins": ("HardMargin", "hard_margin"),
    "integration": ("Trajectory", "integrate", "steady_state"),
    "fixed_points": ("FixedPoint", "fixed_point"),
    "kernel_fixed_points": ("KernelFixedPoint", "kernel_fixed_point", "kernel_path"),
    "predictions": ("coefficients", "feature_functions", "predict"),
    "starvation": ("elasticity", "sign_law", "starvation_error", "starvation_matrix", "starves"),
    "starvation_paths": ("starvation_over_time",),
    "truncation": ("truncation_bound",),
    "sweeps": ("sweep",),
}
_HOME = {name: home for home, names in _HOMES.items() for name in names}
_MODULES = (
    "closed_forms",
    "data",
    "diagnosis",
    "experiments",
    "explore",
    "kernels",
    "losses",
    "modes",
    "networks",
    "plotting",
    "probes",
    "special",
    "sweeps",
    "training",
    "verification",
)

__all__ = [*sorted(_HOME), *_MODULES]  # pyright: ignore[reportUnsupportedDunderAll]


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(importlib.import_module(f"gsdyn.{_HOME[name]}"), name)
    if name in _MODULES:
        return importlib.import_module(f"gsdyn.{name}")
    raise AttributeError(f"module 'gsdyn' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
