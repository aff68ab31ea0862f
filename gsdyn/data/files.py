"""Files of any kind as one `Examples`: arrays, tables, folders of images, embeddings, kernels made elsewhere."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from gsdyn import _files
from gsdyn._progress import Progress, silent
from gsdyn.data import _arrays, _images, _tables
from gsdyn.data._coding import Coding, cells_of, coding_of
from gsdyn.data.examples import Examples
from gsdyn.data.labels import Labels, read_labels

if TYPE_CHECKING:
    import pandas as pd

METADATA = ("metadata.csv", "metadata.tsv", "metadata.parquet")
INDEX = "Unnamed: 0"  # what pandas calls the column that it wrote without a name: a count of rows


class _Wanted(NamedTuple):
    """What is wanted of a file; `bare`: labels and attributes alone."""

    label: str
    attributes: tuple[str, ...]
    inputs: tuple[str, ...] | None
    bare: bool
    split: str | None
    image_size: tuple[int, int] | None
    like: Examples | None
    progress: Progress


def read_examples(
    path: str | Path,
    *,
    label: str = "y",
    attributes: Sequence[str] = (),
    inputs: Sequence[str] | None = None,
    features: str | Path | None = None,
    kernel: str | Path | None = None,
    split: str | None = None,
    image_size: tuple[int, int] | None = None,
    like: Examples | None = None,
    progress: Progress = silent,
) -> Examples:
    """The examples in a file or folder.

    - `path`: a table, `.csv`, `.tsv` (both may be gzipped) or `.parquet`, with columns by name; an `.npz` archive, with
      an array `x` of inputs and others by name; or a folder of images with a table `metadata.csv` (or the one table in
      it), one of whose columns names the image files, as WILDS and Waterbirds have it.
    - `label`: the column, or array, of the labels, in any form that `read_labels` takes.
    - `attributes`: columns, or arrays, with what else is known of every example.
    - `inputs`: the columns of a table that are inputs; by default all but label, attributes and `split`. An attribute
      that the network sees must be named here too. In an archive the one array, by default `x`.
    - `features`: a `.npy` file of embeddings, a row for each example, that are the inputs in place of those.
    - `kernel`: a `.npy` file with a kernel made elsewhere, a row for each example, in place of inputs.
    - `split`: "train", "val" or "test": only the rows with that in the column `split` (0, 1, 2 in WILDS).
    - `image_size`: height and width that images are resized to; by default their own where they have one and at most 64
      pixels a side, else 32 x 32.
    - `like`: examples of a training set, whose labels, columns and scales these then have.
    - `progress`: called with "images", the images read and how many there are.

    Words become an input of 0 and 1 each, numbers in tables are standardised; `notes` of the result say what was done.

    Raises `ValueError`, in one line with the file's name and the row counted from 0, for what cannot be read, columns
    that are missing, empty cells, numbers beside words, files of different lengths, and labels that are refused.

        data = gs.data.read_examples("patients.csv", label="died", attributes=["hospital"])
        data.x, data.y, data.attributes["hospital"], data.columns

        >>> import pathlib, tempfile
        >>> rows = ["y,site,a,b", "0,north,1.0,2.0", "1,south,0.5,1.5", "1,north,0.1,1.0", "0,north,0.9,2.1"]
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     table = pathlib.Path(folder) / "table.csv"
        ...     _ = table.write_text(chr(10).join(rows))
        ...     examples = gs.data.read_examples(table, attributes=["site"])
        >>> print(examples.x.shape, examples.columns)
        (4, 2) ('a', 'b')
    """
    place = _files.as_path("path", path)
    attributes = _names("attributes", attributes)
    inputs = None if inputs is None else _names("inputs", inputs)
    if features is not None and kernel is not None:
        raise ValueError("features must be None beside kernel, got both")
    other = None if features is None and kernel is None else _npy(features if kernel is None else kernel)
    wanted = _Wanted(label, attributes, inputs, other is not None, split, image_size, like, progress)
    if place.suffix == ".npz":
        read = _from_archive(place, wanted)
    elif place.is_dir() or _tables.is_table(place):
        read = _from_table(place, wanted)
    else:
        given = "that" if place.exists() else "nothing there"
        kinds = ", ".join(_tables.SUFFIXES)
        raise ValueError(f"path must be a folder, an npz file or a table ({kinds}), got {place}: {given}")
    if other is None:
        return read
    return _beside(read, other, kernel is not None, like)


def parts_of(path: str | Path) -> tuple[str, ...]:
    """The parts, of "train", "val" and "test", that the column `split` of a table, or of a folder's, has examples of;
    none where there is no such column.

        >>> gs.data.parts_of("table.csv")  # doctest: +SKIP
    """
    place = _files.as_path("path", path)
    if not (place.is_dir() or _tables.is_table(place)):
        return ()
    return _tables.parts_in(_table(place)[0])


def _from_table(place: Path, wanted: _Wanted) -> Examples:
    table, source = _table(place)
    _require(table.columns, wanted, wanted.inputs or (), source)
    notes: tuple[str, ...] = ()
    count = len(table)
    if wanted.split is not None:
        table = _tables.part_of(table, wanted.split, source)
        notes += (f"{wanted.split}: {len(table)} rows of {source}, by its column {_tables.SPLIT}",)
    rows, table = np.asarray(table.index), table.reset_index(drop=True)
    labels = _labels(table[wanted.label], wanted, source)
    known = {name: cells_of(table, name, source) for name in wanted.attributes}
    if wanted.bare:
        return Examples(None, labels, known, source=source, notes=notes, rows=rows, file_rows=count)
    if place.is_dir():
        x, note = _pictures(table, place, source, wanted)
        return Examples(x, labels, known, image_shape=x.shape[1:], source=source, notes=(*notes, note))
    coding = None if wanted.like is None else wanted.like.coding
    if coding is None:
        coding = _coding(table, wanted, source)
        notes += coding.notes
    _tables.require_columns(table.columns, [column.name for column in coding.columns], source)
    x, strange = coding.encode(table, source)
    told = (*notes, *strange)
    return Examples(x, labels, known, columns=coding.names, source=source, notes=told, coding=coding)


def _require(there: Iterable[str], wanted: _Wanted, inputs: tuple[str, ...], source: str) -> None:
    """All that was asked for must be there."""
    there = list(there)
    for argument, names in (("label", (wanted.label,)), ("attributes", wanted.attributes), ("inputs", inputs)):
        _tables.require_columns(there, names, source, argument)


def _pictures(table: pd.DataFrame, place: Path, source: str, wanted: _Wanted) -> tuple[np.ndarray, str]:
    column, folder = _images.image_column(table, place, source)
    empty = np.asarray(table[column].isna())
    if empty.any():
        raise ValueError(f"{source} must have no empty cells, got one in column {column!r}, row {np.argmax(empty)}")
    size, like = wanted.image_size, wanted.like
    if size is None and like is not None and like.image_shape is not None:
        size = like.image_shape[0], like.image_shape[1]
    return _images.read_images([folder / str(name) for name in table[column]], size, wanted.progress)


def _coding(table: pd.DataFrame, wanted: _Wanted, source: str) -> Coding:
    left = {wanted.label, *wanted.attributes, _tables.SPLIT, INDEX}
    names = wanted.inputs
    if names is None:
        names = tuple(name for name in table.columns if name not in left)
    if wanted.label in names:
        raise ValueError(f"inputs must not hold the label {wanted.label!r}, got it there")
    if not names:
        raise ValueError(f"{source} must have columns beside label and attributes, got {', '.join(table.columns)}")
    coding = coding_of(table, names, source)
    notes = coding.notes
    if wanted.inputs is None and wanted.attributes:
        notes += (f"not among the inputs, as attributes: {', '.join(wanted.attributes)}",)
    if wanted.inputs is None and INDEX in table.columns:
        notes += ("a first column without a name, which counts rows, was left out",)
    return Coding(coding.columns, notes)


def _from_archive(place: Path, wanted: _Wanted) -> Examples:
    if wanted.split is not None:
        raise ValueError(f"split must be None for arrays, which have no column of that name, got {wanted.split!r}")
    if wanted.inputs is not None and len(wanted.inputs) != 1:
        raise ValueError(f"inputs must be the name of one array in {place}, got {len(wanted.inputs)} names")
    name = wanted.inputs[0] if wanted.inputs is not None else "x"
    arrays, source = _arrays.read_npz(place), str(place)
    _require(arrays, wanted, () if wanted.bare else (name,), source)
    labels = _labels(arrays[wanted.label], wanted, source)
    n = len(labels.y)
    known = {attribute: _vector(arrays[attribute], attribute, n, source) for attribute in wanted.attributes}
    if wanted.bare:
        return Examples(None, labels, known, source=source)
    what = f"{source}, array {name!r},"
    x = _arrays.as_rows(arrays[name], what, "inputs")
    _same_length(x, n, what)
    notes = ("whole numbers of 8 bits were divided by 255",) if arrays[name].dtype == np.uint8 else ()
    images = x.shape[1:] if x.ndim > 2 else None
    return Examples(x, labels, known, image_shape=images, source=source, notes=notes)


def _vector(array: np.ndarray, name: str, n: int, source: str) -> np.ndarray:
    import pandas as pd

    if array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    if array.shape != (n,):
        raise ValueError(f"{source} must have one entry per label ({n}) in {name!r}, got shape {array.shape}")
    return cells_of(pd.DataFrame({name: array}), name, source)


def _beside(read: Examples, other: Path, is_kernel: bool, like: Examples | None) -> Examples:
    """Labels and attributes of one file beside the embeddings, or the kernel, of another."""
    given = _arrays.read_rows(other, "a kernel" if is_kernel else "embeddings")
    n = len(read) if read.file_rows is None else read.file_rows
    _same_length(given, n, str(other))
    rows = np.arange(n) if read.rows is None else read.rows
    read = dataclasses.replace(read, notes=(*read.notes, f"{'kernel' if is_kernel else 'inputs'} from {other}"))
    if not is_kernel:
        return dataclasses.replace(read, x=given[rows], image_shape=given.shape[1:] if given.ndim > 2 else None)
    known = read if like is None else like
    columns = len(known) if known.file_rows is None else known.file_rows
    if given.shape != (n, columns):
        raise ValueError(f"{other} must hold a kernel of shape ({n}, {columns}), got {given.shape}")
    return dataclasses.replace(
        read, kernel=given[np.ix_(rows, np.arange(columns) if known.rows is None else known.rows)]
    )


def _table(place: Path) -> tuple[pd.DataFrame, str]:
    """The table in a file, or of a folder, and what its file is called."""
    if not place.is_dir():
        return _tables.read_table(place), str(place)
    there = [place / name for name in METADATA if (place / name).is_file()]
    there = there or sorted(path for path in place.iterdir() if _tables.is_table(path))
    if len(there) != 1 and (not there or there[0].name not in METADATA):
        given = ", ".join(path.name for path in there) or "none"
        raise ValueError(f"{place} must hold a table metadata.csv, or one table, beside its images, got {given}")
    return _tables.read_table(there[0]), str(there[0])


def _labels(column: Any, wanted: _Wanted, source: str) -> Labels:
    try:
        return read_labels(column, name=wanted.label, like=None if wanted.like is None else wanted.like.labels)
    except ValueError as error:
        raise ValueError(f"{source}: {error}") from None


def _npy(path: Any) -> Path:
    place = _files.as_path("features or kernel", path)
    if place.suffix != ".npy":
        raise ValueError(f"{place} must be a .npy file, as numpy.save writes it")
    return place


def _names(what: str, names: Sequence[str]) -> tuple[str, ...]:
    if isinstance(names, str):
        raise ValueError(f"{what} must be a list of names, got the text {names!r}")
    twice = next((name for i, name in enumerate(names) if name in names[:i]), None)
    if twice is not None:
        raise ValueError(f"{what} must hold every name once, got {twice!r} twice")
    return tuple(names)


def _same_length(x: np.ndarray, n: int, source: str) -> None:
    if len(x) != n:
        raise ValueError(f"{source} must have a row for each of the {n} labels, got {len(x)} rows")
