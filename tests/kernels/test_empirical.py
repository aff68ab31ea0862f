"""NTRF matrices and empirical kernels against forward-mode Jacobians, neural-tangents and hand-made examples."""

import dataclasses
import re

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree

import gsdyn.kernels._neural_tangents as adapter
from gsdyn import kernels
from gsdyn._numerics.precision import full_precision
from gsdyn.features import FeatureBasis
from gsdyn.kernels import LayerContraction, VectorProducts, empirical_ntk, ntrf
from gsdyn.networks import Erf, FullyConnected

METHODS = [LayerContraction(), VectorProducts()]


def inputs(n=7, d=4, seed=0):
    return np.random.default_rng(seed).standard_normal((n, d))


def conv(params, x):
    """A plain function: convolution, tanh, pooling, dense; x of shape (n, h, w, c)."""
    x = jax.lax.conv_general_dilated(x, params["kernel"], (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC"))
    return jnp.mean(jnp.tanh(x), axis=(1, 2)) @ params["dense"] + params["bias"][None, :]


def conv_case():
    keys = jax.random.split(jax.random.key(3), 3)
    params = {
        "bias": jax.random.normal(keys[0], (3,)),
        "dense": jax.random.normal(keys[1], (5, 3)),
        "kernel": jax.random.normal(keys[2], (2, 2, 2, 5)),
    }
    return conv, params, np.random.default_rng(1).standard_normal((6, 3, 4, 2))


@dataclasses.dataclass(frozen=True)
class FlaxStyle:
    """`module.apply(variables, x)`, hashable and no pytree, as Flax has it."""

    width: int

    def apply(self, variables, x):
        p = variables["params"]
        return jax.nn.gelu(x @ p["a"]["kernel"] + p["a"]["bias"][None, :]) @ p["b"]["kernel"]


def flax_case():
    keys = jax.random.split(jax.random.key(4), 3)
    params = {
        "a": {"kernel": jax.random.normal(keys[0], (4, 6)), "bias": jax.random.normal(keys[1], (6,))},
        "b": {"kernel": jax.random.normal(keys[2], (6, 2))},
    }
    return FlaxStyle(6), {"params": params}, inputs()


def loop(params, x):
    """One weight used in every step of a loop, another transposed, with integers among the parameters."""

    def step(h, _):
        return jnp.tanh(h @ params["w"] * 0.7), None

    h = jax.lax.scan(step, x, None, length=params["n"].size)[0]
    return (jnp.sin(h) @ params["v"].T)[:, 0] + params["shift"]


def loop_case():
    keys = jax.random.split(jax.random.key(5), 2)
    w, v = jax.random.normal(keys[0], (4, 4)), jax.random.normal(keys[1], (1, 4))
    return loop, {"w": w, "v": v, "n": jnp.arange(3), "shift": jnp.asarray(0.5)}, inputs()


def dense_case(depth=3, **kwargs):
    net = FullyConnected(depth, 16, b_std=0.1, **kwargs)
    return net, net.init(jax.random.key(0), 4), inputs()


CASES = {
    "dense": dense_case,
    "classes": lambda: dense_case(2, outputs=3, activation=Erf()),
    "conv": conv_case,
    "flax": flax_case,
    "loop": loop_case,
}


def reference(net, params, x):
    """Phi by forward mode, all outputs as rows (n, C, m), columns as `ravel_pytree` orders them."""
    chosen, rest = eqx.partition(params, eqx.is_inexact_array)
    flat, back = ravel_pytree(chosen)
    apply = getattr(net, "apply", net)
    phi = jax.jacfwd(lambda v: apply(eqx.combine(back(v), rest), jnp.asarray(x)))(flat)
    return np.asarray(phi)


@pytest.mark.parametrize("case", CASES)
def test_ntrf_is_the_jacobian(case):
    net, params, x = CASES[case]()
    expected = reference(net, params, x)
    phi = ntrf(net, params, x, batch=3)
    assert phi.shape == expected.shape
    np.testing.assert_allclose(phi, expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("method", METHODS)
def test_kernel_is_phi_phi_transposed(case, method):
    net, params, x = CASES[case]()
    phi = reference(net, params, x)
    pair = phi.shape[1:-1] * 2
    phi = phi.reshape(len(x), -1, phi.shape[-1])
    expected = np.einsum("icm,jdm->ijcd", phi, phi)
    tolerance = {"rtol": 1e-10, "atol": 1e-12 * np.max(np.abs(expected))}
    theta = empirical_ntk(net, params, x, method=method, tile=3)
    assert theta.shape == (len(x), len(x), *pair)
    np.testing.assert_allclose(theta.reshape(expected.shape), expected, **tolerance)
    np.testing.assert_array_equal(theta, theta.transpose(1, 0, 3, 2) if pair else theta.T)
    if case == "classes":
        mean = empirical_ntk(net, params, x, trace=True, method=method)
        np.testing.assert_allclose(mean, np.einsum("ijcc->ij", expected) / phi.shape[1], **tolerance)
        np.testing.assert_array_equal(mean, mean.T)
        across = empirical_ntk(net, params, x[:5], x[3:], method=method, tile=2)
        np.testing.assert_allclose(across, expected[:5, 3:], **tolerance)


@pytest.mark.slow
def test_equinox_modules_hold_their_parameters():
    module = eqx.nn.MLP(4, 2, 8, 2, key=jax.random.key(0))
    scalar = eqx.nn.MLP(4, "scalar", 8, 1, key=jax.random.key(1))
    x = inputs()
    for net, shape in ((module, (7, 2)), (scalar, (7,))):
        arrays, static = eqx.partition(net, eqx.is_inexact_array)
        flat, back = ravel_pytree(arrays)
        expected = jax.jacfwd(lambda v, b=back, s=static: jax.vmap(eqx.combine(b(v), s))(x))(flat)
        phi = ntrf(net, None, x)
        assert phi.shape == (*shape, flat.size)
        np.testing.assert_allclose(phi, expected, rtol=1e-12, atol=1e-12)
        theta = empirical_ntk(net, None, x, trace=True)
        rows = np.asarray(expected).reshape(7, -1, flat.size)
        np.testing.assert_allclose(theta, np.einsum("icm,jcm->ij", rows, rows) / rows.shape[1], rtol=1e-11)
    trained = jax.tree.map(lambda leaf: 2 * leaf if eqx.is_inexact_array(leaf) else leaf, module)
    np.testing.assert_array_equal(ntrf(module, trained, x), ntrf(trained, None, x))
    assert np.any(np.asarray(ntrf(module, trained, x) != ntrf(module, None, x)))


@pytest.mark.filterwarnings("ignore:size requires ndarray:DeprecationWarning")  # neural-tangents' own, in 2
@pytest.mark.parametrize("implementation", [pytest.param(1, marks=pytest.mark.slow), 2])
def test_neural_tangents_agrees(implementation):
    nt = adapter.load()
    net, params, x = dense_case(3, outputs=2)
    theirs = nt.empirical_ntk_fn(net.apply, trace_axes=(), implementation=implementation)
    expected = theirs(x[:4], x[4:], params)
    for method in METHODS:
        theta = empirical_ntk(net, params, x[:4], x[4:], method=method)
        np.testing.assert_allclose(theta, expected, rtol=1e-11, atol=1e-11)
    mean = nt.empirical_ntk_fn(net.apply, trace_axes=(-1,), implementation=implementation)(x[:4], x[4:], params)
    np.testing.assert_allclose(empirical_ntk(net, params, x[:4], x[4:], trace=True), mean, rtol=1e-11, atol=1e-11)


def test_features_of_phi_and_of_the_kernel_agree():
    net, params, x = dense_case()
    y = np.where(np.arange(7) % 2, 1.0, -1.0)
    one = FeatureBasis.from_ntrf(ntrf(net, params, x), y)
    two = FeatureBasis.from_kernel(empirical_ntk(net, params, x), y)
    np.testing.assert_allclose(one.s, two.s, rtol=1e-7)


def test_through_jit_vmap_and_grad():
    net, params, x = dense_case(2)
    phi, theta = ntrf(net, params, x), empirical_ntk(net, params, x)
    np.testing.assert_allclose(jax.jit(lambda p, x: ntrf(net, p, x))(params, x), phi, rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(jax.jit(lambda p, x: empirical_ntk(net, p, x))(params, x), theta, rtol=1e-11)
    keys = jax.random.split(jax.random.key(7), 3)
    many = jax.vmap(lambda key: empirical_ntk(net, net.init(key, 4), x))(keys)
    np.testing.assert_allclose(many[2], empirical_ntk(net, net.init(keys[2], 4), x), rtol=1e-11, atol=1e-12)

    def total(t):
        return jnp.sum(empirical_ntk(net, jax.tree.map(lambda leaf: (1 + t) * leaf, params), x))

    h = 1e-6
    np.testing.assert_allclose(jax.grad(total)(0.0), (total(h) - total(-h)) / (2 * h), rtol=1e-7)


def test_float32_stays_float32():
    net = FullyConnected(2, 16)
    params = net.init(jax.random.key(0), 4, jnp.float32)
    x = inputs().astype(np.float32)
    phi = ntrf(net, params, x)
    assert phi.dtype == jnp.float32
    expected = np.float64(phi) @ np.float64(phi).T
    for method in METHODS:
        theta = empirical_ntk(net, params, x, method=method)
        assert theta.dtype == jnp.float32
        np.testing.assert_allclose(theta, expected, atol=1e-5 * np.max(expected))


PRECISIONS = [
    (jnp.float32, np.float64, jnp.float64),
    (jnp.float64, np.float32, jnp.float64),
    (jnp.bfloat16, np.float32, jnp.float32),
    (jnp.bfloat16, jnp.bfloat16, jnp.float32),
    (jnp.float16, np.int32, jnp.float32),
]


@pytest.mark.filterwarnings("error")
def test_precisions_are_taken_to_the_widest():
    shapes, x = ((4, 5), (5,), (5, 1)), np.arange(12).reshape(3, 4) - 5

    def net(params, x):
        w, b, v = params
        return (jnp.tanh(x.astype(w.dtype) @ w + b[None, :]) @ v)[:, 0]

    exact = [np.random.default_rng(0).integers(-8, 8, shape) / 8 for shape in shapes]  # in any precision
    phi = reference(net, [jnp.asarray(p) for p in exact], x)
    for params, inputs, expected in PRECISIONS:
        given = [jnp.asarray(p, params) for p in exact]
        found = [ntrf(net, given, jnp.asarray(x, inputs))]
        found += [empirical_ntk(net, given, jnp.asarray(x, inputs), method=method) for method in METHODS]
        found.append(kernels.ntk_product(net, given, jnp.asarray(x, inputs))(np.eye(3, dtype=np.float32)))
        for value, right in zip(found, [phi, *[phi @ phi.T] * 3], strict=True):
            assert value.dtype == expected
            np.testing.assert_allclose(value, right, atol=20 * jnp.finfo(expected).eps * np.max(right))


def normalised(axis):
    def net(params, x):
        h = x @ params["w"]
        h = (h - jnp.mean(h, axis=axis, keepdims=True)) / jnp.sqrt(jnp.var(h, axis=axis, keepdims=True) + 0.1)
        return jnp.tanh(h) @ params["v"]

    return net


def test_networks_that_look_at_the_batch_are_refused():
    params = {"w": jax.random.normal(jax.random.key(0), (4, 6)), "v": jnp.ones((6,))}
    for function in (ntrf, empirical_ntk, kernels.ntk_product):
        with pytest.raises(ValueError, match=r"net must give outputs of an example that do not depend on .* normalis"):
            function(normalised(0), params, inputs())
    assert ntrf(normalised(1), params, inputs()).shape == (7, 30)
    # and what cancels to rounding is no such network
    centred = normalised(1)
    assert ntrf(lambda p, x: centred(p, x) - centred(params, x * (1 + 1e-16)), params, inputs()).shape == (7, 30)


@full_precision
def test_of_flax_variables_only_the_parameters_count():
    linen = pytest.importorskip("flax.linen")

    class Net(linen.Module):
        train: bool = False

        @linen.compact
        def __call__(self, x):
            x = linen.BatchNorm(use_running_average=not self.train)(linen.Dense(5)(x))
            return linen.Dense(2)(jnp.tanh(x))

    x, net = inputs().astype(np.float32), Net()
    variables = net.init(jax.random.key(0), x)
    variables = jax.tree.map(lambda leaf: leaf + 0.3, variables)
    state = {"batch_stats": variables["batch_stats"]}

    def part(p, x):
        return net.apply({"params": p, **state}, x)

    phi = reference(part, variables["params"], x)
    np.testing.assert_allclose(ntrf(part, variables["params"], x), phi, rtol=1e-4, atol=1e-5)
    for given in (net, net.apply):
        np.testing.assert_allclose(ntrf(given, variables, x), phi, rtol=1e-4, atol=1e-5)
        theta = empirical_ntk(given, variables, x, trace=True)
        np.testing.assert_allclose(theta, np.einsum("icm,jcm->ij", phi, phi) / 2, rtol=1e-4)
    with pytest.raises(ValueError, match="net must take params and an array of shape"):
        ntrf(Net(train=True), variables, x)  # it would have to store averages


def test_integer_inputs_are_left_alone():
    def embed(params, tokens):
        return jnp.sum(jnp.tanh(params[tokens]), axis=(1, 2))

    params, tokens = jax.random.normal(jax.random.key(0), (5, 3)), np.array([[0, 1], [4, 4], [2, 0]])
    np.testing.assert_allclose(ntrf(embed, params, tokens), reference(embed, params, tokens), rtol=1e-13)


def test_progress_is_told():
    net, params, x = dense_case(2)
    told = []
    ntrf(net, params, x, batch=3, progress=lambda *args: told.append(args))
    empirical_ntk(net, params, x, tile=4, progress=lambda *args: told.append(args))
    assert told == [("NTRF", i, 3) for i in (1, 2, 3)] + [("empirical NTK", i, 3) for i in (1, 2, 3)]


def test_the_method_of_fewer_operations_is_taken(monkeypatch):
    taken = []
    for kind in (LayerContraction, VectorProducts):
        monkeypatch.setattr(kind, "block", lambda *args, kind=kind, old=kind.block: (taken.append(kind), old(*args))[1])
    many = FullyConnected(2, 8, outputs=40)
    empirical_ntk(many, many.init(jax.random.key(0), 4), inputs(5))
    net, params, x = conv_case()
    empirical_ntk(net, params, x)
    assert taken == [VectorProducts, LayerContraction]


BAD = [
    (lambda p, x: jnp.sum(x @ p), "net must give outputs of shape (n,) or (n, C) for n examples, got shape ()"),
    (
        lambda p, x: (x @ p)[:, :, None],
        "net must give outputs of shape (n,) or (n, C) for n examples, got shape (1, 2, 1)",
    ),
    (lambda p, x: (x @ p).T, "got shape (2, 1) for n = 1"),
    (lambda p, x: {"out": x @ p}, "got a value of type dict"),
    (lambda p, x: jnp.argmax(x @ p, axis=1), "net must give real floating-point outputs, got int"),
    ("relu", "net must be a function of params and x, a module or have a method apply, got 'relu'"),
]


@pytest.mark.parametrize(("net", "message"), BAD)
def test_bad_networks_are_named(net, message):
    for function in (ntrf, empirical_ntk):
        with pytest.raises(ValueError, match=re.escape(message)) as error:
            function(net, jnp.ones((4, 2)), inputs())
        assert "\n" not in str(error.value)


def test_other_bad_input_is_named():
    net, params, x = dense_case(2)
    with pytest.raises(ValueError, match="params must hold at least one floating-point array, got none"):
        ntrf(lambda p, x: x[:, 0], {"n": jnp.arange(3)}, x)
    with pytest.raises(ValueError, match="params must be real"):
        ntrf(lambda p, x: (x @ p).real, jnp.ones((4,), complex), x)
    with pytest.raises(ValueError, match="x must be finite"):
        ntrf(net, params, np.full((2, 4), np.nan))
    with pytest.raises(ValueError, match="x must have at least one example"):
        ntrf(net, params, np.zeros((0, 4)))
    with pytest.raises(ValueError, match=r"x2 must have examples of shape \(4,\) and float64 like x1, got \(3,\)"):
        empirical_ntk(net, params, x, x[:, :3])
    with pytest.raises(ValueError, match=r"net must take params and an array of shape \(1, 3\), got ValueError: x"):
        ntrf(net, params, x[:, :3])
    with pytest.raises(ValueError, match="method must be a Method"):
        empirical_ntk(net, params, x, method="jacobian")
    with pytest.raises(ValueError, match="batch must be at least 1"):
        ntrf(net, params, x, batch=0)
    with pytest.raises(ValueError, match="tile must be at least 1"):
        empirical_ntk(net, params, x, tile=0)


def test_too_little_memory_is_said_before_the_work_starts(monkeypatch):
    net, params, x = dense_case(2, outputs=2)
    monkeypatch.setattr(kernels._memory, "available", lambda: 1000)
    monkeypatch.setattr(kernels.empirical, "_rows", None)
    monkeypatch.setattr(kernels.empirical, "_block", None)
    for function, what in (
        (ntrf, "an NTRF matrix of 7 examples, 2 outputs and 114 par"),
        (empirical_ntk, "an empirical NTK of 7 x 7 examples in float64"),
    ):
        with pytest.raises(kernels.NotEnoughMemory, match=f"{what}.* needs .* GiB of memory, got .* available"):
            function(net, params, x)
    monkeypatch.undo()
    with pytest.raises(MemoryError, match="GiB of memory"):
        empirical_ntk(net, params, np.zeros((3_000_000, 4)))


@jax.jit
def layer(w, h):
    return jnp.tanh(h @ w.T)


def awkward(p, x):
    """Weights scaled first, transposed, reshaped, in a function called twice, tied, bare, unused, on two positions."""
    h = layer(p["b"] * 0.3, layer(0.5 * p["a"] / 2.0, x))
    h = jax.nn.relu(h @ p["tied"]) @ p["tied"] + jnp.einsum("oij,nij->no", p["split"], h.reshape(-1, 2, 3))
    pairs = jnp.sin(x.reshape(-1, 2, 2) @ p["shared"]).sum(axis=(1, 2))
    scale = p["scalar"] * p["scaled"]
    return jnp.concatenate([h @ scale, (h * pairs[:, None]) @ p["out"] + p["bare"].reshape(-1)[None, :]], axis=1)


@pytest.mark.slow
def test_every_use_of_a_weight_is_taken_for_what_it_is():
    shapes = {
        "a": (5, 4), "b": (6, 5), "bare": (2, 1), "out": (6, 2), "scalar": (), "scaled": (6, 2), "shared": (2, 3),
        "split": (6, 2, 3), "tied": (6, 6), "unused": (3, 3),
    }  # fmt: skip
    keys = jax.random.split(jax.random.key(6), len(shapes))
    params = {name: jax.random.normal(key, shape) for key, (name, shape) in zip(keys, shapes.items(), strict=True)}
    x = inputs()
    parts = kernels._layers.factored(kernels._model.prepare(awkward, params, x=x)[0], x[0])
    kinds = {name for name, part in zip(shapes, parts, strict=True) if isinstance(part, kernels._layers.Factors)}
    assert kinds == {"a", "b", "out", "split"}
    phi = reference(awkward, params, x)
    theta = empirical_ntk(awkward, params, x, method=LayerContraction())
    np.testing.assert_allclose(theta, np.einsum("icm,jdm->ijcd", phi, phi), rtol=1e-10, atol=1e-12)


@jax.custom_vjp
def clipped(h):
    return jnp.tanh(h)


clipped.defvjp(lambda h: (jnp.tanh(h), None), lambda _, g: (2 * g,))


@jax.custom_jvp
def bent(h):
    return jnp.sin(h)


bent.defjvp(lambda primals, tangents: (jnp.sin(primals[0]), 3 * tangents[0]))


@pytest.mark.slow
def test_rules_and_control_flow_inside_a_network_are_kept():
    def net(p, x):
        h = bent(clipped(x @ p["a"]) @ p["b"])
        h = jax.checkpoint(lambda h: jnp.tanh(h @ p["c"]))(h)
        h = jax.lax.cond(jnp.sum(p["a"]) > 0, lambda h: h @ p["d"], lambda h: -h @ p["d"], h)
        return jax.nn.softmax(jax.vmap(lambda row: p["e"] @ row)(h), axis=-1) @ p["f"]

    keys = jax.random.split(jax.random.key(8), 6)
    params = {name: jax.random.normal(key, (4, 4)) for name, key in zip("abcdef", keys, strict=True)}
    phi = np.asarray(jax.jacrev(lambda flat: net(ravel_pytree(params)[1](flat), inputs()))(ravel_pytree(params)[0]))
    expected = np.einsum("icm,jdm->ijcd", phi, phi)
    theta = empirical_ntk(net, params, inputs())
    np.testing.assert_allclose(theta, expected, atol=1e-12 * np.max(np.abs(expected)))
    model = kernels._model.prepare(net, params, x=inputs())[0]
    kinds = [type(part) for part in kernels._layers.factored(model, jnp.asarray(inputs()[0]))]
    assert kinds.count(kernels._layers.Factors) == 3  # not those used twice, inside a checkpoint or inside a branch


def test_wide_layers_cost_no_square_of_the_width():
    net = FullyConnected(3, 512, outputs=2)
    model, (x,), out = kernels._model.prepare(net, net.init(jax.random.key(0), 4), x=inputs())
    each = LayerContraction().operations(model, x, out, (10_000, 10_000), False) / 1e8
    assert each < 30 * 512 < model.size / 10
