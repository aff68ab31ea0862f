"""Neural tangent kernels and features of networks on real inputs."""

from gsdyn.kernels._memory import NotEnoughMemory
from gsdyn.kernels.empirical import empirical_ntk, ntrf
from gsdyn.kernels.infinite import infinite_ntk
from gsdyn.kernels.methods import LayerContraction, Method, VectorProducts

__all__ = [
    "LayerContraction",
    "Method",
    "NotEnoughMemory",
    "VectorProducts",
    "empirical_ntk",
    "infinite_ntk",
    "ntrf",
]
