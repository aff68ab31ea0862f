"""Compiled programs kept on disk, so that the next process need not compile them again."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

import jax
from filelock import FileLock
from jax.experimental.compilation_cache import compilation_cache

from gsdyn import _files

VARIABLE = "GSDYN_CACHE"
SETTINGS = {
    "jax_persistent_cache_min_compile_time_secs": 0.0,
    "jax_persistent_cache_min_entry_size_bytes": -1,
    "jax_compilation_cache_max_size": 2**31,  # with a bound JAX takes a lock, without one processes meet in a file
}
LOCK, ENTRY, COMPLETE = ".lockfile", "-cache", "-atime"  # what JAX calls its files there
PATIENCE = 10.0


def enable_cache(path: str | os.PathLike[str] | None = None) -> Path | None:
    """Keep what JAX compiles in a folder, and take it from there in this and every later process.

        gs.enable_cache()                       # before the first call; the command line does so by itself

    - `path`: the folder; default the environment's GSDYN_CACHE, else `gsdyn` below XDG_CACHE_HOME (`~/.cache`).
      GSDYN_CACHE=off, without a `path`, keeps nothing.

    Returns the folder, or None where nothing is kept. It is JAX's persistent compilation cache, set to keep programs of
    any size, however soon they are compiled. Any number of processes may share it, taking turns; one that is killed
    leaves nothing in the way. The programs that were not used for longest go once there are 2 GiB, and the folder can
    be deleted at any time. Programs that check traced values call back into Python, which JAX does not keep.

    Raises `ValueError` in one line for a folder that cannot be written to.

        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     kept = gs.enable_cache(folder)
        ...     print(str(kept) == folder)
        True
    """
    if path is None and os.environ.get(VARIABLE, "").lower() == "off":
        return None
    name, folder = folder_of(path)
    folder = folder.absolute()  # the same one from wherever the process goes on
    try:
        _files.make_folder(folder)
        _sweep_up(folder)
    except OSError as error:
        raise ValueError(f"{name} must be a folder to write to, got {folder}: {error.strerror}") from None
    for setting, value in {"jax_compilation_cache_dir": str(folder), **SETTINGS}.items():
        jax.config.update(setting, value)
    compilation_cache.reset_cache()  # JAX keeps to the folder that it met first
    return folder


def folder_of(path: str | os.PathLike[str] | None) -> tuple[str, Path]:
    """Where programs are kept, and the name of what says so."""
    if path is not None:
        return "path", _files.as_path("path", path)
    for variable, below in ((VARIABLE, ""), ("XDG_CACHE_HOME", "gsdyn")):
        if os.environ.get(variable):  # an empty one counts as none, as the XDG specification has it
            return variable, _files.as_path(variable, os.environ[variable]) / below
    return "path", _files.as_path("path", "~/.cache/gsdyn")


def _sweep_up(folder: Path) -> None:
    """Remove what a killed process left half written, about which JAX would complain for ever."""
    with contextlib.suppress(TimeoutError), FileLock(folder / LOCK, timeout=PATIENCE):
        complete = {entry.name.removesuffix(COMPLETE) for entry in folder.glob(f"*{COMPLETE}")}
        for entry in folder.glob(f"*{ENTRY}"):
            if complete and entry.name.removesuffix(ENTRY) not in complete:
                entry.unlink(missing_ok=True)
