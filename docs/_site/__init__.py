"""What the site makes from the package itself: the API reference, the equation index and the gallery.

Each is a directive that writes Markdown, so that nothing generated lies in the source tree and nothing can go stale.
"""

from __future__ import annotations

from typing import Any

from sphinx.application import Sphinx

from _site import api, equations, gallery


def setup(app: Sphinx) -> dict[str, Any]:
    app.add_directive("api", api.Api)
    app.add_directive("equations", equations.Equations)
    app.add_directive("gallery", gallery.Gallery)
    app.connect("env-check-consistency", api.check_complete)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
