"""Paths as people give them, and files that are whole or absent, also after the power went."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import re
import uuid
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

if TYPE_CHECKING:
    import numpy as np

PARTIAL = ".partial-"
LOCK = ".sweep.lock"
_ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:(?:/|:)")
_STAGED = re.compile(rf"{re.escape(PARTIAL)}[0-9a-f]{{32}}")


def as_path(name: str, value: Any) -> Path:
    """`value` as a path of this machine, `~` and `~user` expanded.

    Raises `ValueError` in one line for what is no path, and for an address such as `s3://bucket/run`: what is kept here
    is kept by renames and locks, which such places do not have.
    """
    if not isinstance(value, str | os.PathLike) or not isinstance(os.fspath(value), str):
        raise ValueError(f"{name} must be a path, got {' '.join(repr(value).split())}")
    text = os.fspath(value)
    if not text or "\0" in text:
        raise ValueError(f"{name} must be a path, got {text!r}")
    if _ADDRESS.match(text):
        told = re.sub(":/(?!/)", "://", text)  # Path makes "s3:/bucket" of "s3://bucket"
        raise ValueError(f"{name} must be a path on this machine, or mounted on it, got the address {told!r}")
    try:
        return Path(text).expanduser()
    except RuntimeError:
        raise ValueError(f"{name} must be below the home of a user that there is, got {text!r}") from None


def write(path: Path, content: bytes | memoryview, *, lasting: bool = True) -> None:
    """Make `content` the content of `path` in one step, on disk when this returns if it is to outlast a power cut."""
    write_with(path, lambda file: file.write(content), lasting=lasting)


def write_with(path: Path, fill: Callable[[BinaryIO], Any], *, lasting: bool = True) -> None:
    """Make what `fill` writes into a file the content of `path` in one step, on disk when this returns if `lasting`."""
    staged = path.with_name(f"{PARTIAL}{uuid.uuid4().hex}")
    try:
        with _naming(path), open(staged, "wb") as file:
            fill(file)
            if lasting:
                file.flush()
                os.fsync(file.fileno())
        os.replace(staged, path)
    except BaseException:
        staged.unlink(missing_ok=True)
        raise


@contextlib.contextmanager
def _naming(path: Path) -> Iterator[None]:
    """Errors say where they happened; those of a full disk do not by themselves."""
    try:
        yield
    except OSError as error:
        if error.filename is not None:
            raise
        raise OSError(error.errno, error.strerror, str(path)) from error


def write_json(path: Path, content: Any, *, indent: int | None = 1) -> None:
    """Make `content` the content of `path`, as JSON, in one step; long lists of numbers without an `indent`."""
    write(path, json.dumps(content, indent=indent, allow_nan=False).encode())


def write_arrays(path: Path, arrays: Mapping[str, np.ndarray]) -> None:
    """Make `path`, and the folders above it, a NumPy archive of these arrays, in one step."""
    import numpy as np

    path.parent.mkdir(parents=True, exist_ok=True)
    write_with(path, lambda file: np.savez(file, allow_pickle=False, **arrays))


def read_arrays(path: Path) -> dict[str, np.ndarray] | None:
    """The arrays of a file that `write_arrays` wrote; None where there is none, or one that was damaged since."""
    import zipfile
    import zlib

    import numpy as np

    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as stored:
            return {name: stored[name] for name in stored.files}
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error):
        return None


def settle(folder: Path) -> None:
    """Put the names of what was written into a folder on disk too."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        with _naming(folder):
            os.fsync(descriptor)
    finally:
        os.close(descriptor)


def is_staged(path: Path) -> bool:
    """Whether this is what a killed writer left half done."""
    return bool(_STAGED.fullmatch(path.name)) and path.is_file()


def sweep_up(folder: Path) -> None:
    """Remove what a killed writer left half done."""
    for staged in folder.rglob(f"{PARTIAL}*"):
        if is_staged(staged):
            staged.unlink(missing_ok=True)


def make_folder(folder: Path) -> list[Path]:
    """Make a folder and those above it; returns the ones that were not there, the outermost first."""
    missing = [part for part in (folder, *folder.parents) if not part.exists()][::-1]
    made = []
    try:
        for part in missing:
            part.mkdir(exist_ok=True)
            made.append(part)
        if not folder.is_dir():
            raise NotADirectoryError(20, "Not a directory", str(folder))
    except BaseException:
        remove_empty(made)
        raise
    return made


def remove_empty(folders: list[Path]) -> None:
    """Remove those of the folders that are empty, the last first."""
    for folder in reversed(folders):
        with contextlib.suppress(OSError):
            folder.rmdir()


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold the one right to write into a folder; the system takes it back from a process that is killed.

    The lock is a file. Where it was not there before and is all that there is at the end, it goes again.
    """
    path = folder / LOCK
    there = path.exists()
    with _taken(path, folder):
        try:
            yield
        finally:
            if not there and [entry.name for entry in folder.iterdir()] == [LOCK]:
                path.unlink()


@contextlib.contextmanager
def _taken(path: Path, folder: Path) -> Iterator[None]:
    while True:
        with open(path, "a") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise ValueError(f"out must not be in use, got {folder}, which another sweep is writing") from None
            except OSError:
                pass  # a file system without locks
            if not _is_at(path, file.fileno()):
                continue  # the one who had it has just taken it away
            yield
            return


def _is_at(path: Path, descriptor: int) -> bool:
    try:
        return os.path.samestat(os.stat(path), os.fstat(descriptor))
    except FileNotFoundError:
        return False
