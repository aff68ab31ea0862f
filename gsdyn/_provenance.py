"""What says how a result came about."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import jax

import gsdyn

PACKAGE = Path(gsdyn.__file__).parent


def provenance(settings: Mapping[str, Any]) -> dict[str, str]:
    """Attributes that say how a result came about: versions, settings, the commit. No date: runs are reproducible.

    >>> print(gs.experiments.provenance({"lam": 0.1})["settings"])
    {"lam": 0.1}
    """
    attributes = {
        **versions("jax", "jaxlib", "diffrax", "numpy"),
        "precision": "float64" if jax.config.read("jax_enable_x64") else "float32",
        "settings": json.dumps(dict(settings), sort_keys=True),
    }
    commit = git_commit()
    return attributes if commit is None else {**attributes, "git_commit": commit}


def versions(*packages: str) -> dict[str, str]:
    """The version of gsdyn, whether installed or run from its source, and of `packages`."""
    return {"gsdyn_version": gsdyn.__version__, **{f"{name}_version": version(name) for name in packages}}


def as_settings(name: str, settings: Mapping[str, Any] | None) -> dict[str, Any]:
    """`settings` as a dictionary that JSON can hold. Raises `ValueError` in one line for anything else."""
    if not isinstance(settings, Mapping | None):
        raise ValueError(f"{name} must be a dictionary, got a value of type {type(settings).__name__}")
    if not all(isinstance(key, str) for key in settings or ()):
        raise ValueError(
            f"{name} must hold what JSON can: names that are words, got {', '.join(map(repr, settings or ()))}"
        )
    try:
        json.dumps(dict(settings or {}), sort_keys=True)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{name} must hold what JSON can: {error}") from None
    return dict(settings or {})


def git_commit(package: Path = PACKAGE) -> str | None:
    """The commit of the checkout that the package runs from, "-dirty" if its tracked files differ, or None.

    None also where the package lies inside a repository that does not track it, such as a virtual environment.

        >>> commit = gs.experiments.git_commit()
        >>> print(commit is None or isinstance(commit, str))
        True
    """
    try:
        _git(package, "ls-files", "--error-unmatch", "__init__.py")
        return _git(package, "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*")
    except (OSError, subprocess.CalledProcessError):
        return None


def _git(folder: Path, *arguments: str) -> str:
    done = subprocess.run(["git", *arguments], cwd=folder, check=True, capture_output=True, text=True)
    return done.stdout.strip()
