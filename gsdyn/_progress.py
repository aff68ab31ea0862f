"""How an experiment tells whoever started it how far it is."""

from __future__ import annotations

from collections.abc import Callable

Progress = Callable[[str, int, int], None]
"""Called with the name of a stage, the steps done in it and the steps it has."""


def silent(stage: str, done: int, total: int) -> None:
    """Tell nobody.

    >>> gs.experiments.silent("training", 1, 2)
    """
