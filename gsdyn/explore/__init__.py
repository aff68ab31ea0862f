"""`gsdyn explore`: a local page on which every move of a slider is a certified computation.

What is computed stands apart from what is shown: `two_features` and `two_moons` are functions of their settings, tested
by themselves; `*_page` put sliders and figures around them, and `server` shows these on this machine only.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gsdyn.explore import two_features as two_features
    from gsdyn.explore import two_moons as two_moons
    from gsdyn.explore.server import serve as serve

_HOME = {
    "serve": "gsdyn.explore.server",
    "two_features": "gsdyn.explore.two_features",
    "two_moons": "gsdyn.explore.two_moons",
}

__all__ = ["serve", "two_features", "two_moons"]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = importlib.import_module(_HOME[name])
    return module if module.__name__.endswith(f".{name}") else getattr(module, name)
