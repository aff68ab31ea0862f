"""Networks as init, apply and kernel: a finite net to train, and the same net infinitely wide."""

from gsdyn.networks.activations import (
    Abs,
    Activation,
    Cos,
    Erf,
    Gaussian,
    Gelu,
    LeakyRelu,
    Monomial,
    Relu,
    Sin,
)
from gsdyn.networks.fully_connected import FullyConnected, Layer
from gsdyn.networks.named import named, takes_images
from gsdyn.networks.similarities import RBF, Linear
from gsdyn.networks.stax import Stax, stax

__all__ = [
    "RBF",
    "Abs",
    "Activation",
    "Cos",
    "Erf",
    "FullyConnected",
    "Gaussian",
    "Gelu",
    "Layer",
    "LeakyRelu",
    "Linear",
    "Monomial",
    "Relu",
    "Sin",
    "Stax",
    "named",
    "stax",
    "takes_images",
]
