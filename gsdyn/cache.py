"""Compiled programs kept on disk, so that the next process need not compile them again."""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path

import jax

from gsdyn import _files

VARIABLE = "GSDYN_CACHE"
LARGEST = 2**31


def enable_cache(path: str | os.PathLike[str] | None = None) -> Path | None:
    """Keep what JAX compiles in a folder, and take it from there in this and every later process.

        gs.enable_cache()                       # before the first call; the command line does so by itself

    - `path`: the folder; default the environment's GSDYN_CACHE, else `gsdyn` below XDG_CACHE_HOME (`~/.cache`).
      GSDYN_CACHE=off, beside no `path`, keeps nothing.

    Returns the folder, or None where nothing is kept. It is JAX's persistent compilation cache, for programs of any
    size and time to compile. Several processes may share it: where `filelock` is installed they take turns, and the
    least used programs go once there are 2 GiB; a program that another process is just writing is compiled again. It
    can be deleted at any time. Programs with checks of traced values call back into Python, which JAX does not keep.

    Raises `ValueError` in one line for a folder that cannot be written to.
    """
    if path is None and os.environ.get(VARIABLE, "").lower() == "off":
        return None
    name = VARIABLE if path is None and os.environ.get(VARIABLE) else "path"
    folder = _files.as_path(name, _default() if path is None else path)
    try:
        _files.make_folder(folder)
    except OSError as error:
        raise ValueError(f"{name} must be a folder to write to, got {folder}: {error.strerror}") from None
    if not os.access(folder, os.W_OK | os.X_OK):
        raise ValueError(f"{name} must be a folder to write to, got {folder}")
    settings = {
        "jax_compilation_cache_dir": str(folder),
        "jax_persistent_cache_min_compile_time_secs": 0.0,
        "jax_persistent_cache_min_entry_size_bytes": -1,
        "jax_compilation_cache_max_size": LARGEST if importlib.util.find_spec("filelock") else -1,
    }
    for setting, value in settings.items():
        jax.config.update(setting, value)
    return folder


def _default() -> str | Path:
    # an empty variable counts as none, as the XDG specification has it
    return os.environ.get(VARIABLE) or Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache") / "gsdyn"
