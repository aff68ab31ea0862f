"""What a trained network relies on: its margins in input space, its worst groups, its use of colour or of
any coordinates.

A probe takes the network as `apply` and `params` and asks it about examples; it trains nothing.
"""

from gsdyn.probes.adversarial import AdversarialMargins, adversarial_margin
from gsdyn.probes.attacks import PGD, Attack, Search
from gsdyn.probes.colour import ColourProbe, ColourVariants, colour_probe, colour_variants, prediction_entropy
from gsdyn.probes.coverage import Coverage, coverage
from gsdyn.probes.groups import GroupAccuracy, Interval, group_accuracy, wilson
from gsdyn.probes.input_margin import InputMargins, input_margin
from gsdyn.probes.norms import L2, Linf, Norm
from gsdyn.probes.randomised import RandomisedAUC, randomised_auc

__all__ = [
    "L2",
    "PGD",
    "AdversarialMargins",
    "Attack",
    "ColourProbe",
    "ColourVariants",
    "Coverage",
    "GroupAccuracy",
    "InputMargins",
    "Interval",
    "Linf",
    "Norm",
    "RandomisedAUC",
    "Search",
    "adversarial_margin",
    "colour_probe",
    "colour_variants",
    "coverage",
    "group_accuracy",
    "input_margin",
    "prediction_entropy",
    "randomised_auc",
    "wilson",
]
