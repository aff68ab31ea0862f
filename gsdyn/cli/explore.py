"""`gsdyn explore`: the two-feature model, two moons and a saved report on a local page."""

from __future__ import annotations

import dataclasses
import sys
from typing import Annotated

from gsdyn._options import Present, whole
from gsdyn.cli._console import start_jax


@dataclasses.dataclass(frozen=True)
class Explore:
    """A local page on which every move of a slider is a certified computation.

    The two-feature model, the decision boundary on two moons, and a report that was saved. Only this machine can open
    it; Ctrl-C ends it.
    """

    port: Annotated[int, whole(0, 65535)] = 5006
    """Port of this machine; 0 for any that is free."""
    open: bool = True
    """Whether to open a browser."""
    report: Present | None = None
    """A saved starvation report (.zarr or .json) to show."""

    def run(self) -> int:
        start_jax()
        print("preparing (once on a machine this takes half a minute)", file=sys.stderr, flush=True)
        from gsdyn.explore import serve

        serve(self.port, browse=self.open, report=self.report, ready=_tell)
        print("stopped", file=sys.stderr)
        return 0


def _tell(address: str) -> None:
    print(f"{address} (Ctrl-C ends it)", flush=True)
