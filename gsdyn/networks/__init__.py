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
from gsdyn.networks.stax import Stax, stax

__all__ = [
    "Abs",
    "Activation",
    "Cos",
    "Erf",
    "FullyConnected",
    "Gaussian",
    "Gelu",
    "Layer",
    "LeakyRelu",
    "Monomial",
    "Relu",
    "Sin",
    "Stax",
    "stax",
]
