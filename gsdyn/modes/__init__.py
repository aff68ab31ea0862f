"""Learning in independent modes (Combes et al., 2018): in closed form where one exists, integrated beside it.

One mode: `Mode`, from any start, under cross-entropy or hinge; its fates in the phase plane: `Outcome`, `classify`.
Many: `TwoClasses` (C18-Eq3, Cor 3.3), `Neurons` (A.4), `orthogonal_points` (A.8), `MultiClassMode` (A.2),
`HingePoints` (C.2).
Where assumptions fail: `Competition` (A.6), `RareFeature` (section 5, D).
The same equations as the paper writes them, for diffrax: `ode`.
"""

from gsdyn.modes import ode
from gsdyn.modes.classes import TwoClasses
from gsdyn.modes.competition import Competition, CompetitionPath, Winner
from gsdyn.modes.mode import Mode
from gsdyn.modes.multiclass import MultiClassMode
from gsdyn.modes.neurons import Neurons, orthogonal_points
from gsdyn.modes.phase_plane import Outcome, classify
from gsdyn.modes.points import HingePoints
from gsdyn.modes.rare_feature import RareFeature, RareFeatureState, rare_feature_bound

__all__ = [
    "Competition",
    "CompetitionPath",
    "HingePoints",
    "Mode",
    "MultiClassMode",
    "Neurons",
    "Outcome",
    "RareFeature",
    "RareFeatureState",
    "TwoClasses",
    "Winner",
    "classify",
    "ode",
    "orthogonal_points",
    "rare_feature_bound",
]
