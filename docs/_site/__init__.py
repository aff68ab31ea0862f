"""What the site makes from the package itself: the API reference, the equation index and the gallery.

Each is a directive that writes Markdown, so that nothing generated lies in the source tree and nothing can go stale.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sphinx.application import Sphinx


def setup(app: Sphinx) -> dict[str, Any]:
    """What Sphinx calls. The tests read `public`, `index` and `citations` without it."""
    from _site import api, equations, gallery

    app.add_directive("api", api.Api)
    app.add_directive("equations", equations.Equations)
    app.add_directive("gallery", gallery.Gallery)
    app.connect("env-check-consistency", api.check_complete)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
