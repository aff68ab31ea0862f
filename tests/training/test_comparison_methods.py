"""Comparison methods against their formulas in NumPy, and gradients against finite differences of those."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
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
    MarginDamp,
    MarginLog,
    MarginStitch,
    Method,
    Scaled,
    SoftmaxObjective,
    Switched,
    Twins,
    VREx,
    train,
)

RNG = np.random.default_rng(0)
N = 12
X = RNG.normal(size=(N, 3))
Y = np.where(np.arange(N) % 3 == 0, 1.0, -1.0)
PLACE = np.arange(N) % 2  # environment, or group
CLASSES = np.arange(N) % 3
W = RNG.normal(size=(2, 3)) * 0.7  # a network of two hidden units


def net(w, x):
    return jnp.sum(jnp.tanh(x @ w.T), axis=1)


def three(w, x):
    f = jnp.tanh(x @ w.T)
    return jnp.stack([f[:, 0], f[:, 1], 0.5 * f[:, 0] * f[:, 1]], axis=1)


def np_net(w, x=X):
    return np.tanh(x @ w.T).sum(axis=1)


def np_three(w, x=X):
    f = np.tanh(x @ w.T)
    return np.stack([f[:, 0], f[:, 1], 0.5 * f[:, 0] * f[:, 1]], axis=1)


def entropy(m):
    return np.log1p(np.exp(-m))


def soft(f, y=CLASSES):
    return np.log(np.exp(f).sum(axis=1)) - f[np.arange(len(y)), y]


def differences(function, w, h=1e-5):
    """The gradient by fourth-order central differences."""
    found = np.zeros_like(w)
    for i in np.ndindex(*w.shape):
        step = np.zeros_like(w)
        step[i] = h
        values = [function(w + k * step) for k in (2, 1, -1, -2)]
        found[i] = (-values[0] + 8 * values[1] - 8 * values[2] + values[3]) / (12 * h)
    return found


def by_place(values):
    return np.array([values[e == PLACE].mean() for e in (0, 1)])


def irm(w, weight, l2, losses=None):
    if losses is None:
        f, own = np_net(w), (Y + 1) / 2
        risks = by_place(entropy(Y * f))
        slopes = by_place((1 / (1 + np.exp(-f)) - own) * f)
    else:
        risks, slopes = by_place(losses(1.0)), by_place((losses(1 + 1e-5) - losses(1 - 1e-5)) / 2e-5)
    return (risks.mean() + l2 * (w**2).sum() + weight * (slopes**2).mean()) / max(weight, 1)


def vrex(w, weight, l2):
    risks = by_place(entropy(Y * np_net(w)))
    return (risks.sum() + l2 * (w**2).sum() + weight * (risks[0] - risks[1]) ** 2) / max(weight, 1)


def decoupled_by_class(w, c, gamma, on_logits):
    f = np_net(w)
    held = f if on_logits else Y * f
    parts = [c[k] * ((held[label == Y] - gamma[k]) ** 2).mean() for k, label in enumerate((-1, 1))]
    return entropy(Y * f).mean() + sum(parts)


NET, SUM = BinaryObjective(net), BinaryObjective(net, mean=False)
CASES = {
    "ERM": (ERM(NET), (Y,), lambda w: entropy(Y * np_net(w)).mean()),
    "SD": (Decoupled(NET, 0.3), (Y,), lambda w: entropy(Y * np_net(w)).mean() + 0.3 * (np_net(w) ** 2).mean()),
    "SD beside a sum": (
        Decoupled(SUM, 0.3), (Y,), lambda w: entropy(Y * np_net(w)).sum() + 0.3 * (np_net(w) ** 2).mean(),
    ),
    "SD of three classes": (
        Decoupled(SoftmaxObjective(three), 0.3), (CLASSES,),
        lambda w: soft(np_three(w)).mean() + 0.3 * (np_three(w) ** 2).sum() / N,
    ),
    "SD by class on margins": (
        DecoupledByClass(NET, (0.1, 0.4), (0.5, 2.0)), (Y,),
        lambda w: decoupled_by_class(w, (0.1, 0.4), (0.5, 2.0), False),
    ),
    "SD by class on logits": (
        DecoupledByClass(NET, 0.1, (0.44, 2.5), on_logits=True), (Y,),
        lambda w: decoupled_by_class(w, (0.1, 0.1), (0.44, 2.5), True),
    ),
    "scaled": (Scaled(NET, 2e-5), (Y,), lambda w: 2e-5 * entropy(Y * np_net(w)).mean()),
    "IRM": (IRM(NET, 30.0, l2=0.01), (Y, PLACE), lambda w: irm(w, 30.0, 0.01)),
    "IRM below 1": (IRM(NET, 0.3), (Y, PLACE), lambda w: irm(w, 0.3, 0.0)),
    "IRM not rescaled": (IRM(NET, 30.0, rescale=False), (Y, PLACE), lambda w: 30 * irm(w, 30.0, 0.0)),
    "IRM of three classes": (
        IRM(SoftmaxObjective(three), 30.0), (CLASSES, PLACE),
        lambda w: irm(w, 30.0, 0.0, lambda t: soft(t * np_three(w))),
    ),
    "V-REx": (VREx(NET, 30.0, l2=0.01), (Y, PLACE), lambda w: vrex(w, 30.0, 0.01)),
    "margin log": (
        BinaryObjective(net, MarginLog(0.3)), (Y,),
        lambda w: (entropy(Y * np_net(w)) + 0.3 * np.log(1 + np_net(w) ** 2)).mean(),
    ),
    "margin damp": (
        BinaryObjective(net, MarginDamp(0.5)), (Y,),
        lambda w: entropy(Y * np_net(w) * (1 - 1 / (1 + np.exp(-Y * np_net(w) / 0.5)))).mean(),
    ),
    "margin stitch": (
        BinaryObjective(net, MarginStitch(0.2)), (Y,),
        lambda w: entropy(np.where(Y * np_net(w) > 0.2, 0.4 - Y * np_net(w), Y * np_net(w))).mean(),
    ),
}  # fmt: skip


def test_value_and_gradient_of_every_objective():
    def gradients(w):
        found = {}
        for name, (objective, columns, _) in CASES.items():
            method = objective if isinstance(objective, Method) else ERM(objective)
            batch = (jnp.asarray(X), *map(jnp.asarray, columns))
            memory = method.start(w, batch)
            found[name] = method.value(w, memory, batch), method.gradients(w, memory, batch)[0]
        return found

    for name, (value, gradient) in jax.jit(gradients)(jnp.asarray(W)).items():
        oracle = CASES[name][2]
        np.testing.assert_allclose(value, oracle(W), rtol=1e-9 if "three" in name else 1e-13, err_msg=name)
        expected = differences(oracle, W)
        np.testing.assert_allclose(gradient, expected, rtol=1e-5, atol=1e-8 * np.abs(expected).max(), err_msg=name)


def test_an_environment_that_a_batch_lacks_takes_no_part():
    only, w = (X[PLACE == 1], Y[PLACE == 1], PLACE[PLACE == 1]), jnp.asarray(W)
    f = np_net(W, only[0])
    risk, slope = entropy(only[1] * f).mean(), ((1 / (1 + np.exp(-f)) - (only[1] + 1) / 2) * f).mean()
    np.testing.assert_allclose(IRM(NET, 0.5)(w, *only), risk + 0.5 * slope**2, rtol=1e-13)
    np.testing.assert_allclose(VREx(NET, 0.5)(w, *only), risk, rtol=1e-13)
    lacking = DecoupledByClass(NET, 0.1, (1.0, 2.0))(w, X[Y > 0], Y[Y > 0])
    m = np_net(W, X[Y > 0])
    np.testing.assert_allclose(lacking, entropy(m).mean() + 0.1 * ((m - 2) ** 2).mean(), rtol=1e-13)


def np_gradient(w, weights, signs=Y, x=X):
    """Of `sum_i weights_i l(y_i f_i)`, by hand."""
    t = np.tanh(x @ w.T)
    pull = -weights * signs / (1 + np.exp(signs * t.sum(axis=1)))
    return ((1 - t**2) * pull[:, None]).T @ x


def test_group_dro_by_hand():
    """Five steps in NumPy: weights first, then the step they weight; groups of 8 and 4."""
    group = (np.arange(N) % 3 == 0).astype(int)
    rate, constant, step = 0.5, 0.7, 0.3
    sizes = np.array([8, 4])
    q, w = np.full(2, 0.5), W.copy()
    for _ in range(5):
        losses = entropy(Y * np_net(w))
        means = np.array([losses[group == g].mean() for g in (0, 1)])
        q = q * np.exp(rate * (means + constant / np.sqrt(sizes)))
        q = q / q.sum()
        w = w - step * np_gradient(w, q[group] / sizes[group])
    method = GroupDRO(NET, 2, rate=rate, adjustment=constant)
    run = train(jnp.asarray(W), method, (X, Y, group), optax.sgd(step), [5])
    np.testing.assert_allclose(run.params, w, rtol=1e-12)
    # a group that the batch lacks: its loss counts as 0, only its adjustment moves its weight
    memory = method.start(jnp.asarray(W), (X, jnp.asarray(Y), jnp.asarray(group)))
    rows = group == 0
    batch = (jnp.asarray(X[rows]), jnp.asarray(Y[rows]), jnp.asarray(group[rows]))
    moved = np.exp(rate * (np.array([entropy(Y[rows] * np_net(W, X[rows])).mean(), 0]) + constant / np.sqrt(sizes)))
    np.testing.assert_allclose(np.exp(method.remembered(jnp.asarray(W), memory, batch).log), moved / moved.sum())
    # losses of 1e4 under a rate of 1 overflow no weight
    far = method.remembered(jnp.asarray(1e5 * W), memory, batch)
    assert np.isfinite(far.log).all()


def test_lff_by_hand():
    """Four steps in NumPy of both networks."""
    power, decay, step = 0.7, 0.6, 0.3
    biased, debiased = W.copy(), 0.5 * W[::-1]
    averages = np.zeros((2, N))
    for _ in range(4):
        losses = np.stack([entropy(Y * np_net(biased)), entropy(Y * np_net(debiased))])
        averages = decay * averages + (1 - decay) * losses
        tops = np.stack([[averages[k][label == Y].max() for label in Y] for k in range(2)])
        b, d = averages / tops
        weights = b / (b + d + 1e-8)
        p = np.exp(-losses[0])
        biased = biased - step * np_gradient(biased, p**power / N)
        debiased = debiased - step * np_gradient(debiased, weights / N)
    method = LfF(NET, power=power, decay=decay)
    start = Twins(jnp.asarray(W), jnp.asarray(0.5 * W[::-1]))
    run = train(start, method, method.columns(X, Y), optax.sgd(step), [4])
    np.testing.assert_allclose(run.params.biased, biased, rtol=1e-12)
    np.testing.assert_allclose(run.params.debiased, debiased, rtol=1e-12)

    # two classes of a softmax are the same network
    def two(w, x):
        return jnp.stack([jnp.zeros_like(net(w, x)), net(w, x)], axis=1)

    soft = LfF(SoftmaxObjective(two), power=power, decay=decay)
    run = train(start, soft, soft.columns(X, np.where(Y > 0, 1, 0)), optax.sgd(step), [4])
    np.testing.assert_allclose(run.params.debiased, debiased, rtol=1e-12)


def momentum_by_hand(oracles, switch, fresh, steps=6, rate=0.1, keep=0.9):
    w, trace = W.copy(), np.zeros_like(W)
    for k in range(steps):
        if k == switch and fresh:
            trace = np.zeros_like(W)
        trace = differences(oracles[k >= switch], w) + keep * trace
        w = w - rate * trace
    return w


@pytest.mark.parametrize("fresh", [False, True], ids=["the optimiser stays", "the optimiser starts anew"])
def test_a_switch_is_after_its_step(fresh):
    """Between objectives of two kinds, and between two that differ in numbers alone."""
    cases = {
        "kinds": (NET, Scaled(Decoupled(NET, 1.0), 0.5), (Y,),
                  lambda w: 0.5 * (entropy(Y * np_net(w)).mean() + (np_net(w) ** 2).mean())),
        "numbers": (IRM(NET, 0.0), IRM(NET, 30.0), (Y, PLACE), lambda w: irm(w, 30.0, 0.0)),
    }  # fmt: skip
    for first, second, columns, after in cases.values():
        before = (lambda w: irm(w, 0.0, 0.0)) if len(columns) == 2 else (lambda w: entropy(Y * np_net(w)).mean())
        method = Switched(first, second, 4, fresh=fresh)
        run = train(jnp.asarray(W), method, (X, *columns), optax.sgd(0.1, momentum=0.9), [6])
        np.testing.assert_allclose(run.params, momentum_by_hand((before, after), 4, fresh), rtol=1e-8)


def test_margin_losses_at_the_ends():
    f = jnp.asarray([-1e200, -800.0, 0.0, 800.0, 1e200])
    for loss in (MarginLog(0.3), MarginDamp(0.5), MarginStitch(2.0)):
        value, slope = jax.value_and_grad(loss.value)(f)
        assert np.isfinite(value), loss
        assert np.isfinite(slope).all(), loss
    np.testing.assert_allclose(MarginLog(0.3).value(f[4:]), 0.6 * np.log(1e200), rtol=1e-15)


def test_single_precision_stays():
    w, x = jnp.asarray(W, jnp.float32), jnp.asarray(X, jnp.float32)
    for method, columns in (
        (GroupDRO(NET, 2, adjustment=1.0), (Y, PLACE)),
        (Switched(NET, Decoupled(NET, 1.0), 2), (Y,)),
        (VREx(NET, 3.0, l2=0.1), (Y, PLACE)),
    ):
        assert train(w, method, (x, *columns), optax.adam(0.1), [3]).params.dtype == jnp.float32
    method = LfF(NET)
    assert train(Twins(w, w), method, method.columns(x, Y), optax.adam(0.1), [3]).params.debiased.dtype == jnp.float32


BAD = {
    "an objective that is none": (lambda: GroupDRO(net, 2), "objective must be a NetworkLoss"),
    "no groups": (lambda: GroupDRO(NET, 0), "groups must be at least 1"),
    "a rate below 0": (lambda: GroupDRO(NET, 2, rate=-1.0), "rate must be finite and >= 0"),
    "an adjustment NaN": (lambda: GroupDRO(NET, 2, adjustment=np.nan), "adjustment must be finite and >= 0"),
    "a coefficient below 0": (lambda: Decoupled(NET, -1.0), "coefficient must be finite and >= 0"),
    "three coefficients": (lambda: DecoupledByClass(NET, [1.0, 2.0, 3.0]), "coefficient must be a number or a pair"),
    "a target by name": (lambda: DecoupledByClass(NET, 1.0, "dark"), "target must be finite"),
    "classes on a softmax": (
        lambda: DecoupledByClass(SoftmaxObjective(three), 1.0), "objective must be a BinaryObjective",
    ),
    "a weight None": (lambda: IRM(NET, None), "weight must be finite and >= 0"),
    "an l2 below 0": (lambda: VREx(NET, 1.0, l2=-1.0), "l2 must be finite and >= 0"),
    "half an environment": (lambda: IRM(NET, 1.0, environments=0.5), "environments must be an integer at least 1"),
    "a power of 0": (lambda: LfF(NET, power=0.0), "power must be in (0, 1]"),
    "a decay of 1": (lambda: LfF(NET, decay=1.0), "decay must be in [0, 1)"),
    "LfF of a hinge": (lambda: LfF(BinaryObjective(net, gs.Hinge())), "objective must have the loss CrossEntropy()"),
    "a switch before the start": (lambda: Switched(NET, NET, -1), "step must be at least 0"),
    "a switch to nothing": (lambda: Switched(NET, None, 1), "second must be a function"),
    "a temperature of 0": (lambda: MarginDamp(0.0), "temperature must be finite and > 0"),
    "a turn at infinity": (lambda: MarginStitch(np.inf), "turn must be finite"),
    "a loss by name": (lambda: BinaryObjective(net, "hinge"), "loss must be a gsdyn loss"),
    "a mean by number": (lambda: BinaryObjective(net, mean=2), "mean must be True or False"),
    "no network": (lambda: BinaryObjective(None), "apply must be a function"),
    "a factor by name": (lambda: Scaled(NET, "half"), "factor must be finite"),
}  # fmt: skip
DATA = {
    "no environments": (IRM(NET, 1.0), (X, Y), "data must be the arrays (x, y, environment), got 2 of them"),
    "environment 2 of 2": (IRM(NET, 1.0), (X, Y, PLACE + 1), "environment must be a vector of integers in 0..1, got 2"),
    "environments with a point": (IRM(NET, 1.0), (X, Y, PLACE * 1.0), "environment must be a vector of integers"),
    "a group without examples": (GroupDRO(NET, 3), (X, Y, PLACE), "group must have an example of each of the 3 groups"),
    "labels 0 and 1": (GroupDRO(NET, 2), (X, (Y + 1) / 2, PLACE), "y must be a vector of -1 and +1, got 0.0: convert"),
    "one network for LfF": (LfF(NET), (X, Y, np.arange(N)), "params must be a Twins"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_methods_are_refused(name):
    build, message = BAD[name]
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - the text is compared below, literally
        build()
    assert str(caught.value).startswith(message)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", DATA)
def test_bad_data_for_methods_are_refused(name):
    method, data, message = DATA[name]
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - the text is compared below, literally
        train(jnp.asarray(W), method, data, optax.sgd(0.1), [1])
    assert str(caught.value).startswith(message)
    assert "\n" not in str(caught.value)
