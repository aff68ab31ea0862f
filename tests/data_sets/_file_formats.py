"""Small files in the very formats of the real data sets, written from their descriptions without gsdyn."""

import gzip
import os
import struct
from pathlib import Path

import numpy as np
from PIL import Image


def idx(array: np.ndarray) -> bytes:
    """An idx file of bytes."""
    return struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape) + array.astype(np.uint8).tobytes()


def mnist_folder(folder: Path, count: int = 12, compress: bool = True, seed: int = 0):
    """MNIST's four files; returns images and labels of either split."""
    rng, stored = np.random.default_rng(seed), {}
    for split, prefix in (("train", "train"), ("test", "t10k")):
        images, labels = rng.integers(0, 256, (count, 28, 28)), np.arange(count) % 10
        stored[split] = images, labels
        for name, array in (("images-idx3-ubyte", images), ("labels-idx1-ubyte", labels)):
            raw = idx(array)
            path = folder / f"{prefix}-{name}{'.gz' if compress else ''}"
            path.write_bytes(gzip.compress(raw) if compress else raw)
    return stored


def python2_pickle(columns: dict[str, list[int]], rows: np.ndarray) -> bytes:
    """The pickle that Python 2 writes of `{'data': rows, name: list, ...}`, opcode by opcode (protocol 2)."""

    def text(word: bytes) -> bytes:
        return b"U" + bytes([len(word)]) + word

    def number(value: int) -> bytes:
        return b"J" + struct.pack("<i", value)

    kind = (
        b"cnumpy\ndtype\n(" + text(b"u1") + number(0) + number(1) + b"tR("
        + number(3) + text(b"|") + b"NNN" + number(-1) + number(-1) + number(0) + b"tb"
    )  # fmt: skip
    raw = rows.astype(np.uint8).tobytes()
    array = (
        b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(" + number(0) + b"t" + text(b"b") + b"tR("
        + number(1) + b"(" + number(rows.shape[0]) + number(rows.shape[1]) + b"t" + kind + b"\x89"
        + b"T" + struct.pack("<i", len(raw)) + raw + b"tb"
    )  # fmt: skip
    lists = b"".join(
        text(name.encode()) + b"](" + b"".join(number(v) for v in values) + b"e" for name, values in columns.items()
    )
    return b"\x80\x02}(" + text(b"data") + array + lists + b"u."


def cifar_batches(hundred: bool = False, count: int = 4, seed: int = 0):
    """Images (count, 32, 32, 3) and labels of every batch, by the name of its file."""
    rng = np.random.default_rng(seed)
    names = ["train", "test"] if hundred else [*(f"data_batch_{i}" for i in range(1, 6)), "test_batch"]
    columns = {"coarse_labels": 20, "fine_labels": 100} if hundred else {"labels": 10}
    return {
        name: (
            rng.integers(0, 256, (count, 32, 32, 3)),
            {column: rng.integers(0, classes, count) for column, classes in columns.items()},
        )
        for name in names
    }


def cifar_folder(folder: Path, batches, binary: bool):
    for name, (images, columns) in batches.items():
        planes = images.transpose(0, 3, 1, 2).reshape(len(images), -1)  # red, green, blue
        if binary:
            rows = np.column_stack([*columns.values(), planes])
            (folder / f"{name}.bin").write_bytes(rows.astype(np.uint8).tobytes())
        else:
            lists = {column: values.tolist() for column, values in columns.items()}
            (folder / name).write_bytes(python2_pickle(lists, planes))


def photograph(path: Path, colour: tuple[int, int, int], size=(6, 8)) -> None:
    """An image of one colour, of so many columns and rows."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, colour).save(path, quality=100)


def celeba_folder(folder: Path, splits=(0, 0, 0, 1, 2), comma: bool = False):
    """Faces of levels 10, 20, ...; every second one is blond, the first two are men."""
    names = ["Bald", "Blond_Hair", "Male"]
    rows = [[-1, 1 if i % 2 == 0 else -1, 1 if i < 2 else -1] for i in range(len(splits))]
    files = [f"{i + 1:06d}.png" for i in range(len(splits))]
    for i, file in enumerate(files):
        photograph(folder / "img_align_celeba" / file, (10 * i + 10,) * 3, (178, 218))
    if comma:
        table = [["image_id", *names], *([f, *map(str, row)] for f, row in zip(files, rows, strict=True))]
        (folder / "list_attr_celeba.csv").write_text("\n".join(",".join(row) for row in table))
        part = ["image_id,partition", *(f"{f},{s}" for f, s in zip(files, splits, strict=True))]
        (folder / "list_eval_partition.csv").write_text("\n".join(part))
    else:
        lines = [str(len(files)), " ".join(names), *(f"{f} " + "  ".join(f"{v:d}" for v in row) for f, row in
                                                   zip(files, rows, strict=True))]  # fmt: skip
        (folder / "list_attr_celeba.txt").write_text("\n".join(lines) + "\n")
        part = [f"{f} {s}" for f, s in zip(files, splits, strict=True)]
        (folder / "list_eval_partition.txt").write_text("\n".join(part) + "\n")


def waterbirds_folder(folder: Path):
    rows = ["img_id,img_filename,y,split,place,place_filename"]
    for i, (y, split, place) in enumerate([(0, 0, 0), (1, 0, 1), (1, 0, 0), (0, 1, 1), (1, 2, 1)]):
        photograph(folder / f"{i:03d}.Bird" / f"bird_{i}.png", (20 * i, 100, 255 - 20 * i))
        rows.append(f"{i},{i:03d}.Bird/bird_{i}.png,{y},{split},{place},/w/water/{i}.jpg")
    (folder / "metadata.csv").write_text("\n".join(rows) + "\n")


def kaggle_folder(folder: Path, nested: bool):
    for i in (0, 2, 10):
        for kind, level in (("cat", 10), ("dog", 100)):
            path = folder / kind.title() / f"{i}.png" if nested else folder / f"{kind}.{i}.png"
            photograph(path, (level + i, level + i, level + i))
    (folder / "Thumbs.db").write_bytes(b"none of ours")


def shorten(path: Path, by: int = 7) -> None:
    """Cut off the end of a file."""
    os.truncate(path, path.stat().st_size - by)
