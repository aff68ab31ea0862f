"""Compiled programs kept on disk, so that the next process need not compile them again."""

from __future__ import annotations

import contextlib
import os
import tempfile
import time
import zlib
from pathlib import Path

import jax
from jax.experimental.compilation_cache import compilation_cache

from gsdyn import _files

VARIABLE = "GSDYN_CACHE"
SETTINGS = {
    "jax_persistent_cache_min_compile_time_secs": 0.0,
    "jax_persistent_cache_min_entry_size_bytes": -1,
    "jax_compilation_cache_max_size": 2**31,
}
PROGRAM = "-program"
OTHERS = ("-cache", "-atime")  # what JAX calls its own files, which lie where gsdyn left it to JAX to keep programs
DAY = 86_400.0


def enable_cache(path: str | os.PathLike[str] | None = None) -> Path | None:
    """Keep what JAX compiles in a folder, and take it from there in this and every later process.

        gs.enable_cache()                       # before the first call; the command line does so by itself

    - `path`: the folder; default the environment's GSDYN_CACHE, else `gsdyn` below XDG_CACHE_HOME (`~/.cache`).
      GSDYN_CACHE=off, without a `path`, keeps nothing.

    Returns the folder, or None where nothing is kept. It is JAX's persistent compilation cache, set to keep programs of
    any size, however soon they are compiled, in files of gsdyn's own. Any number of processes may share it, none waits
    for another, and one that is killed leaves nothing in the way. The programs that were not used for longest go once
    there are about 2 GiB (`jax_compilation_cache_max_size`), and the folder can be deleted at any time. Programs that
    check traced values call back into Python, which JAX does not keep.

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
        tempfile.TemporaryFile(dir=folder).close()
    except OSError as error:
        raise ValueError(f"{name} must be a folder to write to, got {folder}: {error.strerror}") from None
    for setting, value in {"jax_compilation_cache_dir": str(folder), **SETTINGS}.items():
        jax.config.update(setting, value)
    compilation_cache.reset_cache()  # JAX keeps to the folder that it met first
    with contextlib.suppress(ImportError):  # private to JAX, which keeps programs in files of its own without it
        from jax._src import compilation_cache as internals

        internals._cache, internals._cache_initialized = Programs(folder), True
    return folder


def folder_of(path: str | os.PathLike[str] | None) -> tuple[str, Path]:
    """Where programs are kept, and the name of what says so."""
    if path is not None:
        return "path", _files.as_path("path", path)
    for variable, below in ((VARIABLE, ""), ("XDG_CACHE_HOME", "gsdyn")):
        if os.environ.get(variable):  # an empty one counts as none, as the XDG specification has it
            return variable, _files.as_path(variable, os.environ[variable]) / below
    return "path", _files.as_path("path", "~/.cache/gsdyn")


class Programs:
    """Compiled programs in a folder, for JAX to put and get: each a file that is whole, or as good as absent.

    JAX's own files have a lock that every process waits for, and to keep one program more it looks at each that is
    there: 0.1 s of it at 3,000 of them.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder  # the name that JAX knows it by
        self._room = 0  # bytes that may come before it is time to look how many there are

    def get(self, key: str) -> bytes | None:
        """The program of `key`; None where there is none, or one that was damaged since."""
        path = self._path / f"{key}{PROGRAM}"
        try:
            content = path.read_bytes()
        except OSError:
            return None
        with contextlib.suppress(OSError):
            os.utime(path)  # used just now
        program = content[4:]
        return program if content[:4] == _digest(program) else None

    def put(self, key: str, value: bytes) -> None:
        """Keep the program of `key`, and make room for it."""
        self._path.mkdir(parents=True, exist_ok=True)  # somebody may have deleted it
        self._room -= len(value)
        if self._room < 0:
            self._make_room()
        _files.write(self._path / f"{key}{PROGRAM}", _digest(value) + value, lasting=False)

    def _make_room(self) -> None:
        """Remove what was not used for longest where all together is too much, and what killed processes left."""
        limit = jax.config.values["jax_compilation_cache_max_size"]
        files = []
        with os.scandir(self._path) as entries:
            for entry in entries:
                with contextlib.suppress(FileNotFoundError):  # another process makes room too
                    if entry.name.endswith((PROGRAM, *OTHERS)):
                        files.append((entry.stat().st_mtime, entry.stat().st_size, entry.path))
                    elif _files.is_staged(Path(entry)) and entry.stat().st_mtime < time.time() - DAY:
                        os.unlink(entry)
        self._room = max(limit // 16, 1)
        excess = sum(size for _, size, _ in files) + self._room - limit
        for _, size, path in sorted(files):
            if excess <= 0 or limit < 0:
                break
            with contextlib.suppress(FileNotFoundError):
                os.unlink(path)
            excess -= size


def _digest(program: bytes) -> bytes:
    return zlib.crc32(program).to_bytes(4, "big")
