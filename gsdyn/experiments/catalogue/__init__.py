"""Every experiment, declared once: its options and defaults, what computes, what draws, what the numbers say.

The functions of `gsdyn.experiments` take their defaults from here; the command line and the scripts loop over
`EXPERIMENTS`. Importing this loads nothing heavy.
"""

from gsdyn.experiments.catalogue._experiment import FIGURES, FORMATS, RESULTS, Experiment, Part, Table, Trained
from gsdyn.experiments.catalogue.c18 import Depth, Gan, HingeLoss, IndependentModes, PhasePlane, RareFeature
from gsdyn.experiments.catalogue.colour import ColourDigits, ColourProbe
from gsdyn.experiments.catalogue.data import Brightness, CelebA, Margin
from gsdyn.experiments.catalogue.later import GeometricSkew, Perception, SlabData
from gsdyn.experiments.catalogue.p21 import (
    Legendre,
    Moons,
    MoonsRegularisers,
    MoonsResponses,
    TheoryInOneFigure,
    Width,
)

EXPERIMENTS: tuple[type[Experiment], ...] = (
    PhasePlane,
    Depth,
    HingeLoss,
    IndependentModes,
    RareFeature,
    Gan,
    Brightness,
    Moons,
    MoonsResponses,
    MoonsRegularisers,
    TheoryInOneFigure,
    Legendre,
    Width,
    ColourDigits,
    ColourProbe,
    CelebA,
    Margin,
    Perception,
    SlabData,
    GeometricSkew,
)

__all__ = [
    "EXPERIMENTS",
    "FIGURES",
    "FORMATS",
    "RESULTS",
    "Brightness",
    "CelebA",
    "ColourDigits",
    "ColourProbe",
    "Depth",
    "Experiment",
    "Gan",
    "GeometricSkew",
    "HingeLoss",
    "IndependentModes",
    "Legendre",
    "Margin",
    "Moons",
    "MoonsRegularisers",
    "MoonsResponses",
    "Part",
    "Perception",
    "PhasePlane",
    "RareFeature",
    "SlabData",
    "Table",
    "TheoryInOneFigure",
    "Trained",
    "Width",
]
