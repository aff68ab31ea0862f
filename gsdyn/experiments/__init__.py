"""One file per experiment: it computes a labelled dataset and draws nothing. Import the one you want.

Here is only what all of them share, loaded when it is first used; `catalogue` lists them.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gsdyn._outputs import Outputs as Outputs
    from gsdyn._progress import Progress as Progress
    from gsdyn._progress import silent as silent
    from gsdyn._provenance import git_commit as git_commit
    from gsdyn._provenance import provenance as provenance
    from gsdyn.experiments import catalogue as catalogue
    from gsdyn.experiments._datasets import labelled as labelled
    from gsdyn.experiments._datasets import save_dataset as save_dataset

_HOME = {
    "Outputs": "gsdyn._outputs",
    "Progress": "gsdyn._progress",
    "git_commit": "gsdyn._provenance",
    "labelled": "gsdyn.experiments._datasets",
    "provenance": "gsdyn._provenance",
    "save_dataset": "gsdyn.experiments._datasets",
    "silent": "gsdyn._progress",
}

__all__ = ["Outputs", "Progress", "catalogue", "git_commit", "labelled", "provenance", "save_dataset", "silent"]


def __getattr__(name: str) -> Any:
    if name == "catalogue":
        return importlib.import_module("gsdyn.experiments.catalogue")
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_HOME[name]), name)
