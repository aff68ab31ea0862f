"""Files of every kind as examples, and what is said of files that are none."""

import gzip

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from gsdyn.data import parts_of, read_examples

TABLE = {
    "age": [30, 40, 50, 60],
    "colour": ["red", "blue", "red", "green"],
    "fixed": [1, 1, 1, 1],
    "hospital": ["A", "A", "B", "B"],
    "died": ["no", "yes", "no", "yes"],
}


@pytest.fixture
def table(tmp_path):
    pd.DataFrame(TABLE).to_csv(tmp_path / "data.csv", index=False)
    return tmp_path / "data.csv"


def test_a_table_becomes_standardised_numbers_and_one_hot_words(table):
    data = read_examples(table, label="died", attributes=["hospital"])
    assert data.columns == ("age", "colour=blue", "colour=green", "colour=red")
    age = (np.array(TABLE["age"]) - 45) / np.sqrt(125)
    words = np.array([[0, 0, 1], [1, 0, 0], [0, 0, 1], [0, 1, 0]])
    np.testing.assert_allclose(data.x, np.column_stack([age, words]), rtol=0, atol=1e-15)
    np.testing.assert_array_equal(data.y, [-1, 1, -1, 1])
    assert list(data.attributes["hospital"]) == ["A", "A", "B", "B"]
    assert any("constant columns were left out: fixed" in note for note in data.notes)
    assert any("not among the inputs, as attributes: hospital" in note for note in data.notes)
    assert data.labels.sentence == "died: no read as -1, yes as +1"
    seen = read_examples(table, label="died", attributes=["hospital"], inputs=["age", "hospital"])
    assert seen.columns == ("age", "hospital=A", "hospital=B")


def test_other_forms_of_the_same_table(table, tmp_path):
    expected = read_examples(table, label="died")
    frame = pd.DataFrame(TABLE)
    frame.to_csv(tmp_path / "data.tsv", sep="\t", index=False)
    frame.to_csv(tmp_path / "indexed.csv")
    (tmp_path / "data.csv.gz").write_bytes(gzip.compress(table.read_bytes()))
    names = ["data.tsv", "data.csv.gz", "indexed.csv"]
    try:
        frame.to_parquet(tmp_path / "data.parquet")
        names.append("data.parquet")
    except ImportError:
        pass
    for name in names:
        data = read_examples(tmp_path / name, label="died")
        np.testing.assert_array_equal(data.x, expected.x)
        assert data.columns == expected.columns
    assert "counts rows" in read_examples(tmp_path / "indexed.csv", label="died").notes[-1]


def test_new_rows_get_the_scales_words_and_labels_of_the_training_set(table, tmp_path):
    train = read_examples(table, label="died")
    new = {"colour": ["blue", "pink"], "age": [45, 45], "hospital": ["C", "A"], "died": ["yes", "yes"]}
    pd.DataFrame(new).to_csv(tmp_path / "new.csv", index=False)
    test = read_examples(tmp_path / "new.csv", label="died", like=train)
    assert test.columns == train.columns
    np.testing.assert_allclose(test.x[:, :4], [[0, 1, 0, 0], [0, 0, 0, 0]], atol=1e-15)
    np.testing.assert_array_equal(test.y, [1, 1])
    assert "'colour' has pink, new in" in test.notes[0]


def test_spaces_beside_names_and_words_mean_nothing(tmp_path):
    (tmp_path / "spaced.csv").write_text("a, site , y\n1, north,0\n2,north ,1\n3,south,0\n5, south ,1\n")
    data = read_examples(tmp_path / "spaced.csv", attributes=["site"])
    assert data.columns == ("a",)
    assert list(data.attributes["site"]) == ["north", "north", "south", "south"]


def test_huge_and_tiny_numbers_are_standardised(tmp_path):
    frame = pd.DataFrame({"huge": [-1.5e308, 1.5e308, 1.5e308], "tiny": [1e-300, 3e-300, 3e-300], "y": [0, 1, 1]})
    frame.to_csv(tmp_path / "wide.csv", index=False)
    x = read_examples(tmp_path / "wide.csv").x
    expected = np.array([-np.sqrt(2), np.sqrt(0.5), np.sqrt(0.5)])
    np.testing.assert_allclose(x, np.column_stack([expected, expected]), rtol=1e-14)


def test_archives(tmp_path):
    x = np.arange(24, dtype=np.uint8).reshape(3, 4, 2)
    np.savez(tmp_path / "a.npz", x=x, y=[0, 1, 1], place=np.array(["sea", "land", "sea"]), other=x[:, :, 0])
    data = read_examples(tmp_path / "a.npz", attributes=["place"])
    np.testing.assert_array_equal(data.x, x / 255)
    assert data.image_shape == (4, 2)
    assert data.flat.shape == (3, 8)
    assert list(data.attributes["place"]) == ["sea", "land", "sea"]
    assert read_examples(tmp_path / "a.npz", inputs=["other"]).x.shape == (3, 4)


def test_embeddings_and_kernels_beside_a_table(table, tmp_path):
    emb, kernel = np.random.default_rng(0).normal(size=(4, 3)).astype(np.float32), np.eye(4)
    np.save(tmp_path / "emb.npy", emb)
    np.save(tmp_path / "K.npy", kernel)
    data = read_examples(table, label="died", attributes=["hospital"], features=tmp_path / "emb.npy")
    np.testing.assert_array_equal(data.x, emb.astype(float))
    assert list(data.attributes) == ["hospital"]
    data = read_examples(table, label="died", kernel=tmp_path / "K.npy")
    assert data.x is None
    np.testing.assert_array_equal(data.kernel, kernel)
    np.save(tmp_path / "wide.npy", np.ones((4, 5)))
    with pytest.raises(ValueError, match=r"a kernel of shape \(4, 4\), got \(4, 5\)"):
        read_examples(table, label="died", kernel=tmp_path / "wide.npy")
    np.save(tmp_path / "few.npy", emb[:2])
    with pytest.raises(ValueError, match="a row for each of the 4 labels, got 2 rows"):
        read_examples(table, label="died", features=tmp_path / "few.npy")


@pytest.fixture
def birds(tmp_path):
    """Six images in the form of Waterbirds, of two sizes."""
    rng = np.random.default_rng(0)
    rows = []
    for i in range(6):
        name = f"bird{i % 2}/img{i}.png"
        (tmp_path / name).parent.mkdir(exist_ok=True)
        size = (8, 8, 3) if i < 5 else (16, 8, 3)
        Image.fromarray(rng.integers(0, 256, size, dtype=np.uint8)).save(tmp_path / name)
        rows.append({"img_id": i, "img_filename": name, "y": i % 2, "split": [0, 0, 0, 0, 1, 2][i], "place": i // 3})
    pd.DataFrame(rows).to_csv(tmp_path / "metadata.csv", index=False)
    return tmp_path


def test_a_folder_of_images_with_metadata(birds):
    assert parts_of(birds) == ("train", "val", "test")
    train = read_examples(birds, attributes=["place"], split="train")
    assert train.x.shape == (4, 8, 8, 3)
    assert train.image_shape == (8, 8, 3)
    np.testing.assert_array_equal(train.x[2] * 255, np.asarray(Image.open(birds / "bird0/img2.png"), float))
    np.testing.assert_array_equal(train.attributes["place"], [0, 0, 0, 1])
    test = read_examples(birds, attributes=["place"], split="test", like=train)
    assert test.x.shape == (1, 8, 8, 3)
    tall = np.asarray(Image.open(birds / "bird1/img5.png"), float)
    np.testing.assert_allclose(test.x[0] * 255, tall.reshape(8, 2, 8, 3).mean(axis=1), atol=0.51)
    assert "resized from 16 x 8" in test.notes[-1]
    np.save(birds / "emb.npy", np.arange(12.0).reshape(6, 2))
    np.save(birds / "K.npy", np.arange(36.0).reshape(6, 6))
    for split, rows in (("train", [0, 1, 2, 3]), ("val", [4])):
        like = None if split == "train" else train
        emb = read_examples(birds, split=split, features=birds / "emb.npy", like=like)
        np.testing.assert_array_equal(emb.x, np.arange(12.0).reshape(6, 2)[rows])
    kernel = read_examples(birds, split="train", kernel=birds / "K.npy")
    np.testing.assert_array_equal(kernel.kernel, np.arange(36.0).reshape(6, 6)[:4, :4])
    new = read_examples(birds, split="test", kernel=birds / "K.npy", like=kernel)
    np.testing.assert_array_equal(new.kernel, [[30, 31, 32, 33]])
    assert read_examples(birds).x.shape == (6, 32, 32, 3)
    assert read_examples(birds, image_size=(4, 4)).x.shape == (6, 4, 4, 3)


def test_grey_images_of_16_bits(tmp_path):
    grey = np.array([[0, 257], [65535, 257 * 100]], np.uint16)
    Image.fromarray(grey).save(tmp_path / "a.png")
    Image.fromarray((grey // 257).astype(np.uint8)).save(tmp_path / "b.png")
    pd.DataFrame({"file": ["a.png", "b.png"], "y": [0, 1]}).to_csv(tmp_path / "metadata.csv", index=False)
    x = read_examples(tmp_path).x
    assert x.shape == (2, 2, 2)
    np.testing.assert_allclose(x[0], grey / 65535, atol=1e-7)
    np.testing.assert_allclose(x[1], grey / 65535, atol=1e-7)


def _written(folder, text):
    path = folder / "f.csv"
    path.write_text(text)
    return path


ROWS = "a,b,y\n1,2,0\n3,4,1\n5,6,0\n"
BAD_TABLES = {
    "column 'label', got a, b, y: label .--label. says which": (ROWS, {"label": "label"}),
    "column 'place', got a, b, y: attributes .--attributes. says which": (ROWS, {"attributes": ["place"]}),
    "column 'c', got a, b, y: inputs .--inputs. says which": (ROWS, {"inputs": ["c"]}),
    "must have ',' between columns, got ';': a;b;y": (ROWS.replace(",", ";"), {}),
    "empty cells, got one in column 'b', row 1": ("b,y\nu,0\n ,1\nu,1\nv,0\n", {}),
    "empty cells, got one in column 'a', row 1": (ROWS.replace("3,4", ",4"), {}),
    "numbers in column 'b', got 'x' in row 1": (ROWS.replace("3,4", "3,x"), {}),
    "got inf in column 'b', row 1": (ROWS.replace("3,4", "3,inf"), {}),
    "y must have at least two classes, got 0 alone": (ROWS.replace("4,1", "4,0"), {}),
    "whole numbers or words, got 0.3 in row 1": (ROWS.replace("4,1", "4,0.3"), {}),
    "y must have a label in every row, got NaN in row 1": (ROWS.replace("4,1", "4,"), {}),
    "can be read, got: Error tokenizing data. C error: Expected 3 fields in line 5, saw 4": (ROWS + "1,2,0,4\n", {}),
    "got: No columns to parse": ("", {}),
    "must have rows, got 0": ("a,y\n", {}),
    "names of its columns in the first row, got numbers there": ("1,2\n3,4\n", {}),
    "every column once, got 'a' twice": (ROWS.replace("b,", "a,"), {}),
    "at most 50 different words in column 'b', got 3 in 3 rows": ("b,y\nu,0\nv,1\nw,0\n", {}),
    "not constant, got none": ("b,y\nu,0\nu,1\n", {}),
    "columns beside label and attributes, got b, y": ("b,y\nu,0\nu,1\n", {"attributes": ["b"]}),
    "inputs must not hold the label 'y'": (ROWS, {"inputs": ["y"]}),
    "attributes must be a list of names, got the text 'b'": (ROWS, {"attributes": "b"}),
    "attributes must hold every name once, got 'b' twice": (ROWS, {"attributes": ["b", "b"]}),
    "column 'split', got a, b, y": (ROWS, {"split": "train"}),
    "split must be one of train, val, test, got 'dev'": (ROWS, {"split": "dev"}),
    "rows whose split is test, got train": ("split,a,y\ntrain,1,0\ntrain,2,1\n", {"split": "test"}),
    "features must be None beside kernel": (ROWS, {"features": "a.npy", "kernel": "b.npy"}),
    "gone.npy must be a file, got nothing there": (ROWS, {"features": "gone.npy"}),
    "must be a .npy file": (ROWS, {"features": "a.npz"}),
}


@pytest.mark.parametrize("told", BAD_TABLES)
def test_bad_tables_are_refused_in_one_line(tmp_path, told):
    text, options = BAD_TABLES[told]
    with pytest.raises(ValueError, match=told) as caught:
        read_examples(_written(tmp_path, text), **options)
    assert "\n" not in str(caught.value)


def test_bad_files_are_refused_in_one_line_with_their_name(tmp_path, birds):
    (tmp_path / "text.npz").write_text("nothing")
    (tmp_path / "binary.csv").write_bytes(bytes(range(256)) * 4)
    (tmp_path / "bad.parquet").write_bytes(b"PAR1nothing")
    np.savez(tmp_path / "objects.npz", x=np.array([{}, 1], object), y=[0, 1])
    np.savez(tmp_path / "short.npz", x=np.ones((3, 2)), y=[0, 1])
    np.savez(tmp_path / "nan.npz", x=np.array([[1, 2], [3, np.nan]]), y=[0, 1])
    np.savez(tmp_path / "flat.npz", x=np.ones(2), y=[0, 1])
    cases = {
        "text.npz": "must be a file of NumPy without Python objects, got: ",
        "binary.csv": "must be a table that can be read, got: ",
        "bad.parquet": "must be a (table that can be read|csv file unless pyarrow)",
        "objects.npz": "without Python objects, got: Object arrays",
        "short.npz": "a row for each of the 2 labels, got 3 rows",
        "nan.npz": "finite numbers, got others in row 1",
        "flat.npz": r"numbers in rows, got shape \(2,\)",
        "none.csv": "nothing there",
        "none.xls": "nothing there",
    }
    for name, told in cases.items():
        with pytest.raises(ValueError, match=told) as caught:
            read_examples(tmp_path / name)
        assert "\n" not in str(caught.value)
        assert name in str(caught.value)
    (birds / "bird1/img3.png").write_bytes(b"no image")
    with pytest.raises(ValueError, match=r"img3.png must be an image that can be read, got: cannot identify"):
        read_examples(birds)
    (birds / "bird1/img3.png").unlink()
    with pytest.raises(ValueError, match=r"img3.png must be an image, got nothing there"):
        read_examples(birds)
    truncated = birds / "bird0/img2.png"
    truncated.write_bytes(truncated.read_bytes()[:120])
    with pytest.raises(ValueError, match=r"img[23].png must be an image"):
        read_examples(birds, split="train")
    (birds / "metadata.csv").write_text("y,place\n0,1\n1,0\n")
    with pytest.raises(ValueError, match="a column of file names of images"):
        read_examples(birds)
    (birds / "metadata.csv").unlink()
    with pytest.raises(ValueError, match=r"must hold a table metadata.csv, or one table, beside its images"):
        read_examples(birds)
