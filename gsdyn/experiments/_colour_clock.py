"""Kernel time and Adam's steps: where on the axis of steps the kernel's curves belong.

Before the switch a time of the flow belongs to the step at which the networks have the same mean loss. At the switch
the loss is scaled by 2e-5, and Adam keeps the second moments `v` of gradients that are so much larger than the new ones
that these do not show in them. From then on it is gradient descent with fixed factors for the parameters and a rate
that grows as `v` decays,

    d tau/d step  ~  sqrt(1 - b^step) b^(-(step - switch)/2),   b = 0.999,

so that the flow's time since the switch is `unit * tau`, with one number, the unit, that is fitted.
"""

from __future__ import annotations

import numpy as np

from gsdyn.experiments._colour_kernel import AFTER, BEFORE, Path

SECOND = 0.999  # Adam's decay of second moments
UNITS = np.geomspace(1e-8, 1e2, 1200)


def adams_clock(steps: np.ndarray, switch: int) -> np.ndarray:
    """`tau` at steps after the switch, in units of a step at the rate there would be without decay."""
    each = np.arange(switch + 1, int(steps.max()) + 1)
    past = np.cumsum(np.sqrt(1 - SECOND**each) * SECOND ** (-(each - switch) / 2))
    return past[steps - switch - 1]


def on_steps(path: Path, steps: np.ndarray, loss: np.ndarray, switch: int, unit: float) -> np.ndarray:
    """The accuracies (step, row) of a kernel flow at the steps of networks whose mean loss is `loss`."""
    early = np.interp(-loss[steps <= switch], -path.before_loss, np.log(BEFORE))
    late = np.log(unit * adams_clock(steps[steps > switch], switch))
    start, times = path.before[-1:], np.log(np.concatenate([AFTER[:1] ** 2, AFTER]))
    after = np.concatenate([start, path.after])
    return np.stack(
        [
            np.concatenate([np.interp(early, np.log(BEFORE), before), np.interp(late, times, column)])
            for before, column in zip(path.before.T, after.T, strict=True)
        ],
        axis=1,
    )


def fitted_unit(paths: list[Path], row: int, steps: np.ndarray, trained: np.ndarray, switch: int) -> float:
    """The unit with which the mean accuracy of the flows after the switch is nearest to that of the networks.

    `trained`: (step,), the mean over seeds; `row`: which accuracy.
    """
    tau = np.log(adams_clock(steps, switch))
    mean = np.mean([path.after[:, row] for path in paths], axis=0)
    off = [np.mean((np.interp(np.log(unit) + tau, np.log(AFTER), mean) - trained) ** 2) for unit in UNITS]
    return float(UNITS[int(np.argmin(off))])
