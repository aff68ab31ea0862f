"""Images in a folder as one array; every error is one line that begins with the file's name."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float

from gsdyn._progress import Progress, silent

if TYPE_CHECKING:
    import pandas as pd

LARGEST, SMALLER = 64, 32
"""Images of more pixels a side, or of several sizes, are made this small."""
FOLDERS = ("", "images", "img", "data")
SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".webp", ".pgm", ".ppm")


def image_column(table: pd.DataFrame, folder: Path, source: str) -> tuple[str, Path]:
    """The column that names image files, and the folder they are named from."""
    for name in table.columns:
        first = table[name].iloc[0]
        if not isinstance(first, str):
            continue
        for place in FOLDERS:
            if (folder / place / first).is_file() and Path(first).suffix.lower() in SUFFIXES:
                return name, folder / place
    raise ValueError(f"{source} must have a column of file names of images in {folder}, got none")


def read_images(
    files: Sequence[Path], size: tuple[int, int] | None = None, progress: Progress = silent
) -> tuple[Float[np.ndarray, "n h w ..."], str]:
    """Images as numbers in [0, 1], shape (n, h, w), or (n, h, w, 3) where any has colour, and what was done to them.

    - `size`: height and width that all are resized to; by default their own where it is one and no more than 64 pixels,
      32 x 32 elsewhere.

    Raises `ValueError`, with the file's name, for one that cannot be read.
    """
    shapes = set()
    colour = False
    for path in files:
        width, height, coloured = _header(path)
        shapes.add((height, width))
        colour |= coloured
    if size is None:
        only = next(iter(shapes))
        size = only if len(shapes) == 1 and max(only) <= LARGEST else (SMALLER, SMALLER)
    out = np.empty((len(files), *size, *((3,) if colour else ())))
    for i, path in enumerate(files):
        out[i] = _pixels(path, size, colour)
        if i % 64 == 63 or i + 1 == len(files):
            progress("images", i + 1, len(files))
    tone = "red, green and blue" if colour else "grey"
    told = f"{len(files)} images of {size[0]} x {size[1]} pixels, {tone}, in 0 to 1"
    if shapes == {size}:
        return out, told
    (low, *_), (*_, high) = sorted(shapes), sorted(shapes)
    return out, f"{told}; resized from {low[0]} x {low[1]}" + (f" to {high[0]} x {high[1]}" if low != high else "")


def _header(path: Path) -> tuple[int, int, bool]:
    from PIL import Image

    try:
        with Image.open(path) as image:
            grey = image.mode in ("1", "L", "LA", "I", "F", "I;16", "I;16B", "I;16L")
            return image.width, image.height, not grey
    except FileNotFoundError:
        raise ValueError(f"{path} must be an image, got nothing there") from None
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise ValueError(f"{path} must be an image that can be read, got: {_first_line(error, path)}") from None


def _pixels(path: Path, size: tuple[int, int], colour: bool) -> np.ndarray:
    from PIL import Image

    try:
        with Image.open(path) as file:
            file.draft("RGB" if colour else "L", (size[1], size[0]))  # a large jpeg is read small
            image = file if file.mode[0] not in "IF" else _deep(np.asarray(file, np.float32))
            if image.mode == "F" and colour:
                image = image.convert("L")
            if image.mode != "F":
                image = image.convert("RGB" if colour else "L")
            if image.size != (size[1], size[0]):
                image = image.resize((size[1], size[0]), Image.Resampling.BOX)
            return np.asarray(image, float) / 255
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise ValueError(f"{path} must be an image that can be read, got: {_first_line(error, path)}") from None


def _deep(grey: np.ndarray) -> Any:
    """Grey levels of 16 bits as 0 to 255 in floats."""
    from PIL import Image

    return Image.fromarray(grey / 257)


def _first_line(error: Exception, path: Path) -> str:
    line = (str(error).strip().splitlines() or [type(error).__name__])[0]
    return line.replace(repr(str(path)), "it")
