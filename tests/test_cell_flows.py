"""Batches of two-feature dual flows against the same flows one by one, which diffrax drives."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from _programs import QUICK

import gsdyn as gs
from gsdyn._integration import cells as cell_flows

TIMES = jnp.array([0.0, 1e-3, 0.02, 0.02, 0.5, 3.0])
RTOL = 1e-9
LOSS = gs.CrossEntropy()


def _flow(cell, loss):
    s1, s2, delta, lam, a1, a2 = cell
    basis = gs.FeatureBasis.rotation(s1, s2, delta)
    return gs.DualFlow(basis, loss, gs.WeightDecay(lam), alpha0=jnp.stack([a1, a2]))


@functools.partial(jax.jit, static_argnums=1, compiler_options=QUICK)
def _alone(cell, loss):
    return gs.integrate(_flow(cell, loss), TIMES, rtol=RTOL, atol=RTOL)


@functools.partial(jax.jit, static_argnums=1, compiler_options=QUICK)
def _batch(cells, loss):
    return jax.vmap(lambda cell: gs.integrate(_flow(cell, loss), TIMES, rtol=RTOL, atol=RTOL))(cells)


def _cells(count, seed=0):
    """Strengths over four decades, lam over nine, starts next to both ends of their domain."""
    rng = np.random.default_rng(seed)
    decades = [(-2, 2), (-2, 2), None, (-6, 3), (-10, -1e-3), (-10, -1e-3)]
    cells = [rng.uniform(0, 0.9, count) if d is None else 10 ** rng.uniform(*d, count) for d in decades]
    cells[5] = np.where(rng.random(count) < 0.3, 1 - 1e-3 * cells[5], cells[5])
    return [jnp.asarray(x) for x in cells]


@pytest.mark.parametrize("loss", [LOSS, pytest.param(gs.FirstOrderCrossEntropy(), marks=pytest.mark.slow)])
def test_a_batch_is_what_its_cells_are_alone(loss):
    cells = _cells(40)
    batch = _batch(cells, loss)
    assert batch.succeeded.all()
    for i in range(40):
        alone = _alone([x[i] for x in cells], loss)
        np.testing.assert_allclose(batch.alpha[i], alone.alpha, rtol=3e-6, atol=3e-7)
        # responses are held to the largest of them
        np.testing.assert_allclose(batch.z[i], alone.z, rtol=0, atol=3e-6 * float(jnp.abs(alone.z).max()))
        np.testing.assert_allclose(batch.margins[i], batch.z[i] @ _flow([x[i] for x in cells], loss).basis.U.T)


def test_saved_times_are_met_and_steps_counted():
    batch = _batch(_cells(40), LOSS)
    np.testing.assert_array_equal(batch.ts[0], TIMES)
    np.testing.assert_array_equal(batch.alpha[:, 2], batch.alpha[:, 3])
    assert (batch.steps.accepted >= TIMES.size - 2).all()
    assert (batch.steps.rejected < batch.steps.accepted).all()


@pytest.mark.slow
def test_nested_batches_in_chunks_that_overlap(monkeypatch):
    cells = _cells(40)
    monkeypatch.setattr(cell_flows, "CHUNK", 16)

    def solve(*cell):
        return gs.integrate(_flow(cell, LOSS), TIMES, rtol=RTOL, atol=RTOL).alpha

    nested = jax.jit(jax.vmap(jax.vmap(solve)), compiler_options=QUICK)(*(x.reshape(2, 20) for x in cells))
    # a last bit can decide whether a step is accepted, which moves values by far less than the tolerance of a step
    np.testing.assert_allclose(nested.reshape(40, -1, 2), _batch(cells, LOSS).alpha, rtol=1e-12, atol=RTOL / 1e3)


@pytest.mark.slow
def test_derivatives_in_a_batch_are_those_alone():
    def end(s1, lam):
        flow = gs.DualFlow(gs.FeatureBasis.rotation(s1, 2.0, 0.3), LOSS, gs.WeightDecay(lam))
        return gs.integrate(flow, jnp.array([0.3]), rtol=1e-9, atol=1e-9).z[0, 1]

    s1, lam = jnp.array([3.0, 5.0]), jnp.array([0.1, 0.01])
    inside = jax.jit(jax.vmap(jax.grad(end, argnums=(0, 1))))(s1, lam)
    step = 1e-5
    difference = (jax.vmap(end)(s1 + step, lam) - jax.vmap(end)(s1 - step, lam)) / (2 * step)
    np.testing.assert_allclose(inside[0], difference, rtol=1e-3)


@pytest.mark.slow
def test_derivatives_of_a_batch_are_those_of_its_cells():
    def ends(s1):
        return jax.vmap(lambda s: gs.integrate(_flow((s, 2.0, 0.3, 0.1, 0.5, 0.5), LOSS), TIMES).z[-1, 1])(s1)

    s1 = jnp.array([3.0, 5.0])
    outside = jax.jit(jax.grad(lambda s1: ends(s1).sum()))(s1)
    inside = jax.jit(jax.vmap(jax.grad(lambda s: ends(s[None])[0])))(s1)
    np.testing.assert_allclose(inside, outside, rtol=1e-10)


def test_a_failure_in_a_batch_is_visible():
    def solve(lam):
        flow = gs.DualFlow(gs.FeatureBasis.rotation(4.0, 2.0, 0.3), LOSS, gs.WeightDecay(lam))
        return gs.integrate(flow, jnp.array([1e-9, 5.0]), rtol=1e-9, max_steps=3)

    run = jax.jit(jax.vmap(solve), compiler_options=QUICK)(jnp.array([1e3, 1e-6]))
    assert not run.succeeded[1]
    assert np.isfinite(run.alpha[1, 0]).all()
    assert np.isnan(run.alpha[1, 1]).all()
    assert np.isnan(run.z[1, 1]).all()


@pytest.mark.slow
def test_float32_in_a_batch():
    cells = _cells(40)
    cells[4:] = [jnp.minimum(x, 0.999) for x in cells[4:]]
    single, exact = _batch([x.astype(jnp.float32) for x in cells], LOSS), _batch(cells, LOSS)
    assert single.alpha.dtype == jnp.float32
    assert single.succeeded.all()
    # 64 roundings of the responses, which at the largest strengths are 1e6 times as coarse as alpha's
    mild = np.asarray(cells[0] ** 2 + cells[1] ** 2 < 1e2 * cells[3])
    assert mild.sum() > 10
    np.testing.assert_allclose(single.alpha[mild], exact.alpha[mild], atol=1e-3)
