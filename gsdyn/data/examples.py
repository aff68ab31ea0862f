"""Examples as they come out of files: inputs, labels, what else is known of each, and how all of it was read."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import numpy as np
from jaxtyping import Float

from gsdyn.data._coding import Coding
from gsdyn.data.labels import Labels


@dataclasses.dataclass(frozen=True, eq=False)
class Examples:
    """n examples and what is known of them.

    - `x`: inputs, shape (n, d), or (n, h, w) and (n, h, w, c) for images; None beside a `kernel`.
    - `labels`: their classes, with the sentence that says how they were read; `y` are the numbers.
    - `attributes`: what else is known of every example, by name, shape (n,) each.
    - `kernel`: a kernel made elsewhere: (n, n), or between these and the training examples, (n, m); None for none.
    - `columns`: the name of every entry of a row of `x`; None where they have none.
    - `image_shape`: (h, w) or (h, w, c); None for no images.
    - `source`: the file. `notes`: sentences about what was done to the file's content on the way.
    - `rows`: which rows of the file these are, of its `file_rows`; None for all.
    - `coding`: how the columns of a table became numbers; None for no table.

        >>> examples = gs.data.read_examples("table.csv", attributes=["site"])  # doctest: +SKIP
    """

    x: Float[np.ndarray, "n ..."] | None
    labels: Labels
    attributes: Mapping[str, np.ndarray] = dataclasses.field(default_factory=dict)
    kernel: Float[np.ndarray, "n m"] | None = None
    columns: tuple[str, ...] | None = None
    image_shape: tuple[int, ...] | None = None
    source: str = ""
    notes: tuple[str, ...] = ()
    rows: np.ndarray | None = dataclasses.field(default=None, repr=False)
    file_rows: int | None = None
    coding: Coding | None = dataclasses.field(default=None, repr=False)

    @property
    def y(self) -> np.ndarray:
        """The labels: -1 and +1, or class numbers."""
        return self.labels.y

    @property
    def flat(self) -> Float[np.ndarray, "n d"] | None:
        """The inputs with one row of numbers each."""
        return None if self.x is None else self.x.reshape(len(self.x), -1)

    def __len__(self) -> int:
        return len(self.labels.y)

    def __repr__(self) -> str:
        shapes = (("x", self.x), ("kernel", self.kernel))
        inputs = ", ".join(f"{name} {array.shape}" for name, array in shapes if array is not None)
        known = ", ".join(self.attributes) or "none"
        return f"Examples({inputs}, {self.labels.sentence!r}, attributes: {known}, source={self.source!r})"
