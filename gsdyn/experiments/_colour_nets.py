"""The networks of P21's coloured digits, in single precision, and how every method trains them.

Three dense layers with ReLU between them; weights start uniform with Xavier's bound, biases at zero. All is full batch
with Adam, and the authors' settings are those of published code, which were chosen on the test set.
"""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
from jaxtyping import PRNGKeyArray

from gsdyn.experiments._moon_nets import Dense, logits
from gsdyn.training import IRM, BinaryObjective, Decoupled, EnvironmentObjective, Method, Scaled, Switched, VREx


def start(key: PRNGKeyArray, inputs: int, hidden: int) -> list[Dense]:
    """A network before training: weights uniform on `(-b, b)`, `b^2 = 6/(fan_in + fan_out)`."""
    sizes = (inputs, hidden, hidden, 1)
    layers = []
    for layer_key, fan_in, fan_out in zip(jax.random.split(key, 3), sizes[:-1], sizes[1:], strict=True):
        bound = (6 / (fan_in + fan_out)) ** 0.5
        weight = jax.random.uniform(layer_key, (fan_in, fan_out), jnp.float32, -bound, bound)
        layers.append(Dense(weight, jnp.zeros(fan_out, jnp.float32)))
    return layers


PLAIN = BinaryObjective(logits)


@dataclasses.dataclass(frozen=True)
class Setting:
    """One way to train.

    - `method`: "ERM", "SD", "IRM", "V-REx" or "oracle" (cross-entropy on images without colour).
    - `hidden`: the width of both hidden layers. `rate`: Adam's. `steps`: how many.
    - `switch`: after how many steps `weight` and `factor` take effect.
    - `weight`: SD's of `mean(yhat^2)` beside the mean loss, or the environment penalty's, which is 1 before the switch.
    - `factor`: of the whole loss. `fresh`: whether Adam starts anew at the switch.
    - `l2`: of the sum of squares of all parameters.
    """

    method: str
    hidden: int = 300
    rate: float = 1e-4
    steps: int = 2001
    switch: int = 0
    weight: float = 0.0
    factor: float = 1.0
    fresh: bool = False
    l2: float = 0.0

    @property
    def gray(self) -> bool:
        """Whether the network sees no colour."""
        return self.method == "oracle"

    @property
    def compares(self) -> bool:
        """Whether the method is told the environments: IRM and V-REx, and IRM's authors' oracle, IRM of no weight."""
        return self.method in ("IRM", "V-REx") or self.l2 > 0

    def rule(self) -> Method:
        """The method of training. ERM and the oracle are SD without weight: one compiled program."""
        if self.compares:
            first, second = (self._of_environments(weight) for weight in (min(1.0, self.weight), self.weight))
        else:
            first = Scaled(Decoupled(PLAIN, 0.0), 1.0)
            second = Scaled(Decoupled(PLAIN, self.weight), self.factor)
        return Switched(first, second, self.switch, fresh=self.fresh)

    def _of_environments(self, weight: float) -> EnvironmentObjective:
        kind = VREx if self.method == "V-REx" else IRM
        return kind(PLAIN, weight, l2=self.l2)  # pyright: ignore[reportCallIssue] - the __init__ is inherited


SD_SWITCH, SD_FACTOR = 450, 2e-5
AUTHORS = {
    "ERM": Setting("ERM", switch=SD_SWITCH),
    "SD": Setting("SD", switch=SD_SWITCH, weight=1.0, factor=SD_FACTOR),
    "SD, fresh Adam": Setting("SD", switch=SD_SWITCH, weight=1.0, factor=SD_FACTOR, fresh=True),
    "IRM": Setting("IRM", 390, 4.898536566546834e-4, 501, 190, 91257.18613115903, l2=1.10794568e-3),
    "V-REx": Setting("V-REx", 256, 1e-3, 501, 100, 1e4, l2=1e-3),
    "oracle": Setting("oracle", steps=1001, switch=SD_SWITCH),
}
"""What is trained at the authors' settings. ERM has no switch, but the same records as SD; IRM's are its authors',
V-REx's the defaults of its code. P21 says no more of its oracle than that it sees no colour: this one is ERM without.
"""
STOPS = {"ERM": 1001}
"""Where the authors stop, of what is followed for longer here."""
IRMS_ORACLE = Setting("oracle", 83, 2.8171e-3, 101, l2=8.6027e-4)
"""The oracle of IRM's authors."""
