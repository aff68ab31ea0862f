"""Data sets, one file each; those here install with the package."""

from gsdyn.data.colour_digits import ColourDigits, Coloured, colour_digits, coloured
from gsdyn.data.digits import Digits, digits
from gsdyn.data.mnist_sample import mnist_sample
from gsdyn.data.moons import Moons, moons
from gsdyn.data.ring import ring, ring_centres

__all__ = [
    "ColourDigits",
    "Coloured",
    "Digits",
    "Moons",
    "colour_digits",
    "coloured",
    "digits",
    "mnist_sample",
    "moons",
    "ring",
    "ring_centres",
]
