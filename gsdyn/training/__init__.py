"""Training real networks with optax: any network given as parameters and a function, recorded on the way."""

from gsdyn.training.batches import Batches, Drawn, FullBatch, Keyed, Shuffled
from gsdyn.training.checkpoints import Checkpoint
from gsdyn.training.flow import FlowRun, gradient_flow
from gsdyn.training.input_margin import input_margin
from gsdyn.training.loop import Run, Watch, stacked, train
from gsdyn.training.objectives import BinaryObjective, Penalised, Responses, SoftmaxObjective

__all__ = [
    "Batches",
    "BinaryObjective",
    "Checkpoint",
    "Drawn",
    "FlowRun",
    "FullBatch",
    "Keyed",
    "Penalised",
    "Responses",
    "Run",
    "Shuffled",
    "SoftmaxObjective",
    "Watch",
    "gradient_flow",
    "input_margin",
    "stacked",
    "train",
]
