"""MNIST and Fashion-MNIST from the files that everybody has of them (idx, gzipped or not)."""

from __future__ import annotations

import gzip
import struct
import zlib
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
from jax.typing import DTypeLike

from gsdyn import _checks
from gsdyn.data._decoded import Arrays, Cache, content, decoded, folder_of, found
from gsdyn.data.digits import Digits
from gsdyn.data.images import Images, assembled, levels

FASHION = ("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot")
PREFIX = {"train": "train", "test": "t10k"}
UNSIGNED_BYTES = 8
PIXELS = 28


def mnist(
    folder: Any, split: str = "train", *, pixels: int = PIXELS, dtype: DTypeLike = float, cache: Cache = None
) -> Digits:
    """MNIST's handwritten digits, from the idx files in a folder of yours.

    - `folder`: has `train-images-idx3-ubyte` and `train-labels-idx1-ubyte` (or `t10k-...`), with or without `.gz`, or
      with `.idx3-ubyte`; also in `raw` or `MNIST/raw` below, where torchvision puts them.
    - `split`: "train" (60,000 images) or "test" (10,000).
    - `pixels`: 28, or 14, every other pixel of every other row.
    - `dtype`: of the images. `cache`: a folder to keep the decoded arrays in; by default gsdyn's, False for none.

    Returns images as rows in [0, 1], `y` +1 for the digits 0 to 4 and -1 for 5 to 9, and the digits: what
    `gs.data.colour_digits(source=...)` takes. Raises `ValueError` in one line for files that are missing or damaged.

        >>> train, test = gs.data.mnist("~/mnist"), gs.data.mnist("~/mnist", "test")  # doctest: +SKIP
    """
    if _checks.integer("pixels", pixels, 1) not in (14, PIXELS):
        raise ValueError(f"pixels must be 14 or {PIXELS}, got {pixels}")
    stored = _stored("mnist", folder, _checks.one_of("split", split, tuple(PREFIX)), ("raw", "MNIST/raw"), cache)
    thinned = stored["images"][:, :: PIXELS // pixels, :: PIXELS // pixels].reshape(-1, pixels**2)
    x, digit = levels(thinned, dtype), stored["labels"]
    return Digits(x, jnp.asarray(np.where(digit < 5, 1, -1), x.dtype), jnp.asarray(digit, int))


def fashion_mnist(folder: Any, split: str | None = None, *, dtype: DTypeLike = float, cache: Cache = None) -> Images:
    """Fashion-MNIST's pictures of ten kinds of clothes, from the idx files in a folder of yours.

    - `folder`: files as for `mnist`; also in `raw` or `FashionMNIST/raw` below.
    - `split`: "train" (60,000 images), "test" (10,000), or None for both, one after the other.
    - `dtype`, `cache`: as in `mnist`.

    Raises `ValueError` in one line for files that are missing or damaged.

        >>> data = gs.data.fashion_mnist("~/fashion")  # doctest: +SKIP
        >>> data.x.shape, data.classes[9]  # doctest: +SKIP
        ((70000, 28, 28, 1), 'Ankle boot')
    """
    wanted = tuple(PREFIX) if split is None else (_checks.one_of("split", split, tuple(PREFIX)),)
    parts = [_stored("fashion-mnist", folder, part, ("raw", "FashionMNIST/raw"), cache) for part in wanted]
    images, labels = (np.concatenate([part[name] for part in parts]) for name in ("images", "labels"))
    number = np.repeat([0 if part == "train" else 2 for part in wanted], [len(part["labels"]) for part in parts])
    return assembled(images[..., None], labels, number, FASHION, dtype=dtype)


def _stored(name: str, folder: Any, split: str, below: tuple[str, ...], cache: Cache) -> Arrays:
    folders = folder_of(folder, below)
    stems = [f"{PREFIX[split]}-{kind}" for kind in ("images{}idx3-ubyte", "labels{}idx1-ubyte")]
    images, labels = (
        found(folders, [stem.format(mark) + suffix for mark in "-." for suffix in ("", ".gz")]) for stem in stems
    )
    return decoded(name, (images, labels), split, lambda: _decode(images, labels), cache)


def _decode(images: Path, labels: Path) -> Arrays:
    pixels, classes = read_idx(images, 3), read_idx(labels, 1)
    if pixels.shape[1:] != (PIXELS, PIXELS):
        raise ValueError(f"folder must hold images of 28 x 28 pixels, got {pixels.shape[1:]} in {images}")
    if len(pixels) != len(classes):
        raise ValueError(f"folder must hold a label for each image, got {len(classes)} in {labels} for {len(pixels)}")
    if classes.size and classes.max() > 9:
        raise ValueError(f"folder must hold labels 0 to 9, got {classes.max()} in {labels}")
    return {"images": pixels, "labels": classes}


def read_idx(path: Path, dimensions: int) -> np.ndarray:
    """The bytes of an idx file: 0, 0, the type, the number of dimensions, each as 4 bytes, then what is stored."""
    raw = content(path)
    if raw[:2] == b"\x1f\x8b":
        try:
            raw = gzip.decompress(raw)
        except (OSError, EOFError, zlib.error) as error:
            raise ValueError(f"folder must hold whole gzip files, got {path}: {error}") from None
    head = 4 + 4 * dimensions
    magic = bytes([0, 0, UNSIGNED_BYTES, dimensions])
    if raw[:4] != magic:
        given = raw[:4].hex() or "nothing"
        raise ValueError(f"folder must hold idx files that start with {magic.hex()}, got {given} in {path}")
    shape = struct.unpack(f">{dimensions}I", raw[4:head]) if len(raw) >= head else (0,)
    size = head + int(np.prod(shape, dtype=object))
    if len(raw) != size or 0 in shape:
        raise ValueError(f"folder must hold whole idx files, got {len(raw)} bytes instead of {size} in {path}")
    return np.frombuffer(raw, np.uint8, offset=head).reshape(shape)
