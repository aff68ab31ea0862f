"""Images with a class, attributes and a split: what loaders of real data give."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jax.dtypes import canonicalize_dtype
from jax.typing import DTypeLike
from jaxtyping import Array, ArrayLike, Float, Int

from gsdyn import _checks

SPLITS = ("train", "validation", "test")


class Images(NamedTuple):
    """Images and what is known of them, a row each.

    - `x` (n, h, w, channels): levels in [0, 1].
    - `label` (n,): the class, 0, 1, ...; with two classes `2*label - 1` is -1 or +1.
    - `attributes` (n, k): whole numbers, in the order of `attribute_names`; k may be 0.
    - `split` (n,): 0 to train, 1 to validate, 2 to test.
    - `classes`: the names of the classes. `attribute_names`: those of the attributes.

        >>> pair = gs.data.cifar10("~/cifar").part("test")  # doctest: +SKIP
    """

    x: Float[Array, "n h w c"]
    label: Int[Array, " n"]
    attributes: Int[Array, "n k"]
    split: Int[Array, " n"]
    classes: tuple[str, ...]
    attribute_names: tuple[str, ...] = ()

    def attribute(self, name: str) -> Int[Array, " n"]:
        """One attribute by its name."""
        return self.attributes[:, self.attribute_names.index(_checks.one_of("name", name, self.attribute_names))]

    def take(self, rows: ArrayLike) -> Images:
        """Some of the images, by their numbers or by a mask of n booleans."""
        row = jnp.asarray(rows)
        return self._replace(
            x=self.x[row], label=self.label[row], attributes=self.attributes[row], split=self.split[row]
        )

    def part(self, split: str) -> Images:
        """The images of one split, "train", "validation" or "test"."""
        return self.take(np.flatnonzero(np.asarray(self.split) == split_number(split)))


def split_number(split: str) -> int:
    """The number of a split."""
    return SPLITS.index(_checks.one_of("split", split, SPLITS))


def chosen(split: np.ndarray, only: str | None, at_most: int | None) -> np.ndarray:
    """The rows of one split, or all, and of each at most so many, evenly spaced among them."""
    wanted = range(len(SPLITS)) if only is None else [split_number(only)]
    count = None if at_most is None else _checks.integer("at_most", at_most, 1)
    rows = []
    for number in wanted:
        own = np.flatnonzero(split == number)
        few = len(own) if count is None else min(count, len(own))
        rows.append(own[np.arange(few) * len(own) // max(few, 1)])
    return np.concatenate(rows)


def levels(pixels: np.ndarray, dtype: DTypeLike) -> Float[Array, "..."]:
    """Bytes 0 to 255 as levels in [0, 1]."""
    kind = canonicalize_dtype(dtype)
    if not jnp.issubdtype(kind, jnp.floating):
        raise ValueError(f"dtype must be a type of floating-point numbers, got {_checks.in_short(dtype)}")
    return jnp.asarray(np.divide(pixels, 255, dtype=np.promote_types(kind, np.float32)), kind)


def assembled(
    pixels: np.ndarray,
    label: np.ndarray,
    split: np.ndarray,
    classes: Sequence[str],
    *,
    attributes: np.ndarray | None = None,
    names: Sequence[str] = (),
    dtype: DTypeLike = float,
) -> Images:
    """Images from bytes (n, h, w, channels) and columns."""
    columns = np.zeros((len(label), 0), int) if attributes is None else attributes
    known = [jnp.asarray(part, int) for part in (label, columns, split)]
    return Images(levels(pixels, dtype), known[0], known[1], known[2], tuple(classes), tuple(names))
