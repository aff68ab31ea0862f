"""Checkpoints of a training run: written whole or not at all, and refused where anything about the run changed."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import zipfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from gsdyn import _checks, _files


@dataclasses.dataclass(frozen=True)
class Checkpoint:
    """Where a run keeps its state, and how often it writes it.

    - `path`: one file. It appears by a rename, after its bytes are on the disk: a run killed at any moment leaves the
      last complete state. A finished run leaves its result there and is not trained again, and goes on from there
      where later steps are asked for.
    - `every`: after how many steps at most to write.

        >>> import pathlib, tempfile
        >>> objective = gs.training.BinaryObjective(lambda w, x: x @ w)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     kept = gs.training.Checkpoint(pathlib.Path(folder) / "run.npz", every=10)
        ...     run = gs.training.train(jnp.zeros(2), objective, (x, y), optax.sgd(0.1), [20], checkpoint=kept)
        ...     print(kept.path.name, kept.path.exists())
        run.npz True
    """

    path: Path
    every: int = 1000

    def __post_init__(self) -> None:
        object.__setattr__(self, "path", _files.as_path("path", self.path))
        _checks.integer("every", self.every, 1)

    def load(self, identity: str, template: Any) -> Any | None:
        """The stored state in the form of `template`, or None where there is none. Another `identity` is refused."""
        if not self.path.exists():
            return None
        try:
            with self.path.open("rb") as file, np.load(file) as stored:
                found = json.loads(str(stored["identity"]))
                arrays = [stored[f"leaf{i}"] for i in range(len(stored.files) - 1)]
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
            raise ValueError(f"checkpoint must be a file written by train, got {self.path}: {error}") from None
        if found != identity:
            raise ValueError(
                f"checkpoint {self.path} belongs to a run with other settings, data, start or versions: "
                "use another path, or delete it to train anew"
            )
        leaves, form = jax.tree.flatten(template)
        return form.unflatten(_restored(a, b) for a, b in zip(arrays, leaves, strict=True))

    def save(self, identity: str, state: Any) -> None:
        """Replace what is stored by `state`."""
        arrays = {f"leaf{i}": _plain(leaf) for i, leaf in enumerate(jax.tree.leaves(state))}
        _files.write_arrays(self.path, {**arrays, "identity": np.array(json.dumps(identity))})


def identity(program: str, arrays: Any, words: Iterable[str]) -> str:
    """A fingerprint of a run: of the compiled step's text, which holds every setting, and of what it starts from."""
    digest = hashlib.sha256()
    for text in (jax.__version__, jax.default_backend(), *words, program):
        digest.update(text.encode() + b"\0")
    for leaf in jax.tree.leaves(arrays):
        plain = _plain(leaf)
        digest.update(f"{plain.dtype} {plain.shape}".encode() + np.ascontiguousarray(plain).tobytes())
    return digest.hexdigest()


def _is_key(leaf: Any) -> bool:
    return isinstance(leaf, jax.Array) and jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)


def _plain(leaf: Any) -> np.ndarray:
    return np.asarray(jax.random.key_data(leaf) if _is_key(leaf) else leaf)


def _restored(stored: np.ndarray, like: Any) -> Any:
    if _is_key(like):
        return jax.random.wrap_key_data(jnp.asarray(stored), impl=jax.random.key_impl(like))
    stored = stored.view(like.dtype)  # NumPy's files know no bfloat16
    return stored if isinstance(like, np.ndarray) else jnp.asarray(stored)
