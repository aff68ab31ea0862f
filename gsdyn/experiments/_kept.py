"""Finished parts of a long experiment, kept on the disk so that none is lost or done twice."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from gsdyn._files import as_path, write_arrays


def kept(
    path: Path | None, settings: Mapping[str, Any], compute: Callable[[], Mapping[str, np.ndarray]]
) -> dict[str, np.ndarray]:
    """What `compute` gives, from the file `path` where an earlier run with the same settings left it.

    With None nothing is kept. Raises `ValueError` where the file is of other settings or cannot be read.
    """
    if path is None:
        return dict(compute())
    words = json.dumps(dict(settings), sort_keys=True)
    if path.exists():
        try:
            with path.open("rb") as file, np.load(file) as stored:
                found = {name: stored[name] for name in stored.files}
            told = str(found.pop("settings"))
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
            raise ValueError(f"runs must hold files of this experiment, got {path}: {error}") from None
        if told != words:
            raise ValueError(f"runs must be of the same settings, got {path} with {told}: use another folder")
        return found
    result = {name: np.asarray(value) for name, value in compute().items()}
    write_arrays(path, {**result, "settings": np.array(words)})
    return result


def folder_of(runs: str | Path | None, experiment: str) -> Path | None:
    """Where an experiment keeps its finished parts below the folder `runs`; None keeps nothing."""
    return None if runs is None else as_path("runs", runs) / experiment
