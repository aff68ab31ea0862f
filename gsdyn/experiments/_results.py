"""What every experiment needs to leave results behind: provenance, and writing that completes or never was."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from types import TracebackType
from typing import Any

import jax
import xarray as xr

import gsdyn

PACKAGE = Path(gsdyn.__file__).parent


class Outputs:
    """Files and folders that appear together, each complete, when the block ends; after a failure none does.

    `path(target)` says where to write what shall become `target`: beside it, under a hidden name, so that the
    last step is a rename. What was at `target` before is replaced then, or left alone. Folders that a failed block
    had to make are taken away again.

        with Outputs() as outputs:
            write(dataset, outputs.path("results/curves.zarr"))
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

    def path(self, target: str | Path) -> Path:
        """Where to write what shall become `target`."""
        target = Path(target)
        if target in self._staged:
            raise ValueError(f"target must be asked for once, got {target} again")
        missing = [folder for folder in (target.parent, *target.parent.parents) if not folder.exists()]
        for folder in reversed(missing):
            folder.mkdir()
            self._made.append(folder)
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
        for folder in reversed(self._made):
            if folder.is_dir() and not any(folder.iterdir()):
                folder.rmdir()


def _beside(target: Path, role: str) -> Path:
    return target.with_name(f".{role}-{os.getpid()}-{target.name}")


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def provenance(settings: Mapping[str, Any]) -> dict[str, str]:
    """Attributes that say how a result came about: versions, settings, the commit. No date: runs are reproducible."""
    attributes = {
        "gsdyn_version": gsdyn.__version__,
        **{f"{name}_version": version(name) for name in ("jax", "jaxlib", "diffrax", "numpy")},
        "precision": "float64" if jax.config.read("jax_enable_x64") else "float32",
        "settings": json.dumps(dict(settings), sort_keys=True),
    }
    commit = git_commit()
    return attributes if commit is None else {**attributes, "git_commit": commit}


def git_commit(package: Path = PACKAGE) -> str | None:
    """The commit of the checkout that the package runs from, "-dirty" if its tracked files differ, or None.

    None also where the package lies inside a repository that does not track it, such as a virtual environment.
    """
    try:
        _git(package, "ls-files", "--error-unmatch", "__init__.py")
        return _git(package, "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*")
    except (OSError, subprocess.CalledProcessError):
        return None


def _git(folder: Path, *arguments: str) -> str:
    done = subprocess.run(["git", *arguments], cwd=folder, check=True, capture_output=True, text=True)
    return done.stdout.strip()


def save_dataset(dataset: xr.Dataset, path: Path) -> None:
    """Write a dataset as one Zarr store. Format 2, in which text coordinates and the index of a store are standard."""
    dataset.to_zarr(path, mode="w", zarr_format=2, consolidated=True)


def labelled(dataset: xr.Dataset, names: Mapping[str, str]) -> xr.Dataset:
    """The dataset with a `long_name` for every variable and coordinate; every quantity here is dimensionless.

    Raises `ValueError` for a variable left without a name.
    """
    for name, variable in dataset.variables.items():
        if name not in names:
            raise ValueError(f"names must cover every variable, got none for {name!r}")
        variable.attrs["long_name"] = names[str(name)]
        if variable.dtype.kind in "fi":
            variable.attrs["units"] = "1"
    return dataset
