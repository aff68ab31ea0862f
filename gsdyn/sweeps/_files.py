"""Files that are whole or absent, also after the power went."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

PARTIAL = ".partial-"
LOCK = ".sweep.lock"


def write(path: Path, content: bytes | memoryview) -> None:
    """Make `content` the content of `path` in one step, on disk when this returns."""
    staged = path.with_name(f"{PARTIAL}{uuid.uuid4().hex}")
    try:
        with _naming(path), open(staged, "wb") as file:
            file.write(content)
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


def write_json(path: Path, content: Any) -> None:
    """Make `content` the content of `path`, as JSON, in one step."""
    write(path, json.dumps(content, indent=1, allow_nan=False).encode())


def settle(folder: Path) -> None:
    """Put the names of what was written into a folder on disk too."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        with _naming(folder):
            os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sweep_up(folder: Path) -> None:
    """Remove what a killed writer left half done."""
    for staged in folder.rglob(f"{PARTIAL}*"):
        staged.unlink(missing_ok=True)


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold the one right to write into a folder; the system takes it back from a process that is killed."""
    with open(folder / LOCK, "a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ValueError(f"out must not be in use, got {folder}, which another sweep is writing") from None
        except OSError:
            pass  # a file system without locks
        yield
