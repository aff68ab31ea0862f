"""Stores of kernels in places that cannot be, and stores that something broke: one line, and no work for nothing."""

import shutil

import numpy as np
import pytest

import gsdyn as gs

X = np.random.default_rng(0).normal(size=(6, 3))
NET = gs.networks.FullyConnected(depth=2)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    path = tmp_path_factory.mktemp("kernels") / "k.zarr"
    return path, gs.kernels.infinite_ntk(NET, X, out=path, tile=3)


@pytest.mark.parametrize("out", ["s3://bucket/k.zarr", "/dev/null", "/dev/null/k.zarr", "", 3])
def test_places_that_cannot_be_are_refused(out):
    for call in (lambda: gs.kernels.infinite_ntk(NET, X, out=out, tile=3), lambda: gs.kernels.load(out)):
        with pytest.raises(ValueError, match=r"out must be|path must be") as caught:
            call()
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", ["{", "[]", "{}", "3", "null"])
@pytest.mark.parametrize("name", [".zgroup", ".zattrs", "theta/.zarray", "theta/0.0", "zarr.json", ".zmetadata"])
def test_a_broken_store_is_told_in_one_line_or_does_not_matter(tmp_path, whole, name, text):
    path, theta = whole
    broken = tmp_path / "k.zarr"
    shutil.copytree(path, broken)
    (broken / name).write_text(text)
    try:
        found = gs.kernels.load(broken).value
    except ValueError as error:
        told = str(error)
    else:
        told = "path must be"
        np.testing.assert_array_equal(found, theta)
    assert told.startswith("path must be")
    assert "\n" not in told


def test_a_torn_tile_is_computed_again(tmp_path, whole):
    path, theta = whole
    torn = tmp_path / "k.zarr"
    shutil.copytree(path, torn)
    tile = torn / "theta" / "0.1"
    tile.write_bytes(tile.read_bytes()[:-1])
    np.testing.assert_array_equal(gs.kernels.infinite_ntk(NET, X, out=torn, tile=3), theta)
    np.testing.assert_array_equal(gs.kernels.load(torn).value, theta)
