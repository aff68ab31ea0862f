"""One function over a grid of any size: compiled once, kept in a store that loses nothing, on one machine or many."""

from gsdyn.sweeps.distributions import Distribution, Integers, LogUniform, Normal, Uniform
from gsdyn.sweeps.grids import Grid, Product, Samples, Zipped
from gsdyn.sweeps.labels import Label
from gsdyn.sweeps.runner import open_store, sweep

__all__ = [
    "Distribution",
    "Grid",
    "Integers",
    "Label",
    "LogUniform",
    "Normal",
    "Product",
    "Samples",
    "Uniform",
    "Zipped",
    "open_store",
    "sweep",
]
