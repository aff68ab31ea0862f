"""Rise and fall of spectral decoupling on coloured digits, by their kernel alone (THEORY section 10)."""

import re
from pathlib import Path

import numpy as np

import gsdyn as gs

TEXT = (Path(__file__).parents[1] / "docs" / "time.md").read_text()
(EXAMPLE,) = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)


def coloured(x, y, agrees):
    """Images in one of two colours, the second where `y agrees` is positive."""
    second = (y * agrees > 0)[:, None]
    return np.concatenate([np.where(second, 0, x), np.where(second, x, 0)], axis=1)


def test_the_classifier_forgets_the_colour_first_and_then_the_digit():
    rng = np.random.default_rng(0)
    digits = gs.data.digits()
    pixels, order = np.asarray(digits.x), rng.permutation(1797)
    train, new = order[:500], order[500:1500]
    true = np.asarray(digits.y)
    y = true * np.where(rng.random(1797) < 0.25, -1, 1)
    agrees = np.where(rng.random(1797) < np.where(np.arange(1797) % 2, 0.9, 0.8), 1, -1)
    agrees[new] = np.where(rng.random(1000) < 0.1, 1, -1)
    images = coloured(pixels, y, agrees)

    names = {"gs": gs, "np": np, "images": images, "y": y, "train": train, "new": new, "agrees": agrees}
    exec(EXAMPLE, names)
    run, margins, metrics = names["run"], names["margins"], names["metrics"]
    assert run.succeeded
    assert len(EXAMPLE.splitlines()) < 15
    accuracy = np.mean(margins > 0, axis=1)
    # the colour and the label agree in few of the new images: these are learnt, the others not
    assert metrics.worst[0] == 0
    assert metrics.accuracy[0, 1] > 0.9
    fit = np.mean(run.margins > 0, axis=1)

    peak = int(np.argmax(accuracy))
    # learnt by the colour, which is reversed on new inputs; the peak on the way; the end is least squares
    assert accuracy[0] < 0.3
    assert fit[0] > 0.9
    assert accuracy[peak] > 0.5
    assert fit[peak] < fit[0]
    assert 0 < peak < 40
    assert accuracy[-1] < accuracy[peak] - 0.2
    ridgeless = y[new] * np.asarray(names["between"] @ np.linalg.solve(names["theta"], y[train]))
    np.testing.assert_allclose(accuracy[-1], np.mean(ridgeless > 0), atol=0.05)
