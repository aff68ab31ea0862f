"""Folders of photographs as arrays of bytes: every file decoded, cut to a square and scaled."""

from __future__ import annotations

import os
import struct
import warnings
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from gsdyn import _checks
from gsdyn._progress import Progress
from gsdyn.data._decoded import Cache, decoded

STAGE = 512  # photographs between two words about the progress


def photographs(
    name: str, root: Path, files: Sequence[str], *, pixels: int, gray: bool, cache: Cache, progress: Progress
) -> np.ndarray:
    """The photographs as bytes (n, pixels, pixels, channels): the middle square of each, scaled by averaging.

    `files`: relative to `root`. Raises `ValueError` in one line that names those that are missing or damaged.
    """
    pixels = _checks.integer("pixels", pixels, 1)
    paths = [root / file for file in files]
    _complain("there", root, [file for file, path in zip(files, paths, strict=True) if not path.is_file()], len(files))

    def decode() -> dict[str, np.ndarray]:
        found = np.zeros((len(paths), pixels, pixels, 1 if gray else 3), np.uint8)
        damaged = []
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            for start in range(0, len(paths), STAGE):
                progress(name, start, len(paths))
                read = pool.map(lambda path: _square(path, pixels, gray), paths[start : start + STAGE])
                for i, image in enumerate(read, start):
                    if image is None:
                        damaged.append(files[i])
                    else:
                        found[i] = image
        progress(name, len(paths), len(paths))
        _complain("whole", root, damaged, len(files))
        return {"pixels": found}

    return decoded(name, paths, [pixels, gray], decode, cache)["pixels"]


def _complain(what: str, root: Path, bad: list[str], count: int) -> None:
    """An error that names the first few files that are not as they must be."""
    if bad:
        more = f" and {len(bad) - 3} more" if len(bad) > 3 else ""
        state = "missing" if what == "there" else "damaged or no images"
        raise ValueError(f"folder must hold {count} images, got {state}: {', '.join(bad[:3])}{more}, in {root}")


def _square(path: Path, pixels: int, gray: bool) -> np.ndarray | None:
    """The middle square of a photograph, or None for a file that is none."""
    from PIL import Image  # on first use

    try:
        with warnings.catch_warnings(action="ignore"), Image.open(path) as image:
            side = min(image.size)
            left, top = (image.width - side) // 2, (image.height - side) // 2
            coloured = image.convert("L" if gray else "RGB")
            scaled = coloured.resize((pixels, pixels), Image.Resampling.BOX, (left, top, left + side, top + side))
    except (OSError, SyntaxError, ValueError, EOFError, struct.error, Image.DecompressionBombError):
        return None
    return np.asarray(scaled).reshape(pixels, pixels, -1)
