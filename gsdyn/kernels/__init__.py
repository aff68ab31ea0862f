"""Neural tangent kernels on real inputs."""

from gsdyn.kernels.infinite import infinite_ntk

__all__ = ["infinite_ntk"]
