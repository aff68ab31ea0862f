"""Every way to train on the moons takes the steps that NumPy takes, with gradients by central differences."""

import dataclasses

import jax
import numpy as np
import pytest

from gsdyn._numerics.precision import full_precision
from gsdyn.data import moons as moons_data
from gsdyn.experiments import _moon_nets as nets
from gsdyn.experiments._moon_runs import trained
from gsdyn.experiments.moons_regularisers import VARIANTS
from gsdyn.experiments.moons_responses import VARIANTS as DECAYED

NAMES = [variant.name for variant in VARIANTS]
STEPS = 3


def dense_logits(parts, x):
    """A list of weight, bias, weight, bias ... in double precision."""
    for i in range(0, len(parts), 2):
        x = (np.maximum(x, 0) if i else x) @ parts[i] + parts[i + 1]
    return x[:, 0]


def loss(variant, parts, x, y, step):
    if variant.normalise:
        w, b, v, c, scale, shift = parts
        h = x @ w + b
        h = (h - h.mean(axis=0)) / np.sqrt(h.var(axis=0) + 1e-5) * scale + shift
        f = (np.maximum(h, 0) @ v + c)[:, 0]
    elif variant.dropout:
        w, b, v, c = parts
        kept = mask(step, (len(x), w.shape[1]), variant.dropout)
        f = (np.maximum((x @ w + b) * kept / (1 - variant.dropout), 0) @ v + c)[:, 0]
    else:
        f = dense_logits(parts, x)
    squares = sum(np.sum(part**2) for part in parts)
    return np.mean(np.logaddexp(0, -y * f)) + variant.decoupling * np.mean(f**2) + variant.decay * squares / 2


def mask(step, shape, rate, seed=0):
    """The units kept at a step: the key of the run split once, then once a step."""
    key, _ = jax.random.split(jax.random.key(seed + 1_000_000))
    for _ in range(step + 1):
        key, now = jax.random.split(key)
    return np.asarray(jax.random.bernoulli(now, 1 - rate, shape))


def gradient(function, parts, h=1e-6):
    result = []
    for k, part in enumerate(parts):
        slope = np.zeros_like(part)
        for index in np.ndindex(part.shape):
            ends = []
            for sign in (h, -h):
                moved = [p.copy() for p in parts]
                moved[k][index] += sign
                ends.append(function(moved))
            slope[index] = (ends[0] - ends[1]) / (2 * h)
        result.append(slope)
    return result


def stepped(variant, parts, x, y, rate):
    """Momentum 0.9 or Adam, by their formulas."""
    first, second = [np.zeros_like(p) for p in parts], [np.zeros_like(p) for p in parts]
    for t in range(STEPS * variant.longer):
        slopes = gradient(lambda p, t=t: loss(variant, p, x, y, t), parts)
        if variant.name.startswith("Adam"):
            first = [0.9 * m + 0.1 * g for m, g in zip(first, slopes, strict=True)]
            second = [0.999 * v + 0.001 * g**2 for v, g in zip(second, slopes, strict=True)]
            one, two = 1 - 0.9 ** (t + 1), 1 - 0.999 ** (t + 1)
            moves = [m / one / (np.sqrt(v / two) + 1e-8) for m, v in zip(first, second, strict=True)]
        else:
            first = moves = [0.9 * m + g for m, g in zip(first, slopes, strict=True)]
        parts = [p - rate * m for p, m in zip(parts, moves, strict=True)]
    return parts


SLOW = ("10 times longer", "rotated by 45 degrees", "Adam, small rate", "five layers")
CASES = [
    pytest.param(variant, id=variant.name, marks=pytest.mark.slow if variant.name in SLOW else ())
    for variant in (*VARIANTS, dataclasses.replace(DECAYED[3], name="weight decay and spectral decoupling"))
]


@pytest.mark.parametrize("variant", CASES)
def test_steps_are_those_of_the_formulas(variant):
    deep = len(variant.sizes) > 3
    small = dataclasses.replace(variant, sizes=(2, 4, 3, 4, 3, 1) if deep else (2, 5, 1))
    rate = {"Adam, small rate": 1e-4, "Adam, large rate": 3e-3}.get(variant.name, 0.01)
    x, y = (np.asarray(part, np.float64) for part in small.data(0))
    start = [np.asarray(part, np.float64) for part in jax.tree.leaves(small.start(0))]
    assert max(abs(part).max() for part in start[:2]) <= 2**-0.5
    expected = stepped(small, start, x, y, rate)
    run = trained(small, 0, [STEPS], lambda params: (), None)
    for found, part, before in zip(jax.tree.leaves(run.params), expected, start, strict=True):
        np.testing.assert_allclose(found, part, atol=3e-7 + 2e-3 * abs(part - before).max())
    judged = nets.plain(run.params, small.data(0)[0])
    assert nets.logits(judged, small.data(0)[0]).shape == (300,)


@full_precision
def test_batch_normalisation_folds_into_plain_layers():
    variant = VARIANTS[NAMES.index("batch normalisation")]
    x, _ = variant.data(0)
    params = variant.start(3)
    params = params._replace(scale=params.scale * 1.5, shift=params.shift + 0.2)
    n = len(x)
    first, last = params.layers
    h = np.asarray(x, np.float64) @ np.asarray(first.weight) + np.asarray(first.bias)
    h = (h - h.mean(axis=0)) / np.sqrt(h.var(axis=0) * n / (n - 1) + 1e-5) * 1.5 + 0.2
    expected = (np.maximum(h, 0) @ np.asarray(last.weight) + np.asarray(last.bias))[:, 0]
    np.testing.assert_allclose(nets.logits(nets.plain(params, x), x), expected, atol=2e-6)


def test_the_ten_variants_are_the_papers():
    assert len(VARIANTS) == 10
    by_name = dict(zip(NAMES, VARIANTS, strict=True))
    assert all(variant.margin == 0.1 for variant in VARIANTS)
    assert by_name["five layers"].sizes == (2, 500, 500, 500, 500, 1)
    assert [v.name for v in VARIANTS if v.sizes != (2, 500, 1)] == ["five layers"]
    assert by_name["rotated by 45 degrees"].rotation == 45
    assert by_name["10 times longer"].longer == 10


def test_rotated_moons_keep_their_distances():
    plain, turned = moons_data(50, seed=3), moons_data(50, seed=3, rotation=30.0)
    angle = np.deg2rad(30)
    np.testing.assert_allclose(
        turned.x[:, 0], np.cos(angle) * plain.x[:, 0] + np.sin(angle) * plain.x[:, 1], rtol=1e-12
    )
    np.testing.assert_allclose(np.linalg.norm(turned.x, axis=1), np.linalg.norm(plain.x, axis=1), rtol=1e-12)
    with pytest.raises(ValueError, match="rotation must be finite, got nan"):
        moons_data(rotation=float("nan"))
