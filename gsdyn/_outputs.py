"""Results that appear together, each complete, or not at all."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from types import TracebackType

from gsdyn import _files


class Outputs:
    """Files and folders that appear together, each complete, when the block ends; after a failure none does.

    `path(target)` says where to write what shall become `target`: beside it, under a hidden name, so that the
    last step is a rename. What was at `target` before is replaced then, or left alone. Folders that a failed block
    had to make are taken away again. `folder(name, place)` shows, before the work, that a folder can be written to.

        with Outputs() as outputs:
            write(dataset, outputs.path("results/curves.zarr"))

        >>> import pathlib, tempfile
        >>> with tempfile.TemporaryDirectory() as folder, gs.experiments.Outputs() as outputs:
        ...     _ = outputs.path(pathlib.Path(folder) / "note.txt").write_text("whole, or not there")
    """

    def __init__(self) -> None:
        self._staged: dict[Path, Path] = {}
        self._made: list[Path] = []

    def __enter__(self) -> Outputs:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            if kind is None:
                self._commit()
        except BaseException:
            self._discard()
            raise
        if kind is not None:
            self._discard()

    @property
    def targets(self) -> list[Path]:
        """What the block writes, in the order asked for."""
        return list(self._staged)

    def folder(self, name: str, place: str | Path) -> Path:
        """The folder `place`, which is made if need be; `name` is what the one who gave it calls it.

        Raises `ValueError` in one line where nothing can be written there.
        """
        folder = _files.as_path(name, place)
        probe = folder / f".probe-{os.getpid()}"
        try:
            self._made += _files.make_folder(folder)
            probe.touch()
            probe.unlink()
        except OSError as error:
            raise ValueError(f"{name} must be a folder to write to, got {folder}: {error.strerror}") from None
        return folder

    def path(self, target: str | Path) -> Path:
        """Where to write what shall become `target`."""
        target = _files.as_path("target", target)
        if target in self._staged:
            raise ValueError(f"target must be asked for once, got {target} again")
        self._made += _files.make_folder(target.parent)
        staged = _beside(target, "partial")
        staged.touch(exist_ok=False)  # a folder nobody may write in shows now, not after the work
        staged.unlink()
        self._staged[target] = staged
        return staged

    def _commit(self) -> None:
        before: dict[Path, Path] = {}
        done: list[Path] = []
        try:
            for target, staged in self._staged.items():
                if target.exists():
                    before[target] = target.rename(_beside(target, "replaced"))
                done.append(staged.rename(target))
        except BaseException:
            for target in done:
                _remove(target)
            for target, old in before.items():
                old.rename(target)
            raise
        for old in before.values():
            _remove(old)

    def _discard(self) -> None:
        for staged in self._staged.values():
            _remove(staged)
        _files.remove_empty(self._made)


def _beside(target: Path, role: str) -> Path:
    return target.with_name(f".{role}-{os.getpid()}-{target.name}")


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
