"""Training real networks with optax: any network given as parameters and a function, recorded on the way."""

from gsdyn.training.batches import Batches, Drawn, FullBatch, Shuffled
from gsdyn.training.loop import Run, Watch, train
from gsdyn.training.objectives import BinaryObjective, SoftmaxObjective

__all__ = [
    "Batches",
    "BinaryObjective",
    "Drawn",
    "FullBatch",
    "Run",
    "Shuffled",
    "SoftmaxObjective",
    "Watch",
    "train",
]
