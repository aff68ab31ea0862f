"""Data sets that are drawn are distributed as their docstrings say."""

from statistics import NormalDist

import jax.numpy as jnp
import numpy as np
import pytest

import gsdyn as gs
from gsdyn import data


def interval(k: int, i: int, margin: float) -> tuple[float, float]:
    """The i-th of k slabs, from the left, by walking over slabs and gaps."""
    width = (2 - (k - 1) * 2 * margin) / k
    left = -1.0
    for _ in range(i):
        left += width + 2 * margin
    return left, left + width


@pytest.mark.parametrize(
    ("k", "positive", "shares"),
    [
        (2, [1], {0: 1, 1: 1}),
        (3, [0, 2], {0: 1 / 2, 1: 1, 2: 1 / 2}),
        (5, [1, 3], {0: 1 / 8, 1: 1 / 2, 2: 3 / 4, 3: 1 / 2, 4: 1 / 8}),
        (7, [0, 2, 4, 6], {0: 1 / 16, 1: 1 / 4, 2: 7 / 16, 3: 1 / 2, 4: 7 / 16, 5: 1 / 4, 6: 1 / 16}),
    ],
)
def test_slabs_lie_where_they_belong_and_hold_their_share(k, positive, shares):
    n, margin = 40_000, 0.05
    x, y, _ = data.slabs(n, (k,), margin=margin, seed=k)
    x, y = np.asarray(x)[:, 0], np.asarray(y)
    found = np.full(n, -1)
    for i in range(k):
        low, high = interval(k, i, margin)
        inside = (x >= low - 1e-12) & (x <= high + 1e-12)
        found[inside] = i
        label = 1 if i in positive else -1
        assert set(y[inside]) == {label}
        assert abs(inside.sum() / (y == label).sum() - shares[i]) < 0.02
        assert abs(x[inside].mean() - (low + high) / 2) < 0.01
    assert (found >= 0).all()
    if k > 2:
        assert abs((x * y).mean()) < 0.02  # no line tells the classes apart


def test_slabs_of_5_and_7_tell_the_classes_apart_by_no_parabola():
    x, y, _ = data.slabs(200_000, (5, 7), margin=1e-6)
    square = np.asarray(x) ** 2
    np.testing.assert_allclose(
        square[np.asarray(y) > 0].mean(axis=0), square[np.asarray(y) < 0].mean(axis=0), atol=3e-3
    )


def test_noise_silences_linear_coordinates_alone():
    x, y, kinds = data.slabs(20_000, (2, 3), margin=0.1, noise=0.25)
    inside = np.abs(np.asarray(x)[:, 0]) < 0.1
    assert kinds == (2, 3)
    assert abs(inside.mean() - 0.25) < 0.02
    assert abs(np.mean((np.asarray(x)[:, 0] * np.asarray(y))[inside] > 0) - 0.5) < 0.03
    np.testing.assert_array_equal(np.asarray(x)[:, 1], data.slabs(20_000, (2, 3), margin=0.1).x[:, 1])


def test_linear_perception_is_shortcut_label_noise():
    x, y, z = data.linear_perception(4000, 30, strength=7.0, agreement=0.9, seed=2)
    assert x.shape == (4000, 30)
    np.testing.assert_array_equal(x[:, 0], 7 * z)
    np.testing.assert_array_equal(x[:, 1], y)
    assert abs(np.mean(np.asarray(z == y)) - 0.9) < 0.02
    noise = np.asarray(x[:, 2:])
    assert abs(noise.mean()) < 0.02
    assert abs(noise.std() - 1) < 0.02
    assert np.abs(noise.T @ np.asarray(y)).max() / 4000 < 0.08


def test_a_skewed_coordinate_contradicts_the_minority_exactly():
    x, y, _ = data.digits()
    few, many = (data.skewed_coordinate(x, y, share, strength=3.0, seed=1) for share in (0.01, 0.1))
    np.testing.assert_array_equal(few.x[:, :-1], x)
    np.testing.assert_array_equal(few.x[:, -1], 3 * y * few.aligned)
    for found, share in ((few, 0.01), (many, 0.1)):
        for label in (-1, 1):
            own = np.asarray(found.aligned)[np.asarray(y) == label]
            assert (own < 0).sum() == round(share * len(own))
    assert np.asarray(many.aligned)[np.asarray(few.aligned) < 0].max() == -1


def test_core_and_shortcut_predict_as_often_as_asked_and_are_as_large():
    n = 40_000
    x, y, z = data.core_and_shortcut(n, 12, predictivity=(0.95, 0.7), amplification=(1.0, 5.0), correlation=0.6, seed=3)
    right = np.mean(np.sign(z) == np.asarray(y)[:, None], axis=0)
    np.testing.assert_allclose(right, (0.95, 0.7), atol=0.01)
    centred = np.asarray(z) - np.asarray(y)[:, None] * [NormalDist().inv_cdf(0.95), NormalDist().inv_cdf(0.7)]
    np.testing.assert_allclose(np.cov(centred.T), [[1, 0.6], [0.6, 1]], atol=0.03)
    # without nesting the points span two orthogonal directions, as long as the amplification says
    weights = np.linalg.lstsq(np.asarray(z), np.asarray(x), rcond=None)[0]
    np.testing.assert_allclose(np.asarray(z) @ weights, x, atol=1e-11)
    np.testing.assert_allclose(weights @ weights.T, np.diag([1.0, 25.0]), atol=1e-11)
    nested = data.core_and_shortcut(50, 12, amplification=(0, 2), nesting=(0, 2))
    assert np.linalg.matrix_rank(np.asarray(nested.x), tol=1e-6) > 2
    assert np.abs(nested.x).max() <= 2 / np.sqrt(12)


def test_brightness_maps_levels_to_those_of_the_paper():
    levels = np.arange(256) / 255
    x = data.brightness(np.stack([levels, levels]), [-1, 1], dark=1)
    np.testing.assert_allclose(x[1, [0, 255]], [0, 127 / 255], atol=1e-15)
    np.testing.assert_allclose(x[0, [0, 255]], [128 / 255, 1], atol=1e-15)
    np.testing.assert_array_equal(data.brightness(np.stack([levels, levels]), [-1, 1])[0], x[1])
    half = data.brightness(levels[None, :, None], [1], shift=0.5)
    np.testing.assert_allclose(half[0, [0, 255], 0], [64 / 255, 1], atol=1e-15)
    np.testing.assert_array_equal(data.brightness(levels[None], [1], shift=0.0)[0], levels)


def test_a_patch_tells_the_attribute_and_leaves_the_rest():
    images, y, _ = data.digits()
    x = np.asarray(data.corner_patch(images, y, pixels=2, level=0.5)).reshape(-1, 8, 8)
    up, old = np.asarray(y) > 0, np.asarray(images).reshape(-1, 8, 8)
    assert (x[up][:, :2, :2] == 0.5).all()
    assert (x[~up][:, -2:, -2:] == 0.5).all()
    np.testing.assert_array_equal(x[~up][:, :2, :2], old[~up][:, :2, :2])
    assert (x != old).sum() <= 4 * len(x)
    colour = data.corner_patch(jnp.zeros((2, 4, 6, 3)), [1, -1], pixels=1)
    assert np.argwhere(np.asarray(colour)).tolist() == [[0, 0, 0, c] for c in range(3)] + [
        [1, 3, 5, c] for c in range(3)
    ]


def test_cells_have_the_counts_asked_for():
    images, y, _ = data.digits()
    counts = data.cell_counts(600, data.CELEBA)
    assert counts == {(-1, -1): 264, (-1, 1): 247, (1, -1): 84, (1, 1): 5}
    found = data.group_cells(images, y, counts, seed=4)
    assert {cell: int(np.sum((found.y == cell[0]) & (found.colour == cell[1]))) for cell in counts} == counts
    stored = {image.tobytes(): label for image, label in zip(np.asarray(images), np.asarray(y), strict=True)}
    drawn = [image.tobytes() for image in np.asarray(found.gray)]
    assert len(set(drawn)) == 600
    assert [stored[image] for image in drawn] == found.y.tolist()
    assert data.cell_counts(3, {(1, 1): 1e-6, (1, -1): 1.0, (-1, 1): 1.0}) == {(1, 1): 1, (1, -1): 1, (-1, 1): 1}


def test_rows_of_cells_are_drawn_once():
    y, attribute = np.repeat([0, 1], 50), np.tile([3, 4], 50)
    rows = data.cell_rows(y, attribute, {(0, 3): 20, (1, 4): 25, (0, 4): 0}, seed=1)
    assert len(set(rows.tolist())) == 45
    pairs = list(zip(y[rows].tolist(), attribute[rows].tolist(), strict=True))
    assert (pairs.count((0, 3)), pairs.count((1, 4))) == (20, 25)
    assert (np.diff(rows) < 0).any()


@pytest.mark.parametrize(
    ("draw", "message"),
    [
        (lambda: data.slabs(10, (2, 4)), r"kinds must be a list of 2, 3, 5 or 7 for each coordinate, got \(2, 4\)"),
        (lambda: data.slabs(10, ()), "kinds must be a list"),
        (lambda: data.slabs(10, (5,), margin=0.25), "margin must be > 0 and below 0.25, got 0.25"),
        (lambda: data.slabs(10, noise=1.5), r"noise must be in \[0, 1\], got 1.5"),
        (lambda: data.slabs(0), "n must be at least 1, got 0"),
        (lambda: data.linear_perception(10, 1), "dimension must be at least 2, got 1"),
        (lambda: data.linear_perception(10, strength=0), "strength must be finite and > 0, got 0"),
        (lambda: data.linear_perception(10, agreement="0.9"), r"agreement must be in \[0, 1\], got '0.9'"),
        (lambda: data.skewed_coordinate(np.ones((2, 1)), [0, 1]), "y must be a vector of -1 and \\+1"),
        (lambda: data.skewed_coordinate(np.ones((2, 1)), [-1, 1], 2), r"minority must be in \[0, 1\], got 2"),
        (lambda: data.skewed_coordinate(np.ones((3, 1)), [-1, 1]), "y must have as many rows as x"),
        (lambda: data.core_and_shortcut(10, predictivity=(1.0, 0.5)), r"predictivity must be inside \(0, 1\), got 1.0"),
        (lambda: data.core_and_shortcut(10, nesting=1), "nesting must be two numbers, of the core and of the shortcut"),
        (lambda: data.core_and_shortcut(10, correlation=1), r"correlation must be inside \(-1, 1\), got 1"),
        (lambda: data.brightness([[0.0, 2.0]], [1]), r"images must be in \[0, 1\]"),
        (lambda: data.brightness([[0.5]], [1], dark=0), "dark must be -1 or \\+1, got 0"),
        (lambda: data.brightness([[0.5]], [1], shift=-1), r"shift must be in \[0, 1\], got -1"),
        (lambda: data.corner_patch(np.zeros((2, 7)), [1, -1]), r"images must have shape .*, got \(2, 7\)"),
        (lambda: data.corner_patch(np.zeros((2, 16)), [1, -1]), "pixels must be in 1..2, got 3"),
        (lambda: data.group_cells(np.zeros((2, 1)), [-1, 1], {(1, 1): 2}), r"at most the 1 images of label \+1, got 2"),
        (lambda: data.group_cells(np.zeros((2, 1)), [-1, 1], {(1, 0): 2}), r"of -1 or \+1, got \(1, 0\)"),
        (lambda: data.group_cells(np.zeros((2, 1)), [-1, 1], {}), "counts must name at least one image, got {}"),
        (lambda: data.group_cells(np.zeros((2, 1)), [-1, 1], {(1, 1): 0.5}), r"counts\[\(1, 1\)\] must be an integer"),
        (lambda: data.cell_rows([0, 1], [0, 0], {(0, 1): 1}), r"at most the 0 rows of the cell \(0, 1\), got 1"),
        (lambda: data.cell_counts(3, data.CELEBA), "n must be at least 4, got 3"),
    ],
)
def test_bad_settings_are_named(draw, message):
    with pytest.raises(ValueError, match=message):
        draw()


def test_they_are_public():
    assert gs.data.slabs is data.slabs
