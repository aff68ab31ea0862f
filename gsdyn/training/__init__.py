"""Training real networks with optax: any network given as parameters and a function, recorded on the way.

Objectives say what is minimised: `BinaryObjective`, `SoftmaxObjective`, with the theory's penalties `Penalised`, with
those of published code `Decoupled`, `DecoupledByClass`, `IRM`, `VREx`, with losses that control margins. Methods say
how a step gets its gradient: `ERM` of one objective, `Switched` from one to another, `GroupDRO` and `LfF` by a rule
that remembers.
"""

from gsdyn.probes.input_margin import input_margin
from gsdyn.training._trainer import Watch
from gsdyn.training.batches import Batches, Drawn, FullBatch, Keyed, Shuffled
from gsdyn.training.checkpoints import Checkpoint
from gsdyn.training.decoupling import Decoupled, DecoupledByClass
from gsdyn.training.environments import EnvironmentObjective
from gsdyn.training.flow import FlowRun, gradient_flow
from gsdyn.training.group_dro import GroupDRO
from gsdyn.training.irm import IRM
from gsdyn.training.lff import LfF, Twins
from gsdyn.training.logit_adjustment import LogitAdjusted
from gsdyn.training.loop import Run, stacked, train
from gsdyn.training.margin_losses import MarginDamp, MarginLog, MarginLoss, MarginStitch
from gsdyn.training.methods import ERM, Method, Switched
from gsdyn.training.objectives import BinaryObjective, NetworkLoss, Objective, Scaled, SoftmaxObjective
from gsdyn.training.penalised import Penalised, Responses
from gsdyn.training.vrex import VREx

__all__ = [
    "ERM",
    "IRM",
    "Batches",
    "BinaryObjective",
    "Checkpoint",
    "Decoupled",
    "DecoupledByClass",
    "Drawn",
    "EnvironmentObjective",
    "FlowRun",
    "FullBatch",
    "GroupDRO",
    "Keyed",
    "LfF",
    "LogitAdjusted",
    "MarginDamp",
    "MarginLog",
    "MarginLoss",
    "MarginStitch",
    "Method",
    "NetworkLoss",
    "Objective",
    "Penalised",
    "Responses",
    "Run",
    "Scaled",
    "Shuffled",
    "SoftmaxObjective",
    "Switched",
    "Twins",
    "VREx",
    "Watch",
    "gradient_flow",
    "input_margin",
    "stacked",
    "train",
]
