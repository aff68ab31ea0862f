"""The store of a sweep: durable, resumed where it was left, never mixed, readable at any moment."""

import contextlib
import errno
import itertools
import os
import shutil
import subprocess
import sys
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest
import xarray as xr

import gsdyn as gs
from gsdyn import _files
from gsdyn.sweeps import Samples, Uniform, Zipped

HERE = Path(__file__).parent
LAM, DELTA = np.geomspace(1e-3, 10, 12), np.linspace(0.0, 0.9, 9)
GRID = {"lam": LAM, "delta": DELTA}


def cell(lam, delta):
    return {"sum": lam + delta, "root": jnp.sqrt(lam * jnp.arange(1.0, 4)), "large": lam > 1, "count": lam.astype(int)}


def contents(store):
    return {str(p.relative_to(store)): p.read_bytes() for p in store.rglob("*") if p.is_file()}


class Counted:
    """`cell`, and how many cells were computed."""

    def __init__(self):
        self.cells = 0

    def sweep(self, grid, out, **options):
        self.cells = 0

        def progress(stage, done, total):
            self.cells = done

        return gs.sweep(cell, grid, out, chunk=10, progress=progress, **options)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    out = tmp_path_factory.mktemp("whole") / "run.zarr"
    gs.sweep(cell, GRID, out, chunk=10)
    return out


def test_the_store_holds_what_memory_would(whole):
    assert gs.sweep(cell, GRID, chunk=10).identical(gs.sweeps.open_store(whole).load())
    ds = xr.open_zarr(whole, chunks=None)
    assert ds["computed"].all()
    assert (ds["sum"] == ds["lam"] + ds["delta"]).all()
    assert [ds[n].dtype.kind for n in ("sum", "large", "count")] == ["f", "b", "i"]
    assert not list(whole.rglob(f"{_files.PARTIAL}*"))


@pytest.mark.parametrize("after", [35, 60, 90])
@pytest.mark.parametrize("stop", [OSError(errno.ENOSPC, "No space left on device"), KeyboardInterrupt()])
def test_a_stopped_sweep_goes_on_and_ends_the_same(tmp_path, monkeypatch, whole, after, stop):
    out, calls, sync = tmp_path / "run.zarr", [], os.fsync

    def fail(descriptor):
        calls.append(1)
        if len(calls) > after:
            raise stop
        sync(descriptor)

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(type(stop), match=r"No space left on device: '.*run.zarr|kept in .*run.zarr: the same call"):
        gs.sweep(cell, GRID, out, chunk=10)
    monkeypatch.undo()
    done = int(xr.open_zarr(out, chunks=None)["computed"].sum())
    counted = Counted()
    counted.sweep(GRID, out)
    assert 0 < counted.cells == LAM.size * DELTA.size - done
    assert contents(out) == contents(whole)


def test_a_finished_sweep_computes_nothing(tmp_path, whole, monkeypatch):
    monkeypatch.setattr("gsdyn.sweeps._program.Traced.compile", None)
    before = {p: p.stat().st_mtime_ns for p in whole.rglob("[0-9]*")}
    assert gs.sweep(cell, GRID, whole, chunk=10)["sum"].shape == (12, 9)
    assert before == {p: p.stat().st_mtime_ns for p in whole.rglob("[0-9]*")}


def test_lost_and_torn_chunks_are_done_again(tmp_path, whole):
    out, counted = tmp_path / "run.zarr", Counted()
    counted.sweep(GRID, out)
    (out / "root" / "3.0.0").unlink()
    torn = out / "sum" / "5.0"
    torn.write_bytes(torn.read_bytes()[:-1])
    counted.sweep(GRID, out)
    assert counted.cells == 2 * 9
    assert contents(out) == contents(whole)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda: gs.sweep(cell, {"lam": LAM[:-1], "delta": DELTA}, "run"), "other values along lam; extend"),
        (lambda: gs.sweep(cell, {"lam": LAM * 1.0000001, "delta": DELTA}, "run"), "other values along lam"),
        (lambda: gs.sweep(cell, {"delta": DELTA, "lam": LAM}, "run"), "its grid is over lam, delta, not delta, lam"),
        (lambda: gs.sweep(cell, Zipped({"lam": DELTA, "delta": DELTA}), "run"), r"not cell \(lam, delta\)"),
        (lambda: gs.sweep(cell, {"lam": LAM.astype(np.float32), "delta": DELTA.astype(np.float32)}, "run"), "float64"),
        (
            lambda: gs.sweep(lambda lam, delta: {**cell(lam, delta), "sum": lam - delta}, GRID, "run"),
            "another function",
        ),
        (lambda: gs.sweep(cell, GRID, "run", lanes=5), "lanes None, not 5"),
        (lambda: gs.sweep(cell, GRID, "file"), "neither"),
        (lambda: gs.sweep(cell, GRID, "folder"), "neither"),
        (lambda: gs.sweep(cell, GRID, "zarr"), "neither"),
    ],
)
def test_another_sweep_is_refused(tmp_path, monkeypatch, whole, change, words):
    monkeypatch.chdir(tmp_path)
    Path("run").symlink_to(whole)
    Path("file").write_text("mine")
    Path("folder").mkdir()
    Path("folder", "notes").write_text("mine")
    xr.Dataset({"a": ("x", [1.0])}).to_zarr("zarr", zarr_format=2)
    before = contents(whole)
    with pytest.raises(ValueError, match=words) as caught:
        change()
    assert "\n" not in str(caught.value)
    assert contents(whole) == before
    assert [p.name for p in Path("folder").iterdir()] == ["notes"]


@pytest.mark.parametrize("closed_over", [1.0, np.arange(3.0), jnp.arange(3.0)])
def test_what_a_function_closes_over_belongs_to_it(tmp_path, closed_over):
    def scaled(by):
        return lambda lam: lam * by

    gs.sweep(scaled(closed_over), {"lam": LAM}, tmp_path / "run.zarr")
    gs.sweep(scaled(closed_over + 0), {"lam": LAM}, tmp_path / "run.zarr")
    with pytest.raises(ValueError, match="another function"):
        gs.sweep(scaled(closed_over + 1e-12), {"lam": LAM}, tmp_path / "run.zarr")


def test_extending_computes_new_cells_only(tmp_path):
    out, counted = tmp_path / "run.zarr", Counted()
    counted.sweep(GRID, out)
    longer = {"lam": np.insert(LAM, [0, 5], [1e-4, 0.05]), "delta": np.append(DELTA, [0.95, 0.97])}
    ds = counted.sweep(longer, out, extend=True).load()
    assert counted.cells == 14 * 11 - 12 * 9
    assert (ds["lam"].values == np.append(LAM, [1e-4, 0.05])).all()
    assert gs.sweep(cell, longer).sel(lam=ds["lam"]).identical(ds)
    ds = counted.sweep({"lam": [20.0], "delta": [0.0]}, out, extend=True)
    assert (counted.cells, ds.sizes["lam"], ds.sizes["delta"]) == (11, 15, 11)
    assert (ds["sum"] == ds["lam"] + ds["delta"]).all()
    assert counted.sweep(GRID, out, extend=True).equals(ds)
    assert counted.cells == 0


def test_extending_random_samples_and_pairs(tmp_path):
    counted = Counted()
    for count in (35, 35, 90):
        grid = Samples(count, {"lam": Uniform(0.1, 3), "delta": Uniform(0, 1)}, seed=2)
        ds = counted.sweep(grid, tmp_path / "samples.zarr", extend=True)
        assert ds.drop_attrs().equals(gs.sweep(cell, grid).drop_attrs())
    assert counted.cells == 55
    for lam, new in (([1.0, 1.0, 2.0], 3), ([2.0, 1.0, 1.0, 1.0], 1)):  # what repeats counts as often as it is there
        ds = counted.sweep(Zipped({"lam": lam, "delta": np.zeros(len(lam))}), tmp_path / "pairs.zarr", extend=True)
        assert counted.cells == new
    assert ds["lam"].values.tolist() == [1.0, 1.0, 2.0, 1.0]


def test_an_interrupted_extension_goes_on(tmp_path, monkeypatch):
    stores, longer = [tmp_path / "one.zarr", tmp_path / "two.zarr"], {"lam": np.append(LAM, 20.0), "delta": DELTA / 2}
    for out in stores:
        gs.sweep(cell, GRID, out, chunk=30)
    gs.sweep(cell, longer, stores[0], extend=True)
    left, sync = [], os.fsync

    def fail(descriptor):
        if not left:
            raise OSError(errno.ENOSPC, "No space left on device")
        left.pop()
        sync(descriptor)

    for allowed in itertools.count(0, 4):  # stop in the metadata, between metadata and results, among the results
        left[:] = range(allowed)
        monkeypatch.setattr(os, "fsync", fail)
        with contextlib.suppress(OSError):
            gs.sweep(cell, longer, stores[1], extend=True)
            break
        monkeypatch.undo()
        ds = xr.open_zarr(stores[1], chunks=None)
        assert int(ds["computed"].sum()) >= LAM.size * DELTA.size
        assert (ds["sum"] == ds["lam"] + ds["delta"]).where(ds["computed"], True).all()
    assert allowed > 30
    assert contents(stores[0]) == contents(stores[1])


def test_one_writer_at_a_time(tmp_path):
    out = tmp_path / "run.zarr"
    out.mkdir()
    with _files.locked(out), pytest.raises(ValueError, match="another sweep is writing"):
        gs.sweep(cell, GRID, out)
    gs.sweep(cell, GRID, out)


def unlucky(lam):
    return {"fine": lam, "whole": lam.astype(int), "bad": gs.WeightDecay(lam).lam}


@pytest.mark.traced
@pytest.mark.parametrize("fn", [unlucky, lambda lam: {}])
def test_a_sweep_that_fails_takes_away_what_it_made_and_nothing_else(tmp_path, fn):
    def fail(out):
        with pytest.raises(ValueError, match=r"at least one array|lam must be finite and > 0"):
            gs.sweep(fn, {"lam": [-1.0, 1.0]}, out)

    fail(tmp_path / "deep" / "run.zarr")
    assert not (tmp_path / "deep").exists()
    (tmp_path / "empty").mkdir()
    fail(tmp_path / "empty")
    assert not any((tmp_path / "empty").iterdir())
    killed = tmp_path / "killed"  # by a kill, before there was a store
    (killed / "fine").mkdir(parents=True)
    for name in (_files.LOCK, ".zattrs", "fine/0"):
        (killed / name).write_text("")
    fail(killed)
    assert {_files.LOCK, ".zattrs", "fine/0"} <= set(contents(killed))
    assert ".zmetadata" not in contents(killed)


@pytest.mark.parametrize("foreign", ["notes", "fine/notes", "other/deep/1", ".partial-mine"])
@pytest.mark.parametrize("locked", [True, False])
def test_a_folder_of_someone_else_stays_as_it_is(tmp_path, foreign, locked):
    (tmp_path / foreign).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / foreign).write_text("mine")
    if locked:
        (tmp_path / _files.LOCK).write_text("")
    before = contents(tmp_path)
    for _ in range(2):
        with pytest.raises(ValueError, match="out must be a new path or the store of a sweep"):
            gs.sweep(unlucky, {"lam": [-1.0, 1.0]}, tmp_path)
    assert contents(tmp_path) == before


def test_what_is_not_computed_reads_as_nan(tmp_path, monkeypatch):
    def mixed(lam, delta):
        return {"i": (lam * 1e6).astype(int), "u": jnp.uint8(0) + (lam > 1).astype(jnp.uint8), "b": lam > 1, "f": delta}

    out, replace = tmp_path / "run.zarr", os.replace

    def fail(source, target):
        if Path(target).parts[-2:] == ("b", "4.0"):
            raise OSError(errno.ENOSPC, "No space left on device")
        replace(source, target)

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(OSError, match="No space"):
        gs.sweep(mixed, {"lam": LAM, "delta": DELTA}, out, chunk=10)
    monkeypatch.undo()
    plain = xr.open_zarr(out, chunks=None)
    ds = gs.sweeps.open_store(out)
    done = ds["computed"].values
    assert 0 < done.sum() < done.size
    for name in ("i", "u", "b", "f"):
        assert ds[name].dtype.kind == plain[name].dtype.kind == "f"
        assert (np.isnan(ds[name].values) == ~done).all()
        assert ds[name].identical(plain[name])
    assert (ds["i"] == np.floor(ds["lam"] * 1e6)).values[done].all()
    assert (ds["b"] == (ds["lam"] > 1)).values[done].all()
    whole = gs.sweep(mixed, {"lam": LAM, "delta": DELTA}, out, chunk=10)
    assert [whole[name].dtype.kind for name in ("i", "u", "b", "f")] == ["i", "u", "b", "f"]
    assert "computed" not in whole
    longer = {"lam": np.append(LAM, 20.0), "delta": DELTA}
    assert gs.sweep(mixed, longer, out, extend=True).load().identical(gs.sweep(mixed, longer, chunk=10))


@pytest.mark.parametrize(
    "broken",
    [
        (".zmetadata", "{"),
        (".zmetadata", "[]"),
        (".zmetadata", '{"metadata": 3}'),
        (".zmetadata", '{"metadata": {".zattrs": {"sweep": "{"}}}'),
        (".zmetadata", '{"metadata": {".zattrs": {"sweep": "{\\"format\\": 1}"}}}'),
        ("lam/0", ""),
        ("zarr.json", "{"),
    ],
)
def test_a_broken_store_is_told_in_one_line(tmp_path, whole, broken):
    out = tmp_path / "run.zarr"
    shutil.copytree(whole, out)
    name, content = broken
    (out / name).write_text(content)
    before = contents(out)
    with pytest.raises(ValueError, match=r"got .*run.zarr, which is (broken: \w+|neither)") as caught:
        gs.sweep(cell, GRID, out, chunk=10)
    assert "\n" not in str(caught.value)
    assert contents(out) == before


def test_only_stores_of_sweeps_are_opened(tmp_path, whole):
    for path in (tmp_path / "nothing", tmp_path, whole / "sum", whole / ".zattrs"):
        with pytest.raises(ValueError, match=r"path must be the store of a sweep|neither") as caught:
            gs.sweeps.open_store(path)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["..", ".", ".zattrs", ".zmetadata", " ", "a\nb", "zarr.json", "x" * 300])
def test_names_that_cannot_be_folders_are_refused(tmp_path, name):
    for out in (None, tmp_path / "run.zarr"):
        with pytest.raises(ValueError, match="must give names that") as caught:
            gs.sweep(lambda lam: {name: lam, "fine": lam}, {"lam": LAM}, out)
        assert "\n" not in str(caught.value)
    assert not any(tmp_path.iterdir())


READER = """
import sys, time, numpy as np, xarray as xr
from pathlib import Path
path, seen = Path(sys.argv[1]), set()
xr.open_zarr(sys.argv[2], chunks=None).load()
print("ready", flush=True)
while not (path / ".zmetadata").exists():
    time.sleep(0.001)
share = 0
while share < 1:
    ds = xr.open_zarr(path, chunks=None)
    done = ds["computed"].load()
    right = (ds["sum"] == ds["lam"] + ds["delta"]) & (ds["root"][..., 2] == np.sqrt(ds["lam"] * 3))
    assert right.where(done, True).all()
    share = float(done.mean())
    if share not in seen:
        print(share, flush=True)
    seen.add(share)
"""


def test_reading_while_it_runs_is_safe(tmp_path, whole):
    out = tmp_path / "run.zarr"
    command = [sys.executable, "-c", READER, out, whole]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as reader:
        assert reader.stdout is not None
        assert reader.stdout.readline() == "ready\n"
        stops = [0.2, 0.4, 0.6, 0.8]

        def wait_for_reader(stage, done, total):
            if stops and done / total >= stops[0]:
                stops.pop(0)
                assert 0 <= float(reader.stdout.readline()) < 1

        lams = np.geomspace(1e-3, 10, 100)
        gs.sweep(cell, {"lam": lams, "delta": DELTA}, out, chunk=9, progress=wait_for_reader)
        assert not stops
        assert reader.communicate(timeout=60)[0].endswith("1.0\n")
        assert reader.returncode == 0


def _kill(tmp_path, kills, seed, chunk):
    arguments = [sys.executable, str(HERE / "_kills.py"), str(tmp_path), str(kills), str(seed), str(chunk)]
    done = subprocess.run(arguments, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stdout + done.stderr[-2000:]
    assert int(done.stdout.split()[0]) >= kills


def test_kills_lose_nothing(tmp_path):
    _kill(tmp_path, 4, 0, 60)


@pytest.mark.slow
def test_fifty_kills_lose_nothing(tmp_path):
    _kill(tmp_path, 50, 1, 10)
