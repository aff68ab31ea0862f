"""Paths as people give them, files that are whole or absent, locks."""

import os
from pathlib import Path

import numpy as np
import pytest

from gsdyn import _files
from gsdyn._outputs import Outputs
from gsdyn.training.checkpoints import Checkpoint


def test_home_is_expanded(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert _files.as_path("out", "~/run.zarr") == tmp_path / "run.zarr"
    assert _files.as_path("out", Path("~")) == tmp_path
    assert Checkpoint("~/c.npz").path == tmp_path / "c.npz"  # pyright: ignore[reportArgumentType]
    with Outputs() as outputs:
        outputs.path("~/file").write_text("here")
        assert outputs.folder("figures", "~/drawn") == tmp_path / "drawn"
    assert (tmp_path / "file").read_text() == "here"
    for plain in ("run.zarr", "./a:b", "a~", "/tmp/x y", "C:/x", "..", "a/~"):
        assert _files.as_path("out", plain) == Path(plain)


ADDRESSES = ("s3://bucket/x", "gs://b", "file:///tmp/x", "memory://x", "simplecache::s3://b/x", "https://host/x")


@pytest.mark.parametrize("address", ADDRESSES)
@pytest.mark.parametrize("kind", [str, Path])
def test_addresses_are_refused(address, kind):
    with pytest.raises(ValueError, match="out must be a path on this machine, or mounted on it, got the address"):
        _files.as_path("out", kind(address))


@pytest.mark.parametrize("value", [None, 3, b"bytes", "", "a\0b", "~nobody-at-all/x", ["a"]])
def test_what_is_no_path_is_refused(value):
    with pytest.raises(ValueError, match=r"^out must be") as caught:
        _files.as_path("out", value)
    assert "\n" not in str(caught.value)


def test_a_folder_shows_at_once_whether_it_can_be_written_to(tmp_path):
    (tmp_path / "file").write_text("mine")
    for place in (tmp_path / "file", tmp_path / "file" / "deep", "/proc/here"):
        with pytest.raises(ValueError, match=r"^figures must be a folder to write to, got .*: \w+"):
            Outputs().folder("figures", place)
    with pytest.raises(ZeroDivisionError), Outputs() as outputs:
        outputs.folder("figures", tmp_path / "a" / "b").stat().st_size / 0  # it is there, and then something fails
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
    assert (tmp_path / "file").read_text() == "mine"


def test_files_are_whole_or_absent(tmp_path):
    target = tmp_path / "file"
    _files.write(target, b"old")

    def half(file):
        file.write(b"ne")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        _files.write_with(target, half)
    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [("file", b"old")]
    _files.write_arrays(tmp_path / "deep" / "a.npz", {"x": np.arange(3)})
    with np.load(tmp_path / "deep" / "a.npz") as stored:
        assert stored["x"].tolist() == [0, 1, 2]


def test_only_what_a_writer_left_is_swept_up(tmp_path):
    names = (".partial-" + "a" * 32, ".partial-mine", ".partial-" + "b" * 32 + "c", "file")
    for name in names:
        (tmp_path / name).touch()
    _files.sweep_up(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == set(names[1:])


@pytest.mark.parametrize("there", [False, True])
def test_a_lock_is_of_one_and_goes_as_it_came(tmp_path, there):
    lock = tmp_path / _files.LOCK
    if there:
        lock.touch()
    with _files.locked(tmp_path):
        with pytest.raises(ValueError, match="another sweep is writing"), _files.locked(tmp_path):
            pass
        assert lock.exists()
    assert lock.exists() == there
    with _files.locked(tmp_path):
        (tmp_path / "result").touch()
    assert lock.exists()
    assert os.listdir(tmp_path)
