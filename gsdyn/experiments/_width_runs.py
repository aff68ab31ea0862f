"""Networks of finite width beside the theory: the problem, its prediction, and one trained network.

Networks are trained in single precision, predictions made in double.
"""

from __future__ import annotations

import functools
import math
from typing import Any, NamedTuple

import diffrax
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float

from gsdyn.data import digits, moons
from gsdyn.features import FeatureBasis
from gsdyn.fixed_points import fixed_point
from gsdyn.flows import PrimalFlow
from gsdyn.integration import integrate
from gsdyn.kernels import empirical_ntk, infinite_ntk
from gsdyn.losses import CrossEntropy
from gsdyn.networks import FullyConnected
from gsdyn.penalties import WeightDecay
from gsdyn.training import BinaryObjective, Penalised, Responses, Scaled, gradient_flow, train

LOSS = CrossEntropy()
RECORDS = 60
CONTRACTED = 8.0
"""Time is up when the theory has contracted by e to minus this, `t lam`."""
TOLERANCE = 1e-3
"""Of one step of the gradient flow, in the length of all parameters together."""


class Seen(NamedTuple):
    """Parameters of a network and of one more input: a column of the data that it sees linearly, with weight 0 at
    first. Scaling the column scales the strength of one feature and leaves all features what they are."""

    layers: Any
    skip: Float[Array, ""]


class Problem(eqx.Module):
    """Data, the features and prediction of the infinitely wide network, and the times to compare at."""

    x: Float[Array, "n d"]
    y: Float[Array, " n"]
    lam: float = eqx.field(static=True)
    bias: float = eqx.field(static=True)
    basis: FeatureBasis
    ts: Float[Array, " T"]

    @property
    def penalty(self) -> WeightDecay:
        """Weight decay towards the weights at the start."""
        return WeightDecay(self.lam)

    def net(self, width: int) -> FullyConnected:
        """The network: one hidden layer of ReLU with biases, in the NTK parameterisation (P21-Eq1)."""
        return FullyConnected(depth=2, width=width, b_std=self.bias)

    def flow(self, basis: FeatureBasis) -> Float[Array, "T n"]:
        """The margins along the primal flow for the features `basis`, at `ts`."""
        path = integrate(
            PrimalFlow(basis, LOSS, self.penalty),
            self.ts,
            solver=diffrax.Tsit5(),
            rtol=1e-7,
            atol=1e-9,
            max_steps=20_000,
        )
        if not bool(path.succeeded):
            raise RuntimeError("the primal flow was not integrated to its end")
        return path.margins

    def optimum(self, basis: FeatureBasis) -> Float[Array, " k"]:
        """The responses at the fixed point (P21-Eq11)."""
        return fixed_point(basis, LOSS, self.penalty).z


def problem(name: str, lam: float, bias: float) -> Problem:
    """The problem called `name`: 300 points of two moons, or every sixth of the digits, all 64 pixels (300 images)."""
    if name == "moons":
        x, y = moons()
    else:
        x, y = (part[::6] for part in digits()[:2])
    basis = FeatureBasis.from_kernel(infinite_ntk(FullyConnected(depth=2, b_std=bias), x), y)
    end = CONTRACTED / lam
    ts = jnp.concatenate([jnp.zeros(1), jnp.geomspace(1e-4 * end, end, RECORDS)])
    return Problem(x, y, lam, bias, basis, ts)


@functools.cache
def objective_of(width: int, bias: float, standard: bool = False) -> BinaryObjective:
    """The sum of the losses of a network with one more input; one object for each, so that it compiles once."""
    net = FullyConnected(depth=2, width=width, b_std=bias)
    inner = functools.partial(_standard, net) if standard else net.apply

    def apply(params: Seen, x: Float[Array, "n d"]) -> Float[Array, " n"]:
        return inner(params.layers, x[:, :-1]) + params.skip * x[:, -1]

    return BinaryObjective(apply, mean=False)


def _standard(net: FullyConnected, layers: Any, x: Array) -> Array:
    """The network whose layers hold their scales (standard parameterisation)."""
    first, last = layers
    hidden = net.activation(x @ first.weight + first.bias[None, :])
    return (hidden @ last.weight + last.bias[None, :])[:, 0]


def scaled(net: FullyConnected, layers: Any) -> Any:
    """Layers of the NTK parameterisation as those of the standard one: the same network at the start."""
    return [
        type(layer)(layer.weight * (net.weight_scale / math.sqrt(layer.weight.shape[0])), layer.bias * net.bias_scale)
        for layer in layers
    ]


class Network(NamedTuple):
    """A network at its start, ready to be trained: `factor` is its time scale."""

    params: Seen
    objective: BinaryObjective
    factor: float


def start(task: Problem, width: int, seed: int, standard: bool = False) -> Network:
    """The network of a seed. In the standard parameterisation its rate is `w_std^2/width`, at which the last layer
    learns as in the NTK parameterisation; the first then learns `width` times more slowly."""
    net = task.net(width)
    layers = net.init(jax.random.key(seed), task.x.shape[1], jnp.float32)
    factor = net.weight_scale**2 / width if standard else 1.0
    skip = jnp.zeros((), jnp.float32)
    return Network(
        Seen(scaled(net, layers) if standard else layers, skip), objective_of(width, task.bias, standard), factor
    )


def setting(task: Problem, network: Network, column: Array) -> tuple[Any, tuple[Array, ...], Responses]:
    """Objective, data and observer of a network that sees `column` beside the inputs."""
    penalty = WeightDecay(task.lam / network.factor)
    objective = Penalised(network.objective, penalty, centre=network.params)
    x = jnp.concatenate([task.x, column[:, None]], axis=1).astype(jnp.float32)
    y = task.y.astype(jnp.float32)
    origin = network.objective.apply(network.params, x)
    look = Responses(network.objective, task.basis.U.astype(jnp.float32), x, y, origin)
    return Scaled(objective, network.factor), objective.columns(x, y, origin), look


def followed(task: Problem, network: Network, column: Array | None = None) -> np.ndarray:
    """The responses (T, n) of a network along its gradient flow, in the features of the infinite one."""
    column = jnp.zeros_like(task.y) if column is None else column
    objective, data, look = setting(task, network, column)
    # where strengths are larger by factor^(-1/2), the same outputs take parameters that move less by as much
    tolerance = TOLERANCE * network.factor**0.5
    run = gradient_flow(network.params, objective, data, task.ts, observe=look, tolerance=tolerance)
    if not bool(run.succeeded):
        raise RuntimeError("the gradient flow of a network was not integrated to its end")
    return np.asarray(run.observed, float)


def stepped(task: Problem, network: Network, rate: float) -> np.ndarray:
    """The responses at the same times by gradient descent with steps of `rate`."""
    objective, data, look = setting(task, network, jnp.zeros_like(task.y))
    steps = np.round(np.asarray(task.ts) / rate).astype(int)
    run = _descend(network.params, objective, data, jnp.asarray(rate, jnp.float32), jnp.asarray(steps), look)
    return np.asarray(run, float)


@eqx.filter_jit
def _descend(params: Any, objective: Any, data: Any, rate: Array, steps: Array, look: Responses) -> Array:
    return train(params, objective, data, optax.sgd(rate), steps, observe=look).observed


def predicted_from_start(task: Problem, network: Network) -> np.ndarray:
    """The responses by the theory with the NTK of this very network at its start."""
    wide = jax.tree.map(lambda part: part.astype(float), network.params)
    x = jnp.concatenate([task.x, jnp.zeros_like(task.y)[:, None]], axis=1)
    theta = network.factor * empirical_ntk(network.objective.apply, wide, x)
    basis = FeatureBasis.from_kernel((theta + theta.T) / 2, task.y)
    return np.asarray(task.flow(basis) @ task.basis.U)
