"""Loaders read the real formats to the byte, and keep what they decoded whole or not at all."""

import os

import _file_formats as formats
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from gsdyn import data


@pytest.mark.parametrize(("compress", "below"), [(True, ""), (False, "MNIST/raw")])
def test_mnist_is_read_to_the_byte(tmp_path, compress, below):
    place = tmp_path / below
    place.mkdir(parents=True, exist_ok=True)
    stored = formats.mnist_folder(place, compress=compress)
    for split, (images, labels) in stored.items():
        x, y, digit = data.mnist(tmp_path, split, cache=False)
        np.testing.assert_array_equal(x, images.reshape(-1, 784) / 255)
        np.testing.assert_array_equal(digit, labels)
        np.testing.assert_array_equal(y, np.where(labels < 5, 1, -1))
    small = data.mnist(tmp_path, pixels=14, dtype=np.float32, cache=False)
    assert small.x.dtype == small.y.dtype == jnp.float32
    kept = stored["train"][0][:, ::2, ::2].reshape(-1, 196)
    np.testing.assert_allclose(small.x, kept / 255, rtol=1e-7)
    found = data.colour_digits(8, 4, source=data.mnist(tmp_path, cache=False))
    assert found.train.x.shape == (8, 1568)


def test_fashion_mnist_has_names_and_both_splits(tmp_path):
    stored = formats.mnist_folder(tmp_path, seed=3)
    found = data.fashion_mnist(tmp_path, cache=False)
    assert found.x.shape == (24, 28, 28, 1)
    np.testing.assert_array_equal(found.split, np.repeat([0, 2], 12))
    np.testing.assert_array_equal(found.part("test").x[..., 0], stored["test"][0] / 255)
    assert found.classes[int(found.label[9])] == "Ankle boot"
    assert data.fashion_mnist(tmp_path, "train", cache=False).x.shape[0] == 12


@pytest.mark.parametrize("hundred", [False, True])
def test_cifar_is_the_same_from_either_version(tmp_path, hundred):
    batches = formats.cifar_batches(hundred)
    load = data.cifar100 if hundred else data.cifar10
    found = {}
    for binary, below in ((True, ""), (False, "cifar-100-python" if hundred else "cifar-10-batches-py")):
        place = tmp_path / str(binary) / below
        place.mkdir(parents=True)
        formats.cifar_folder(place, batches, binary)
        found[binary] = load(tmp_path / str(binary), cache=False)
    images = np.concatenate([part[0] for part in batches.values()])
    fine = np.concatenate([part[1]["fine_labels" if hundred else "labels"] for part in batches.values()])
    for version in found.values():
        np.testing.assert_array_equal(version.x, images / 255)
        np.testing.assert_array_equal(version.label, fine)
        np.testing.assert_array_equal(version.split, np.where(np.arange(len(fine)) < len(fine) - 4, 0, 2))
    if hundred:
        coarse = np.concatenate([part[1]["coarse_labels"] for part in batches.values()])
        np.testing.assert_array_equal(found[True].attribute("coarse"), coarse)
    else:
        assert found[True].classes[7] == "horse"
        kept = found[True].take(found[True].label < 5)
        np.testing.assert_array_equal(kept.x, (images / 255)[fine < 5])
        assert kept.classes == found[True].classes
    assert load(tmp_path / "True", "test", cache=False).x.shape[0] == 4


@pytest.mark.parametrize("comma", [False, True])
def test_celeba_is_faces_attributes_and_split(tmp_path, comma):
    formats.celeba_folder(tmp_path, comma=comma)
    found = data.celeba(tmp_path, pixels=4, cache=False)
    assert found.x.shape == (5, 4, 4, 3)
    assert found.x.dtype == jnp.float32
    np.testing.assert_allclose(found.x[:, 1, 2, 0], np.array([10, 20, 30, 40, 50]) / 255, rtol=1e-6)
    np.testing.assert_array_equal(found.label, [1, 0, 1, 0, 1])
    np.testing.assert_array_equal(found.attribute("Male"), [1, 1, 0, 0, 0])
    np.testing.assert_array_equal(found.split, [0, 0, 0, 1, 2])
    assert found.classes == ("not Blond_Hair", "Blond_Hair")
    few = data.celeba(tmp_path, "train", label="Male", at_most=2, pixels=4, gray=True, cache=False)
    assert few.x.shape == (2, 4, 4, 1)
    np.testing.assert_array_equal(few.label, [1, 1])


def test_only_what_is_asked_for_must_be_there(tmp_path):
    formats.celeba_folder(tmp_path)
    (tmp_path / "img_align_celeba" / "000005.png").unlink()
    assert data.celeba(tmp_path, "train", pixels=2, cache=False).x.shape[0] == 3


def test_waterbirds_are_read_from_their_table(tmp_path):
    formats.waterbirds_folder(tmp_path)
    found = data.waterbirds(tmp_path, pixels=2, dtype=float, cache=False)
    np.testing.assert_allclose(found.x[:, 0, 0], [[20 * i / 255, 100 / 255, 1 - 20 * i / 255] for i in range(5)])
    np.testing.assert_array_equal(found.label, [0, 1, 1, 0, 1])
    np.testing.assert_array_equal(found.attribute("place"), [0, 1, 0, 1, 1])
    np.testing.assert_array_equal(found.split, [0, 0, 0, 1, 2])
    assert found.classes == ("landbird", "waterbird")
    own = data.table_images(tmp_path, "validation", label="place", pixels=2, cache=False)
    assert own.label.tolist() == [1]
    assert own.attributes.shape == (1, 0)


@pytest.mark.parametrize("nested", [False, True])
def test_cats_and_dogs_come_in_order(tmp_path, nested):
    root = tmp_path / "train"
    root.mkdir()
    formats.kaggle_folder(root, nested)
    found = data.cats_and_dogs(tmp_path, pixels=3, dtype=float, cache=False)
    np.testing.assert_allclose(found.x[:, 0, 0, 0], np.array([10, 12, 20, 100, 102, 110]) / 255)
    np.testing.assert_array_equal(found.label, [0, 0, 0, 1, 1, 1])
    name = "Cat/2.png" if nested else "cat.2.png"
    few = data.cats_and_dogs(tmp_path, leave_out=(name,), at_most=4, pixels=3, gray=True, dtype=float, cache=False)
    np.testing.assert_allclose(few.x[:, 0, 0, 0], np.array([10, 20, 100, 102]) / 255)


def test_photographs_are_the_middle_square_averaged(tmp_path):
    """A wide image whose left and right ends are cut off, and whose squares of 2 x 2 pixels are averaged."""
    levels = np.random.default_rng(0).integers(0, 256, (4, 8, 3), dtype=np.uint8)
    for name in ("cat.1.png", "dog.1.png"):
        Image.fromarray(levels).save(tmp_path / name)
    found = np.asarray(data.cats_and_dogs(tmp_path, pixels=2, dtype=float, cache=False).x[0]) * 255
    middle = levels[:, 2:6].reshape(2, 2, 2, 2, 3).mean(axis=(1, 3))
    np.testing.assert_allclose(found, middle, atol=1 + 1e-9)  # Pillow rounds rows, then columns, to bytes
    Image.fromarray(np.full((9, 9, 3), 77, np.uint8)).save(tmp_path / "cat.1.jpg", quality=100)
    assert float(data.cats_and_dogs(tmp_path, pixels=1, dtype=float, cache=False).x[0, 0, 0, 0]) == 77 / 255


def test_decoded_arrays_are_kept_until_the_files_change(tmp_path, monkeypatch):
    folder, cache = tmp_path / "files", tmp_path / "cache"
    folder.mkdir()
    formats.kaggle_folder(folder, nested=False)
    reads = []
    monkeypatch.setattr("gsdyn.data._photographs._square", spy := counted(reads))

    def load(**options):
        reads.clear()
        x = data.cats_and_dogs(folder, pixels=2, cache=cache, **options).x
        return np.asarray(x), len(reads)

    first, count = load()
    assert count == 6
    second, count = load()
    assert count == 0
    np.testing.assert_array_equal(first, second)
    assert load(gray=True)[1] == 6  # other options are another entry
    os.utime(folder / "cat.0.png", (1, 1))
    assert load()[1] == 6  # and so are other files
    (entry, *_) = sorted(cache.iterdir(), key=os.path.getmtime, reverse=True)
    formats.shorten(entry)
    third, count = load()  # what was damaged since counts as not kept
    assert count == 6
    np.testing.assert_array_equal(first, third)
    assert spy is not None


def counted(reads):
    from gsdyn.data._photographs import _square

    def square(path, pixels, gray):
        reads.append(path)
        return _square(path, pixels, gray)

    return square


def test_a_run_that_fails_keeps_nothing(tmp_path):
    folder, cache = tmp_path / "files", tmp_path / "cache"
    folder.mkdir()
    formats.kaggle_folder(folder, nested=False)
    formats.shorten(folder / "dog.2.png", 30)
    with pytest.raises(ValueError, match=r"damaged or no images: dog.2.png, in"):
        data.cats_and_dogs(folder, cache=cache)
    assert list(cache.iterdir()) == []


def test_the_cache_is_gsdyns_unless_told_otherwise(tmp_path, monkeypatch):
    formats.mnist_folder(tmp_path)
    data.mnist(tmp_path)
    monkeypatch.setenv("GSDYN_CACHE", str(tmp_path / "own"))
    data.mnist(tmp_path)
    assert [path.suffix for path in (tmp_path / "own" / "data").iterdir()] == [".npz"]
    (tmp_path / "file").write_text("")
    with pytest.raises(ValueError, match="cache must be a folder to write to, got"):
        data.mnist(tmp_path, cache=tmp_path / "file")
