"""Data sets, one file each; those here install with the package or are drawn."""

from gsdyn.data.brightness import brightness
from gsdyn.data.colour_digits import ColourDigits, Coloured, colour_digits, coloured
from gsdyn.data.core_and_shortcut import CoreAndShortcut, core_and_shortcut
from gsdyn.data.corner_patch import corner_patch
from gsdyn.data.digits import Digits, digits
from gsdyn.data.group_cells import CELEBA, cell_counts, cell_rows, group_cells
from gsdyn.data.linear_perception import LinearPerception, linear_perception
from gsdyn.data.mnist_sample import mnist_sample
from gsdyn.data.moons import Moons, moons
from gsdyn.data.skewed_coordinate import Skewed, skewed_coordinate
from gsdyn.data.slabs import Slabs, slabs

__all__ = [
    "CELEBA",
    "ColourDigits",
    "Coloured",
    "CoreAndShortcut",
    "Digits",
    "LinearPerception",
    "Moons",
    "Skewed",
    "Slabs",
    "brightness",
    "cell_counts",
    "cell_rows",
    "colour_digits",
    "coloured",
    "core_and_shortcut",
    "corner_patch",
    "digits",
    "group_cells",
    "linear_perception",
    "mnist_sample",
    "moons",
    "skewed_coordinate",
    "slabs",
]
