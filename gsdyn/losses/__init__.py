"""Losses and their conjugates (P21-Eq6, Table 4, Eqs 29-30).

Every loss is a sum over examples of a convex `l(f)` of the margin `f`, or of the logits of one example, and
every equation needs the same few things of it: the dual weight `a(f) = -l'(f)`, its rate `w(f) = -a'(f)`, and
on the dual side the concave `h` with `l(f) = max_a h(a) - a f`.
"""

from gsdyn.losses.binary import CrossEntropy, FirstOrderCrossEntropy, Hinge, SquaredError
from gsdyn.losses.loss import CellLoss, Loss
from gsdyn.losses.softmax import Softmax

__all__ = ["CellLoss", "CrossEntropy", "FirstOrderCrossEntropy", "Hinge", "Loss", "Softmax", "SquaredError"]
