"""Neural tangent kernels and features of networks on real inputs."""

from gsdyn.kernels._memory import NotEnoughMemory
from gsdyn.kernels.between import Between
from gsdyn.kernels.distributed import sharded_ntk
from gsdyn.kernels.empirical import empirical_ntk, ntrf
from gsdyn.kernels.infinite import infinite_ntk
from gsdyn.kernels.methods import LayerContraction, Method, VectorProducts
from gsdyn.kernels.products import ntk_product
from gsdyn.kernels.stores import Saved, load, save

__all__ = [
    "Between",
    "LayerContraction",
    "Method",
    "NotEnoughMemory",
    "Saved",
    "VectorProducts",
    "empirical_ntk",
    "infinite_ntk",
    "load",
    "ntk_product",
    "ntrf",
    "save",
    "sharded_ntk",
]
