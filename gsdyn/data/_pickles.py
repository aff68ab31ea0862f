"""Pickles of plain values and NumPy arrays, and of nothing that could run."""

from __future__ import annotations

import _codecs
import io
import pickle
from pathlib import Path
from typing import Any

import numpy as np

from gsdyn.data._decoded import content

_REBUILD = np.zeros(0).__reduce__()[0]
ALLOWED = {
    **{(f"numpy.{core}.multiarray", "_reconstruct"): _REBUILD for core in ("core", "_core")},
    ("numpy", "ndarray"): np.ndarray,
    ("numpy", "dtype"): np.dtype,
    ("_codecs", "encode"): _codecs.encode,
}
"""What a pickle of arrays needs, by module and name."""


class _Arrays(pickle.Unpickler):
    def find_class(self, module_name: str, global_name: str) -> Any:
        try:
            return ALLOWED[module_name, global_name]
        except KeyError:
            raise pickle.UnpicklingError(f"it asks for {module_name}.{global_name}") from None


def read_pickle(path: Path) -> Any:
    """What is in a pickle, with text of Python 2 as bytes. Raises `ValueError` in one line for any other content."""
    raw = content(path)
    try:
        return _Arrays(io.BytesIO(raw), encoding="bytes").load()
    except Exception as error:  # a damaged pickle can raise anything
        text = " ".join(str(error).split()) or type(error).__name__
        raise ValueError(f"folder must hold whole pickles of plain arrays, got {path}: {text}") from None
