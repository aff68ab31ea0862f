"""Data sets, one file each: some install with the package, some are drawn, some are read from files of yours."""

from gsdyn.data.brightness import brightness
from gsdyn.data.cats_and_dogs import cats_and_dogs
from gsdyn.data.celeba import celeba
from gsdyn.data.cifar import cifar10, cifar100
from gsdyn.data.colour_digits import ColourDigits, Coloured, colour_digits, coloured
from gsdyn.data.core_and_shortcut import CoreAndShortcut, core_and_shortcut
from gsdyn.data.corner_patch import corner_patch
from gsdyn.data.digits import Digits, digits
from gsdyn.data.examples import Examples
from gsdyn.data.files import parts_of, read_examples
from gsdyn.data.group_cells import CELEBA, cell_counts, cell_rows, group_cells
from gsdyn.data.images import Images
from gsdyn.data.labels import BinaryLabels, ClassLabels, Labels, read_labels
from gsdyn.data.linear_perception import LinearPerception, linear_perception
from gsdyn.data.mnist import fashion_mnist, mnist
from gsdyn.data.mnist_sample import mnist_sample
from gsdyn.data.moons import Moons, moons
from gsdyn.data.ring import ring, ring_centres
from gsdyn.data.skewed_coordinate import Skewed, skewed_coordinate
from gsdyn.data.slabs import Slabs, slabs
from gsdyn.data.waterbirds import table_images, waterbirds

__all__ = [
    "CELEBA",
    "BinaryLabels",
    "ClassLabels",
    "ColourDigits",
    "Coloured",
    "CoreAndShortcut",
    "Digits",
    "Examples",
    "Images",
    "Labels",
    "LinearPerception",
    "Moons",
    "Skewed",
    "Slabs",
    "brightness",
    "cats_and_dogs",
    "celeba",
    "cell_counts",
    "cell_rows",
    "cifar10",
    "cifar100",
    "colour_digits",
    "coloured",
    "core_and_shortcut",
    "corner_patch",
    "digits",
    "fashion_mnist",
    "group_cells",
    "linear_perception",
    "mnist",
    "mnist_sample",
    "moons",
    "parts_of",
    "read_examples",
    "read_labels",
    "ring",
    "ring_centres",
    "skewed_coordinate",
    "slabs",
    "table_images",
    "waterbirds",
]
