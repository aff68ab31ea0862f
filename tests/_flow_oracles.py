"""25-digit values of flows, predictions and hard margins, and the problems that they are values of."""

import json
from pathlib import Path

import numpy as np

import gsdyn as gs

ORACLES = json.loads((Path(__file__).parent / "data" / "flows.json").read_text())
CE = gs.CrossEntropy()
FREE = gs.Unregularised()


def numbers(x):
    return np.array(x, dtype=object).astype(float)


def penalty(lam1, lam2):
    lam1, lam2 = float(lam1), float(lam2)
    return gs.Mixed(lam1, lam2) if lam1 + lam2 > 0 else FREE
