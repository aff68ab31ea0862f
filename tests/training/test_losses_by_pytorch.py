"""Losses and gradients of every method of training beside PyTorch's, written as users of PyTorch have them.

The network has two outputs: the first is the one output of the binary methods, both are those of the softmax.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gsdyn as gs
from gsdyn.training import (
    ERM,
    IRM,
    BinaryObjective,
    Decoupled,
    DecoupledByClass,
    GroupDRO,
    LfF,
    LogitAdjusted,
    MarginDamp,
    MarginLog,
    MarginStitch,
    Method,
    Scaled,
    SoftmaxObjective,
    Twins,
    VREx,
)

torch = pytest.importorskip("torch", reason="PyTorch is not installed")
F = torch.nn.functional

RNG = np.random.default_rng(3)
N = 14
X = RNG.normal(size=(N, 4))
Y = np.where(np.arange(N) % 3 == 0, 1.0, -1.0)
PLACE = np.arange(N) % 2  # environment, or group
CLASSES = (Y > 0).astype(int)
WEIGHTS = {"first": RNG.normal(size=(4, 5)), "bias": RNG.normal(size=5), "last": RNG.normal(size=(5, 2))}
BIASED = {name: 0.5 * np.flip(value) for name, value in WEIGHTS.items()}
DRO_RATE, DRO_ADJUSTMENT = 0.5, 0.7
LFF_POWER, LFF_DECAY = 0.7, 0.6


def both(w, x):
    return jnp.tanh(x @ w["first"] + w["bias"][None, :]) @ w["last"]


def one(w, x):
    return both(w, x)[:, 0]


def torch_both(w):
    return torch.tanh(torch.tensor(X) @ w["first"] + w["bias"]) @ w["last"]


def torch_one(w):
    return torch_both(w)[:, 0]


def bce(f, reduction="mean"):
    return F.binary_cross_entropy_with_logits(f, torch.tensor(Y + 1) / 2, reduction=reduction)


def squared_weights(w):
    return sum(part.pow(2).sum() for part in w.values())


def by_class(w, coefficients, targets, on_logits):
    """Spectral decoupling by class, as P21's code for CelebA adds it."""
    f = torch_one(w)
    held = f if on_logits else torch.tensor(Y) * f
    parts = zip((-1, 1), coefficients, targets, strict=True)
    return bce(f) + sum(c * (held[torch.tensor(label == Y)] - target).pow(2).mean() for label, c, target in parts)


def irm(w, weight, l2):
    """IRMv1 as its authors have it: the gradient with respect to a scale of the logits."""
    risks, penalties = [], []
    for place in (0, 1):
        rows = torch.tensor(place == PLACE)
        scale = torch.ones((), dtype=torch.float64, requires_grad=True)
        own = torch.tensor((Y + 1) / 2)[rows]
        risk = F.binary_cross_entropy_with_logits(scale * torch_one(w)[rows], own)
        (slope,) = torch.autograd.grad(risk, scale, create_graph=True)
        risks.append(risk)
        penalties.append(slope.pow(2))
    loss = torch.stack(risks).mean() + l2 * squared_weights(w) + weight * torch.stack(penalties).mean()
    return loss / weight if weight > 1 else loss


def vrex(w, weight, l2):
    losses = bce(torch_one(w), "none")
    risks = [losses[torch.tensor(place == PLACE)].mean() for place in (0, 1)]
    return (sum(risks) + l2 * squared_weights(w) + weight * (risks[0] - risks[1]).pow(2)) / max(weight, 1)


def group_dro(w):
    losses = bce(torch_one(w), "none")
    sizes = torch.tensor(np.bincount(PLACE)).double()
    means = torch.stack([losses[torch.tensor(place == PLACE)].mean() for place in (0, 1)])
    adjusted = means + DRO_ADJUSTMENT / torch.sqrt(sizes)
    q = torch.full((2,), 0.5, dtype=torch.float64) * torch.exp(DRO_RATE * adjusted.detach())
    return (q / q.sum()) @ adjusted


def lff(w, biased):
    """The first step: averages are from zero; the weights are constants, the biased loss is generalised."""
    twin, own = (bce(torch_one(part), "none") for part in (biased, w))
    labels = torch.tensor(CLASSES)
    averages = [(1 - LFF_DECAY) * loss.detach() for loss in (twin, own)]
    b, d = (m / torch.stack([m[labels == label].max() for label in labels]) for m in averages)
    return ((1 - torch.exp(-twin) ** LFF_POWER) / LFF_POWER).mean() + (b / (b + d + 1e-8) * own).mean()


def stitched(m):
    return torch.where(m > 0.2, 0.4 - m, m)


NET, SUM, SOFT = BinaryObjective(one), BinaryObjective(one, mean=False), SoftmaxObjective(both)
ODDS = float(np.log(CLASSES.mean() / (1 - CLASSES.mean())))
CASES = {
    "ERM": (NET, (Y,), lambda w: bce(torch_one(w))),
    "ERM, a sum": (SUM, (Y,), lambda w: bce(torch_one(w), "sum")),
    "ERM, softmax": (SOFT, (CLASSES,), lambda w: F.cross_entropy(torch_both(w), torch.tensor(CLASSES))),
    "SD": (Decoupled(NET, 0.3), (Y,), lambda w: bce(torch_one(w)) + 0.3 * torch_one(w).pow(2).mean()),
    "SD beside a sum": (
        Decoupled(SUM, 0.3), (Y,), lambda w: bce(torch_one(w), "sum") + 0.3 * torch_one(w).pow(2).mean(),
    ),
    "SD, softmax": (
        Decoupled(SOFT, 0.3), (CLASSES,),
        lambda w: F.cross_entropy(torch_both(w), torch.tensor(CLASSES)) + 0.3 * torch_both(w).pow(2).sum(1).mean(),
    ),
    "SD of P21's coloured digits": (
        Scaled(Decoupled(NET, 1.0), 2e-5), (Y,), lambda w: 2e-5 * (bce(torch_one(w)) + torch_one(w).pow(2).mean()),
    ),
    "SD by class on margins": (
        DecoupledByClass(NET, (0.1, 0.4), (0.5, 2.0)), (Y,), lambda w: by_class(w, (0.1, 0.4), (0.5, 2.0), False),
    ),
    "SD by class on logits": (
        DecoupledByClass(NET, 0.1, (0.44, 2.5), on_logits=True), (Y,),
        lambda w: by_class(w, (0.1, 0.1), (0.44, 2.5), True),
    ),
    "logit adjustment": (LogitAdjusted.of(NET, Y), (Y,), lambda w: bce(torch_one(w) + ODDS)),
    "IRM": (IRM(NET, 91257.0, l2=0.0011), (Y, PLACE), lambda w: irm(w, 91257.0, 0.0011)),
    "IRM before": (IRM(NET, 1.0, l2=0.0011), (Y, PLACE), lambda w: irm(w, 1.0, 0.0011)),
    "V-REx": (VREx(NET, 1e4, l2=0.001), (Y, PLACE), lambda w: vrex(w, 1e4, 0.001)),
    "group DRO": (GroupDRO(NET, 2, rate=DRO_RATE, adjustment=DRO_ADJUSTMENT), (Y, PLACE), group_dro),
    "margin log": (
        BinaryObjective(one, MarginLog(0.3)), (Y,),
        lambda w: bce(torch_one(w)) + 0.3 * torch.log(1 + torch_one(w).pow(2)).mean(),
    ),
    "margin damp": (
        BinaryObjective(one, MarginDamp(0.5)), (Y,),
        lambda w: bce(torch_one(w) * (1 - torch.sigmoid(torch.tensor(Y) * torch_one(w) / 0.5))),
    ),
    "margin stitch": (
        BinaryObjective(one, MarginStitch(0.2)), (Y,),
        lambda w: F.softplus(-stitched(torch.tensor(Y) * torch_one(w))).mean(),
    ),
    "squared error": (
        BinaryObjective(one, gs.SquaredError()), (Y,), lambda w: 0.5 * F.mse_loss(torch_one(w), torch.tensor(Y)),
    ),
    "hinge": (
        BinaryObjective(one, gs.Hinge()), (Y,),
        lambda w: F.margin_ranking_loss(torch_one(w), torch.zeros(N).double(), torch.tensor(Y), margin=1.0),
    ),
}  # fmt: skip
METHOD = LfF(NET, power=LFF_POWER, decay=LFF_DECAY)


def ours(method, w, columns):
    """Value and gradient of one step, with what the method remembers after seeing this batch."""
    batch = tuple(map(jnp.asarray, (X, *columns)))
    memory = method.remembered(w, method.start(w, batch), batch)
    return method.value(w, memory, batch), jax.grad(method.value)(w, memory, batch)


@jax.jit
def all_of_ours(w, biased):
    found = {
        name: ours(method if isinstance(method, Method) else ERM(method), w, columns)
        for name, (method, columns, _) in CASES.items()
    }
    return found, ours(METHOD, Twins(biased, w), (Y, np.arange(N)))


def same(found, loss, *weights):
    """To 1e-10 of the largest entry, or better."""
    value, gradients = found
    np.testing.assert_allclose(value, loss.item(), rtol=1e-12)
    loss.backward()
    for gradient, w in zip(gradients, weights, strict=True):
        for name, part in w.items():
            expected = np.zeros(part.shape) if part.grad is None else part.grad.numpy()
            largest = max(np.abs(p.grad.numpy()).max() for p in w.values())
            np.testing.assert_allclose(gradient[name], expected, rtol=1e-10, atol=1e-12 * largest)


def tensors(weights):
    return {name: torch.tensor(value.copy(), requires_grad=True) for name, value in weights.items()}


def test_losses_and_gradients_are_those_of_pytorch():
    found, of_twins = all_of_ours(*(jax.tree.map(jnp.asarray, w) for w in (WEIGHTS, BIASED)))
    for name, (_, _, loss) in CASES.items():
        w = tensors(WEIGHTS)
        value, gradient = found[name]
        same((value, [gradient]), loss(w), w)
    w, biased = tensors(WEIGHTS), tensors(BIASED)
    same(of_twins, lff(w, biased), biased, w)
