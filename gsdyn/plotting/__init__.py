"""Figures and pages from datasets. Nothing here solves anything; each name is loaded when it is first used."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gsdyn.plotting.curves import draw_curves as draw_curves
    from gsdyn.plotting.digits import draw_matrices as draw_matrices
    from gsdyn.plotting.digits import draw_responses as draw_responses
    from gsdyn.plotting.pages.report import report_page as report_page
    from gsdyn.plotting.starvation_map import draw_map as draw_map
    from gsdyn.plotting.style import save as save

_HOME = {
    "draw_curves": "gsdyn.plotting.curves",
    "draw_map": "gsdyn.plotting.starvation_map",
    "draw_matrices": "gsdyn.plotting.digits",
    "draw_responses": "gsdyn.plotting.digits",
    "report_page": "gsdyn.plotting.pages.report",
    "save": "gsdyn.plotting.style",
}

__all__ = ["draw_curves", "draw_map", "draw_matrices", "draw_responses", "report_page", "save"]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_HOME[name]), name)
