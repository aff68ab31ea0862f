"""Networks of Flax linen and nnx, Equinox, Haiku and PyTorch: their kernels are those of the same weights by hand."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gsdyn.kernels import empirical_ntk, ntrf

RNG = np.random.default_rng(0)
X = RNG.normal(size=(5, 3))  # doubles, beside weights in single precision
A, B, C = (RNG.normal(size=shape).astype(np.float32) for shape in ((3, 4), (4,), (4, 1)))


def by_hand(x=X):
    """The NTK of tanh(x A + B) C, written out: sums over the gradients of C, B and A."""
    h = np.tanh(x @ A.astype(float) + B)
    back = (1 - h**2) * C.astype(float)[:, 0]
    return h @ h.T + (1 + x @ x.T) * (back @ back.T)


def linen_net():
    linen = pytest.importorskip("flax.linen", reason="Flax is not installed")

    class Net(linen.Module):
        @linen.compact
        def __call__(self, x):
            return linen.Dense(1, use_bias=False)(jnp.tanh(linen.Dense(4)(x)))

    return Net(), {"params": {"Dense_1": {"kernel": A, "bias": B}, "Dense_0": {"kernel": C}}}


def nnx_net(train=False):
    nnx = pytest.importorskip("flax.nnx", reason="Flax is not installed")

    class Net(nnx.Module):
        def __init__(self):
            self.first = nnx.Linear(3, 4, rngs=nnx.Rngs(0))
            # without training it leaves everything as it is: mean 0, variance 1
            self.norm = nnx.BatchNorm(
                4,
                use_running_average=not train,
                use_scale=False,
                use_bias=False,
                epsilon=1e-5 if train else 0.0,
                rngs=nnx.Rngs(0),
            )
            self.last = nnx.Linear(4, 1, use_bias=False, rngs=nnx.Rngs(0))

        def __call__(self, x):
            return self.last(jnp.tanh(self.norm(self.first(x))))

    net = Net()
    net.first.kernel[...], net.first.bias[...], net.last.kernel[...] = A, B, C
    return net, None


class Equinox(eqx.Module):
    first: eqx.nn.Linear
    last: np.ndarray

    def __call__(self, x):
        return jnp.tanh(self.first(x)) @ self.last


def equinox_net():
    first = eqx.nn.Linear(3, 4, key=jax.random.key(0))
    first = eqx.tree_at(lambda part: (part.weight, part.bias), first, (jnp.asarray(A.T), jnp.asarray(B)))
    return Equinox(first, C), None


def haiku_net():
    hk = pytest.importorskip("haiku", reason="Haiku is not installed")
    net = hk.transform(lambda x: hk.Linear(1, with_bias=False)(jnp.tanh(hk.Linear(4)(x))))
    return net, {"linear_1": {"w": A, "b": B}, "linear": {"w": C}}


def haiku_net_without_keys():
    net, params = haiku_net()
    return pytest.importorskip("haiku").without_apply_rng(net), params


def haiku_net_with_state():
    hk = pytest.importorskip("haiku", reason="Haiku is not installed")

    def forward(x):
        hk.set_state("seen", hk.get_state("seen", (), jnp.float32, jnp.zeros) + 1)
        return hk.Linear(1, with_bias=False)(jnp.tanh(hk.Linear(4)(x)))

    return hk.transform_with_state(forward), (haiku_net()[1], {"~": {"seen": np.float32(0)}})


NETS = {
    "linen": linen_net,
    "nnx": nnx_net,
    "equinox": equinox_net,
    "haiku": haiku_net,
    "haiku without keys": haiku_net_without_keys,
    "haiku with state": haiku_net_with_state,
}


@pytest.mark.parametrize("kind", NETS)
def test_the_kernel_of_weights_in_single_precision_is_right_to_double(kind):
    with jax.numpy_dtype_promotion("standard"):  # Flax and Haiku have Python numbers beside arrays
        theta = empirical_ntk(*NETS[kind](), X, trace=True)
    assert theta.dtype == jnp.float64
    np.testing.assert_allclose(theta, by_hand(), rtol=1e-12)


def test_an_nnx_module_that_normalises_over_its_batch_is_refused():
    net, _ = nnx_net(train=True)
    with (
        jax.numpy_dtype_promotion("standard"),
        pytest.raises(ValueError, match="outputs of an example that do not depend on the others"),
    ):
        ntrf(net, None, X)


def test_params_of_another_make_are_refused():
    net, _ = nnx_net()
    with pytest.raises(ValueError, match="params must be None or a module like net, got a value of type dict"):
        ntrf(net, {}, X)


def test_the_ntrf_matrix_of_a_pytorch_model_by_five_lines():
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    model = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.Tanh(), torch.nn.Linear(4, 1, bias=False)).double()
    with torch.no_grad():
        for weight, value in zip(model.parameters(), (A.T, B, C.T), strict=True):
            weight.copy_(torch.tensor(value))
    x = torch.tensor(X)

    params = dict(model.named_parameters())
    one = lambda p, x: torch.func.functional_call(model, p, (x[None],))[0, 0]  # noqa: E731
    rows = torch.func.vmap(torch.func.grad(one), (None, 0))(params, x)
    phi = torch.cat([part.reshape(len(x), -1) for part in rows.values()], dim=1).detach().numpy()

    assert phi.shape == (5, 20)
    np.testing.assert_allclose(phi @ phi.T, by_hand(), rtol=1e-12)
