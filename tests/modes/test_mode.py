"""Mode against the reference table, its own inverse, finite differences, and in every kind of call."""

import json
from pathlib import Path

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from _mode_oracles import SIZE, central, relative
from _programs import QUICK

import gsdyn as gs
from gsdyn.modes import Mode, Outcome

TABLE = json.loads((Path(__file__).parents[1] / "data" / "modes.json").read_text())
HINGE = gs.Hinge()


def rows(kind):
    chosen = [row for row in TABLE if row["kind"] == kind]
    assert chosen
    chosen = [chosen[k % len(chosen)] for k in range(SIZE)]
    return {key: jnp.array([float(row[key]) for row in chosen]) for key in chosen[0] if key != "kind"}


def mode_of(kind, row):
    if kind == "cross_entropy":
        return Mode(row["norm"], row["depth"], row["rate"], u0=row["u0"])
    loss = HINGE if kind == "hinge" else gs.CrossEntropy()
    return Mode(row["norm"], rate=row["rate"], loss=loss, y0=row["y0"], z0=row["z0"])


@pytest.mark.parametrize("kind", ["cross_entropy", "hinge", "cross_entropy_hyperbola"])
def test_reference_values(kind):
    row = rows(kind)
    mode = mode_of(kind, row)
    assert relative(mode.logit(row["t"]), row["u"]) < 1e-13
    assert relative(mode.time_to(row["u"]), row["t"]) < 1e-13


def test_reference_times_to_a_confidence():
    row = rows("cross_entropy")
    usual = row["eps"] > 1e-3  # 1 - eps keeps the digits of eps
    row = {key: jnp.resize(value[np.asarray(usual)], SIZE) for key, value in row.items()}
    mode = mode_of("cross_entropy", row)
    assert relative(mode.time_to_confidence(1 - row["eps"]), row["t"]) < 1e-11
    assert relative(mode.confidence(row["t"]), 1 - row["eps"]) < 1e-13


def start_grid(rng, n):
    norm = 10 ** rng.uniform(-3, 3, n)
    y0 = 10 ** rng.uniform(-6, 1, n)
    z0 = 10 ** rng.uniform(-6, 1, n) * rng.choice([1, 0], n)
    near = rng.random(n) < 0.4
    return norm, y0, np.where(near, -y0 / norm * (1 - 10 ** rng.uniform(-12, 0, n)), z0)


@pytest.mark.parametrize("loss", [gs.CrossEntropy(), HINGE])
def test_logit_and_time_are_inverse(loss):
    rng = np.random.default_rng(0)
    high = 1.0 if loss == HINGE else 700.0
    for _ in range(20):
        norm, y0, z0 = start_grid(rng, SIZE)
        mode = Mode(norm, y0=y0, z0=z0, loss=loss)
        assert (mode.outcome == Outcome.SOLVES).all()
        u = np.maximum(mode.start, 0) + 10 ** rng.uniform(-3, np.log10(high), norm.size)
        u = jnp.minimum(u, jnp.maximum(high, mode.start))
        back = mode.logit(mode.time_to(u))
        # near u = 0 on the way from a negative start the unit is the start's
        assert float(jnp.max(jnp.abs(back - u) / jnp.maximum(jnp.abs(u), jnp.abs(mode.start)))) < 1e-12


def test_logit_and_time_are_inverse_at_any_depth():
    rng = np.random.default_rng(1)
    for _ in range(20):
        norm, u0 = 10 ** rng.uniform(-3, 3, SIZE), 10 ** rng.uniform(-3, 0, SIZE)
        depth = np.where(rng.random(SIZE) < 0.3, 2, 2 * 32 ** rng.uniform(0, 1, SIZE))
        mode = Mode(norm, depth, u0=u0)
        u = u0 + 10 ** rng.uniform(-2, 2.84, SIZE)
        t = mode.time_to(u)
        assert relative(mode.time_to(mode.logit(t)), t) < 1e-12
        # a start this small makes the time of a deep network all plateau: its last digits fix the logit
        speed = depth * norm ** (2 / depth) * u ** (2 - 2 / depth) * jax.nn.sigmoid(-u)
        plateau = np.maximum(1, t * speed / u)
        assert float(jnp.max(jnp.abs(mode.logit(t) / u - 1) / plateau)) < 4e-15


@pytest.mark.parametrize("balanced", [True, False])
def test_time_up_to_1e300(balanced):
    norm = np.resize([1e-3, 1e3], SIZE)
    mode = Mode(norm, np.resize([2.0, 2.0, 3.0, 64.0], norm.size), u0=0.1) if balanced else Mode(norm, y0=0.1, z0=-1e-5)
    u = mode.logit(1e300)
    assert float(u.min()) > 640
    assert float(u.max()) < 720
    assert relative(mode.time_to(u), 1e300) < 1e-11


@pytest.mark.parametrize("loss", [gs.CrossEntropy(), HINGE])
def test_start_is_the_logit_at_time_zero(loss):
    mode = Mode(1.3, y0=np.resize([0.4, 0.4, 3.0], SIZE), z0=np.resize([0.3, -0.2, 2.0], SIZE), loss=loss)
    assert (mode.logit(0.0) == mode.start).all()
    assert (mode.time_to(mode.start) == 0).all()
    np.testing.assert_allclose(mode.invariant, mode.y0**2 - (1.3 * mode.z0) ** 2, rtol=1e-14)


# columns: generic, degenerate, left of zero, on the axis
PAIRS = jnp.array([[1.2, 0.5, 0.3], [1.2, 0.5, 0.5 / 1.2], [0.8, 0.5, -0.3], [1.2, 0.5, 0.0]])


@pytest.mark.parametrize("loss", [pytest.param(gs.CrossEntropy(), marks=pytest.mark.slow), HINGE])
def test_derivatives_of_a_pair(loss):
    def outputs(x):
        mode = Mode(x[0], rate=x[3], y0=x[1], z0=x[2], loss=loss)
        return jnp.stack([mode.time_to(x[4]), mode.logit(x[5])])

    x = jnp.concatenate([PAIRS, jnp.tile(jnp.array([0.7, 0.8, 0.9]), (4, 1))], axis=1)
    derivative = jax.jit(jax.vmap(jax.jacrev(outputs)), compiler_options=QUICK)(x)
    values = jax.jit(jax.vmap(outputs), compiler_options=QUICK)
    for k in range(6):
        move = jnp.zeros_like(x).at[:, k].set(1e-6)
        slope = (values(x + move) - values(x - move)) / 2e-6
        np.testing.assert_allclose(derivative[:, :, k], slope, rtol=2e-7, atol=2e-8)


def test_second_derivative_through_the_degenerate_hyperbola():
    # d^2 u / d y0^2 at c = 0, where the logit depends on the square of the invariant only
    def slope(y0):
        return jax.grad(lambda y: Mode(1.2, y0=y, z0=0.5 / 1.2, loss=HINGE).time_to(0.9))(y0)

    assert float(jax.jit(jax.grad(slope))(0.5)) == pytest.approx(central(jax.jit(slope), 0.5), rel=1e-7)


@pytest.mark.slow
def test_second_derivative_of_the_quadrature():
    def slope(y0):
        return jax.grad(lambda y: Mode(1.2, y0=y, z0=0.5 / 1.2).logit(2.0))(y0)

    assert float(jax.jit(jax.grad(slope))(0.5)) == pytest.approx(central(jax.jit(slope), 0.5), rel=1e-6)


BALANCED = jnp.array([1.3, 3.0, 0.7, 0.1, 0.8, 0.9])


def of_balanced(x, loss=None):
    mode = Mode(x[0], x[1], x[2], loss, u0=x[3])
    return jnp.stack([mode.time_to(x[4]), mode.logit(x[5])])


@pytest.mark.parametrize("loss", [pytest.param(gs.CrossEntropy(), marks=pytest.mark.slow), HINGE])
def test_derivatives_of_a_balanced_start(loss):
    kept = jnp.array([0, 2, 3, 4, 5])
    slopes = jax.jit(jax.jacrev(lambda v, x: of_balanced(x.at[kept].set(v), loss)), compiler_options=QUICK)
    values = jax.jit(lambda x: of_balanced(x, loss), compiler_options=QUICK)
    for depth in (2.0, 3.0):
        x = BALANCED.at[1].set(depth)
        derivative = slopes(x[kept], x)
        for j, k in enumerate(kept):
            move = jnp.zeros_like(x).at[k].set(1e-6)
            slope = (values(x + move) - values(x - move)) / 2e-6
            np.testing.assert_allclose(derivative[:, j], slope, rtol=2e-7, atol=2e-8)


@pytest.mark.parametrize("loss", [pytest.param(gs.CrossEntropy(), marks=pytest.mark.slow), HINGE])
def test_derivatives_in_the_depth(loss):
    values = jax.jit(lambda x: of_balanced(x, loss), compiler_options=QUICK)
    slopes = jax.jit(lambda x: jax.jvp(lambda d: of_balanced(x.at[1].set(d), loss), (x[1],), (1.0,))[1])
    for depth, low in ((3.0, 3.0 - 1e-6), (2.0, 2.0)):  # no depth below two
        x = BALANCED.at[1].set(depth)
        slope = (values(x.at[1].add(1e-6)) - values(x.at[1].set(low))) / (depth + 1e-6 - low)
        np.testing.assert_allclose(slopes(x), slope, rtol=4e-6, atol=1e-7)


def test_derivative_at_a_tiny_start():
    # t ~ -2 log(u0) / 2 r: the derivative is -1/(r u0)
    slope = jax.grad(lambda u0: Mode(2.0, u0=u0).time_to(1.0))(1e-200)
    assert float(slope) == pytest.approx(-1 / (2.0 * 1e-200), rel=1e-12)


def test_balanced_start_is_the_limit_of_hyperbolas():
    u0, norm = 0.05, 1.7
    z0 = np.sqrt(u0 / norm)
    near = Mode(norm, y0=norm * z0 * (1 + np.resize([0.0, 1e-9, -1e-9], SIZE)), z0=z0)
    u = Mode(norm, u0=np.full(SIZE, u0)).logit(3.0)
    np.testing.assert_allclose(near.logit(3.0), u, rtol=2e-8)
    assert relative(near.logit(3.0)[::3], u[::3]) < 1e-14


@pytest.mark.parametrize("loss", [gs.CrossEntropy(), HINGE])
def test_weights_make_the_logit(loss):
    t = np.resize([0.0, 0.5, 3.0, 20.0], SIZE)
    mode = Mode(1.3, y0=0.4, z0=np.repeat([-0.2, -0.4, 0.3], 8), loss=loss)
    y, z = mode.weights(t)
    np.testing.assert_allclose(y * z, mode.logit(t), rtol=1e-13, atol=1e-15)
    np.testing.assert_allclose((y**2 - (1.3 * z) ** 2), mode.invariant, rtol=1e-12)
    mode = Mode(1.3, 3, u0=np.full(SIZE, 0.1), loss=loss)
    y, z = mode.weights(t)
    np.testing.assert_allclose(y * z**2, mode.logit(t), rtol=1e-13)
    np.testing.assert_allclose(y, 1.3 * z, rtol=1e-15)


def test_log_bound_holds_and_is_loose():
    t = 10.0 ** np.arange(-3, 93, 4)
    for norm, u0 in ((0.1, 1e-3), (1.0, 0.1), (10.0, 3.0)):
        mode = Mode(np.full(t.size, norm), rate=0.6, u0=u0)
        ratio = mode.logit(t) / mode.log_bound(t)
        assert float(ratio.max()) <= 1 + 1e-12
        # the constant 2 of C18-Eq18 is not the rate: u / log t tends to 1
        assert float(ratio[-1]) < 0.53


def test_the_log_bound_is_false_off_the_degenerate_hyperbola():
    mode = Mode(1.0, y0=np.full(SIZE, 3.0), z0=0.0)
    assert float(mode.logit(1.0)[0]) > 2 * np.log(1.0 + 1)
    with pytest.raises(ValueError, match="log_bound"):
        mode.log_bound(1.0)


def test_shapes_broadcast_jit_and_vmap():
    mode = Mode(jnp.array([0.5, 1.0, 2.0]), y0=0.3, z0=0.2, loss=HINGE)
    t = jnp.array([[0.3], [0.6]])
    table = mode.logit(t)
    assert table.shape == (2, 3)
    np.testing.assert_allclose(jax.vmap(lambda m: m.logit(0.6))(mode), table[1], rtol=1e-15)
    np.testing.assert_allclose(eqx.filter_jit(lambda m, x: m.logit(x))(mode, t), table, rtol=1e-15)
    one = jax.jit(lambda r: Mode(r, y0=0.3, z0=0.2, loss=HINGE).logit(0.6))(1.0)
    np.testing.assert_allclose(one, table[1, 1], rtol=1e-15)


def pair(dtype):
    norm = jnp.asarray(np.resize([0.05, 1.0, 20.0], SIZE), dtype)
    return Mode(norm, y0=jnp.asarray(0.3, dtype), z0=-0.01)


def chain(dtype):
    return Mode(jnp.asarray(np.resize([0.05, 1.0, 20.0], SIZE), dtype), 3, u0=jnp.asarray(0.1, dtype))


@pytest.mark.parametrize("make", [pair, chain])
def test_float32(make):
    wide, narrow = make("float64"), make("float32")
    assert narrow.time_to(0.9).dtype == jnp.float32
    assert relative(narrow.time_to(0.9), wide.time_to(0.9)) < 3e-6


BAD = {
    "norm": lambda: Mode(-1.0, u0=0.1),
    "norm ": lambda: Mode(float("nan"), u0=0.1),
    "rate": lambda: Mode(1.0, rate=0.0, u0=0.1),
    "depth": lambda: Mode(1.0, 1.5, u0=0.1),
    "depth ": lambda: Mode(1.0, 3, y0=0.1, z0=0.1),
    "u0": lambda: Mode(1.0, u0=-0.1),
    "y0": lambda: Mode(1.0, y0=float("inf"), z0=0.1),
    "start": lambda: Mode(1.0, y0=0.1),
    "start ": lambda: Mode(1.0, u0=0.1, y0=0.1, z0=1.0),
    "loss": lambda: Mode(1.0, u0=0.1, loss=gs.SquaredError()),
    "t ": lambda: Mode(1.0, u0=0.1).logit(-1.0),
    "u must be at least": lambda: Mode(1.0, u0=0.1).time_to(0.05),
    "u must be at most": lambda: Mode(1.0, u0=0.1, loss=HINGE).time_to(1.1),
    "u must be at least ": lambda: Mode(1.0, u0=0.1, loss=HINGE).time_to(0.05),
    "confidence": lambda: Mode(1.0, u0=0.1).time_to_confidence(1.0),
    "confidence ": lambda: Mode(1.0, u0=0.1).time_to_confidence(0.5),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input(name):
    with pytest.raises(ValueError, match=name.strip()) as error:
        BAD[name]()
    assert "\n" not in str(error.value)


@pytest.mark.traced
def test_bad_input_inside_jit():
    with pytest.raises(Exception, match="at most the margin"):
        jax.block_until_ready(jax.jit(lambda u: Mode(1.0, u0=0.1, loss=HINGE).time_to(u))(1.5))
