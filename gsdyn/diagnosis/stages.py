"""Stages of a long computation: each told about, and kept on disk so that none is done twice."""

from __future__ import annotations

import hashlib
import json
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from gsdyn import _checks, _files
from gsdyn._outputs import Outputs
from gsdyn._progress import Progress, silent

Arrays = Mapping[str, np.ndarray]


class Stages:
    """The stages of one report.

    - `tell`: a function of a stage's name, the stages done and their number (`teller`).
    - `out`: a folder that keeps finished stages under a key of all that they depend on; None keeps nothing.
    - `key`: that of what was given: the same inputs and settings find their stages again, others do not.
    - `total`: how many stages there are.
    """

    def __init__(self, tell: Progress, out: str | Path | None, key: str, total: int) -> None:
        self._tell = tell
        self._done, self._total = 0, total
        self._folder = None
        if out is not None:
            with Outputs() as outputs:
                self._folder = outputs.folder("out", out)
            self._folder /= key[:16]

    def do(self, name: str, compute: Callable[[], Arrays]) -> dict[str, np.ndarray]:
        """What `compute` gives, from disk where it is there."""
        self._tell(name, self._done, self._total)
        path = None if self._folder is None else self._folder / f"{name.replace(' ', '-')}.npz"
        found = None if path is None else _files.read_arrays(path)
        if found is None:
            found = {key: np.asarray(value) for key, value in compute().items()}
            if path is not None:
                _files.write_arrays(path, found)
        self._done += 1
        if self._done == self._total:
            self._tell("report", self._done, self._total)
        return found


def teller(progress: bool | Progress) -> Progress:
    """True tells each stage on stderr, False nobody; or a function of its name, the stages done and their number."""
    if isinstance(progress, bool):
        return _on_stderr() if progress else silent
    _checks.progress(progress)
    return progress


def fingerprint(arrays: Mapping[str, Any], settings: Mapping[str, Any]) -> str:
    """A key of arrays and settings."""
    total = hashlib.sha256(json.dumps(dict(settings), sort_keys=True, default=repr).encode())
    for name, value in arrays.items():
        array = np.ascontiguousarray(value)
        total.update(f"{name} {array.dtype} {array.shape} ".encode())
        total.update(array.view(np.uint8).data if array.dtype.kind in "biuf" else repr(array.tolist()).encode())
    return total.hexdigest()


def _on_stderr() -> Progress:
    began = time.monotonic()

    def tell(stage: str, done: int, total: int) -> None:
        print(f"[{done}/{total}, {time.monotonic() - began:.0f} s] {stage}", file=sys.stderr, flush=True)

    return tell
