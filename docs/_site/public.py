"""The public names of gsdyn: those of `gsdyn.__all__`, and of every module that is in it."""

from __future__ import annotations

import importlib
import inspect
import re
import types
from pathlib import Path
from typing import Any, NamedTuple

import gsdyn


class Public(NamedTuple):
    """A public name, where it is meant to be taken from, and what it is."""

    module: str
    name: str
    value: Any

    @property
    def path(self) -> str:
        return f"{self.module}.{self.name}"


def modules(home: str = "gsdyn") -> list[str]:
    """gsdyn and its public modules, and theirs, but for the pages of the explorer, which nobody calls."""
    parent = importlib.import_module(home)
    inner = [getattr(parent, name) for name in getattr(parent, "__all__", ())]
    found = [home]
    for module in inner:
        if isinstance(module, types.ModuleType) and home != "gsdyn.explore":
            found += modules(module.__name__)
    return found


def names(module: str) -> list[Public]:
    """The public names of one module, without modules and without what `gsdyn` itself has under the same name."""
    home = importlib.import_module(module)
    listed = getattr(home, "__all__", None) or _defined(home)
    found = [Public(module, name, getattr(home, name)) for name in listed]
    return [
        entry
        for entry in found
        if not isinstance(entry.value, types.ModuleType)
        and (module == "gsdyn" or getattr(gsdyn, entry.name, None) is not entry.value)
    ]


def everything() -> list[Public]:
    """Every public name once."""
    return [entry for module in modules() for entry in names(module)]


def listed(folder: Path) -> list[tuple[str, list[str]]]:
    """What the pages in a folder ask for: modules and names, all of a module where they name none."""
    found = []
    for path in sorted(folder.glob("*.md")):
        for module, asked in re.findall(r"```\{api\} (gsdyn\S*)\n(.*?)```", path.read_text(), re.DOTALL):
            found.append((module, asked.split() or [entry.name for entry in names(module)]))
    return found


def unlisted(folder: Path) -> list[Public]:
    """The public names that no page in a folder asks for."""
    asked = {f"{module}.{name}" for module, some in listed(folder) for name in some}
    return [entry for entry in everything() if entry.path not in asked]


def _defined(home: types.ModuleType) -> list[str]:
    return [
        name
        for name, value in vars(home).items()
        if not name.startswith("_") and getattr(value, "__module__", None) == home.__name__ and callable(value)
    ]


def members(kind: type) -> list[tuple[str, Any]]:
    """Methods and properties of a class with a docstring of their own, in the order they are written."""
    found = []
    for name, value in vars(kind).items():
        inner = value.__func__ if isinstance(value, classmethod | staticmethod) else value
        if name.startswith("_") or not (inspect.isroutine(inner) or isinstance(inner, property)):
            inner = getattr(inner, "method", None)  # equinox wraps the methods of its modules
            if name.startswith("_") or not inspect.isroutine(inner):
                continue
        if inner.__doc__ and getattr(inner, "__module__", "gsdyn").startswith("gsdyn"):
            found.append((name, value))
    return found
