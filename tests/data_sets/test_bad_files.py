"""Every loader names what is missing or damaged in one clear line."""

import gzip
import os
import pickle
import struct

import _file_formats as formats
import numpy as np
import pytest

from gsdyn import data


def refused(load, *words, **options):
    """The error of a loader, which is one line and has these words."""
    with pytest.raises(ValueError, match=r"folder|split|label|pixels|dtype|at_most|leave_out|name") as caught:
        load(cache=False, **options)
    text = str(caught.value)
    assert "\n" not in text
    for word in words:
        assert str(word) in text, text


@pytest.mark.parametrize("load", [data.mnist, data.fashion_mnist, data.cifar10, data.cifar100, data.celeba,
                                  data.waterbirds, data.table_images, data.cats_and_dogs])  # fmt: skip
def test_folders_are_checked(load, tmp_path):
    refused(lambda **o: load(tmp_path / "none", **o), "folder must be a folder", "none, which is not there")
    refused(lambda **o: load(3, **o), "folder must be a path, got 3")
    refused(lambda **o: load(tmp_path, **o), "folder must hold", "without")


def test_damaged_idx_files_are_named(tmp_path):
    formats.mnist_folder(tmp_path, compress=False)
    images, labels = (tmp_path / f"train-{name}-ubyte" for name in ("images-idx3", "labels-idx1"))
    whole, names = images.read_bytes(), labels.read_bytes()

    def wrong(path, content, *words):
        before = path.read_bytes()
        path.write_bytes(content)
        refused(lambda **o: data.mnist(tmp_path, **o), path, *words)
        path.write_bytes(before)

    wrong(images, whole[:-1], "got 9423 bytes instead of 9424")
    wrong(images, whole + b"1", "got 9425 bytes instead of 9424")
    wrong(images, b"\0\0\x0d\3" + whole[4:], "start with 00000803, got 00000d03")
    wrong(images, b"", "got nothing")
    wrong(images, whole[:9], "got 9 bytes instead of 16")
    wrong(images, struct.pack(">HBB3I", 0, 8, 3, 0, 28, 28), "whole idx files")
    wrong(images, struct.pack(">HBB3I", 0, 8, 3, *(2**32 - 1,) * 3), "bytes instead of 79228162458924105385300197391")
    wrong(images, formats.idx(np.zeros((12, 5, 5))), "28 x 28 pixels, got (5, 5)")
    wrong(images, gzip.compress(whole)[:-20], "whole gzip files")
    wrong(labels, formats.idx(np.zeros(11)), "a label for each image, got 11")
    wrong(labels, formats.idx(np.full(12, 10)), "labels 0 to 9, got 10")
    wrong(labels, b"\0\0\x08\3" + names[4:], "start with 00000801, got 00000803")
    labels.unlink()
    refused(lambda **o: data.mnist(tmp_path, **o), "train-labels-idx1-ubyte", tmp_path, "without")


def test_options_are_checked_first(tmp_path):
    refused(lambda **o: data.mnist(tmp_path, "validation", **o), "split must be one of train, test, got 'validation'")
    refused(lambda **o: data.mnist(tmp_path, pixels=7, **o), "pixels must be 14 or 28, got 7")
    formats.mnist_folder(tmp_path)
    refused(lambda **o: data.mnist(tmp_path, dtype=int, **o), "dtype must be a type of floating-point numbers")
    formats.kaggle_folder(tmp_path, nested=False)
    for options, text in [
        ({"pixels": 0}, "pixels must be at least 1, got 0"),
        ({"at_most": 0}, "at_most must be at least 1, got 0"),
        ({"leave_out": ["cat.77.png"]}, "leave_out must name files in"),
    ]:
        refused(lambda options=options, **o: data.cats_and_dogs(tmp_path, **options, **o), text)
    refused(lambda **o: data.cats_and_dogs(tmp_path, **o).attribute("Male"), "name must be one of , got 'Male'")


def test_damaged_binary_batches_are_named(tmp_path):
    formats.cifar_folder(tmp_path, formats.cifar_batches(), binary=True)
    third = tmp_path / "data_batch_3.bin"
    whole = third.read_bytes()
    third.write_bytes(whole[:-3])
    refused(lambda **o: data.cifar10(tmp_path, **o), third, "whole batches of 3073 bytes an image, got 12289")
    third.write_bytes(whole[:-3073])
    refused(lambda **o: data.cifar10(tmp_path, **o), third, "batches of one size, got 3 images")
    third.write_bytes(b"\x0a" + whole[1:])
    refused(lambda **o: data.cifar10(tmp_path, **o), third, "a number 0 to 9 for each image called labels")
    third.write_bytes(b"")
    refused(lambda **o: data.cifar10(tmp_path, **o), third, "got 0 bytes")
    third.unlink()
    refused(lambda **o: data.cifar10(tmp_path, **o), "folder must hold data_batch_3.bin, got", "without")


class Hostile:
    def __reduce__(self):
        return os.system, ("touch hacked",)


def test_damaged_pickles_are_named_and_run_nothing(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    formats.cifar_folder(tmp_path, formats.cifar_batches(hundred=True), binary=False)
    train = tmp_path / "train"
    whole = train.read_bytes()
    rows = np.zeros((2, 3072), np.uint8)
    for content, text in [
        (whole[:-9], "whole pickles"),
        (b"", "whole pickles"),
        (b"no pickle", "whole pickles"),
        (pickle.dumps({b"data": Hostile()}), "it asks for"),
        (pickle.dumps([1, 2]), "rows of bytes called data"),
        (pickle.dumps({b"data": rows.astype(float)}), "rows of bytes called data"),
        (pickle.dumps({b"data": rows[:, :5]}, protocol=2), "3072 bytes an image, got 5"),
        (pickle.dumps({"data": rows}, protocol=2), "called coarse_labels"),
        (pickle.dumps({"data": rows, "coarse_labels": [1], "fine_labels": [1]}, protocol=2), "called coarse_labels"),
        (pickle.dumps({"data": rows, "coarse_labels": [1, 1], "fine_labels": [1, 100]}, protocol=2), "fine_labels"),
        (pickle.dumps({"data": rows, "coarse_labels": [1, [2]], "fine_labels": 3}, protocol=2), "coarse_labels"),
    ]:
        train.write_bytes(content)
        refused(lambda **o: data.cifar100(tmp_path, **o), train, text)
    assert not (tmp_path / "hacked").exists()
    train.write_bytes(pickle.dumps({"data": rows, "coarse_labels": [1, 2], "fine_labels": [3, 4]}, protocol=2))
    assert data.cifar100(tmp_path, "train", cache=False).label.tolist() == [3, 4]


def test_damaged_faces_and_tables_are_named(tmp_path):
    formats.celeba_folder(tmp_path)
    table, parts = tmp_path / "list_attr_celeba.txt", tmp_path / "list_eval_partition.txt"
    lines, split = table.read_text(), parts.read_text()

    def wrong(path, text, *words):
        before = path.read_text()
        path.write_text(text)
        refused(lambda **o: data.celeba(tmp_path, pixels=2, **o), path, *words)
        path.write_text(before)

    wrong(table, lines.replace("5\n", "6\n", 1), "whole tables, got 5 rows instead of 6")
    wrong(table, "\n".join(lines.splitlines()[:-1]), "got 4 rows instead of 5")
    wrong(table, lines.replace("000003.png -1", "000003.png"), "3 times -1 or 1 a row, got 000003.png")
    wrong(table, lines.replace("000003.png -1", "000003.png 7"), "got 000003.png")
    wrong(table, lines.replace("000003", "000002"), "each image once, got 4")
    wrong(parts, split.replace("000004.png 1\n", ""), "a split 0 to 2 for each image, got nothing for 000004.png")
    wrong(parts, split.replace("000004.png 1", "000004.png 3"), "got '3' for 000004.png")
    table.write_text("")
    refused(lambda **o: data.celeba(tmp_path, **o), table, "each image once, got 0 images")
    table.write_text(lines)
    refused(lambda **o: data.celeba(tmp_path, label="Smiling", **o), "Bald, Blond_Hair, Male, got 'Smiling'")
    faces = tmp_path / "img_align_celeba"
    (faces / "000002.png").write_text("no image")
    formats.shorten(faces / "000004.png", 40)
    refused(lambda **o: data.celeba(tmp_path, **o), "damaged or no images: 000002.png, 000004.png, in", faces)
    (faces / "000001.png").unlink()
    refused(lambda **o: data.celeba(tmp_path, **o), "got missing: 000001.png, in", faces)


def test_damaged_birds_are_named(tmp_path):
    formats.waterbirds_folder(tmp_path)
    table = tmp_path / "metadata.csv"
    whole = table.read_text()
    for text, word in [
        (whole.replace("place,", "spot,"), "columns place, got"),
        (whole.split("\n")[0], "tables with rows, got none"),
        (whole + "x" * 200_000, "comma-separated values, got"),
        ("\0\1\2", "columns img_filename, y, split, place, got"),
        ("", "columns img_filename, y, split, place, got"),
        (whole[: whole.index("bird_3.png")], "got row 4 cut short"),
        (whole.replace("bird_2.png,1", "bird_2.png,two"), "whole numbers in column y, got 'two'"),
        (whole.replace("bird_2.png,1", "bird_2.png,2"), "classes 0 to 1, got others"),
        (whole.replace("bird_2.png,1", "bird_2.png,-1"), "classes 0 to 1, got others"),
        (whole.replace("bird_2.png,1,0", "bird_2.png,1,9"), "splits 0, 1, 2, train, val, validation, test, got '9'"),
    ]:
        table.write_text(text)
        refused(lambda **o: data.waterbirds(tmp_path, pixels=2, **o), table, word)
    table.write_text(whole)
    for i in range(5):
        (tmp_path / f"{i:03d}.Bird" / f"bird_{i}.png").unlink()
    refused(lambda **o: data.waterbirds(tmp_path, **o), "missing: 000.Bird/bird_0.png, 001.Bird/bird_1.png", "2 more")


def test_a_folder_of_cats_alone_is_refused(tmp_path):
    formats.photograph(tmp_path / "cat.0.png", (1, 2, 3))
    refused(lambda **o: data.cats_and_dogs(tmp_path, **o), "cat.0.jpg and dog.0.jpg, or folders Cat and Dog")
    formats.photograph(tmp_path / "dog.0.png", (1, 2, 3))
    (tmp_path / "cat.3.jpg").write_bytes(b"")
    refused(lambda **o: data.cats_and_dogs(tmp_path, **o), "damaged or no images: cat.3.jpg, in")
