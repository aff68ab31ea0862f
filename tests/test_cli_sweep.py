"""`gsdyn sweep`: axes as people type them, one line for errors, stores that go on, right numbers in them."""

import json
import os
import runpy
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from scipy.integrate import quad

from gsdyn.cli import main
from gsdyn.cli._axes import parse_axis, parse_size
from gsdyn.sweeps import Integers, LogUniform, Uniform, open_store

ROOT = Path(__file__).parents[1]
MODE = ["sweep", "mode-time", "--norm", "0.5:2:3", "--depth", "2,3", "--u0", "0.1", "--confidence", "0.9"]


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def run(*words):
    try:
        return main(list(words))
    except SystemExit as stop:
        return stop.code


def test_fixed_points_solve_their_equation(capsys):
    grid = ["--lam", "1e-6:1e3:12", "--delta", "0:0.99:5", "--s1", "4,40", "--chunk", "60", "--out", "run.zarr"]
    assert run("sweep", "fixed-point", *grid) == 0
    assert capsys.readouterr().out.splitlines() == ["120 cells, 120 of them new", "120 of 120 converged", "run.zarr"]
    ds = open_store("run.zarr").stack(cell=("lam", "delta", "s1", "s2"))
    d, z = ds["delta"].values, ds["z"].transpose("feature", "cell").values
    c = np.sqrt(1 - d * d)
    U, s = np.array([[c, -d], [d, c]]), np.array([ds["s1"].values, ds["s2"].values])
    margins = np.einsum("ijm,jm->im", U, z)
    np.testing.assert_allclose(ds["alpha"].transpose("example", "cell"), 1 / (1 + np.exp(margins)), rtol=1e-11)
    again = np.einsum("ijm,im->jm", U, 1 / (1 + np.exp(margins))) * s**2 / ds["lam"].values
    np.testing.assert_allclose(again, z, rtol=1e-9, atol=1e-9)
    assert ds["z"].attrs == {"long_name": "response at the optimum z*", "units": "1"}
    settings = json.loads(ds.attrs["settings"])
    assert settings["quantity"] == "fixed-point"
    assert (settings["loss"], settings["penalty"]) == ("cross-entropy", "weight-decay")


@pytest.mark.slow
def test_trajectories_end_where_the_fixed_points_are_and_starvation_has_its_sign():
    grid = ["--lam", "0.01:1:3", "--delta", "0.1,0.5,0.8", "--s1", "1,5"]
    assert run("sweep", "trajectory", *grid, "--times", "0:60:4") == 0
    assert run("sweep", "starvation", *grid) == 0
    paths, matrices = (open_store(f"results/sweep_{name}.zarr") for name in ("trajectory", "starvation"))
    assert paths["z"].dims == ("lam", "delta", "s1", "s2", "time", "feature")
    assert paths["succeeded"].all()
    np.testing.assert_allclose(paths["z"].sel(time=60), matrices["z"], rtol=1e-6)
    weaker = 1 - 2 * paths["delta"] ** 2  # the sign law: who starves depends on delta < 1/sqrt(2) and s1 > s2
    law = -np.sign(weaker * (paths["s1"] - paths["s2"]))
    found = matrices["starvation"].sel(feature=2, strength_of=1)
    assert (np.sign(found) == law).all()


def test_mode_times_are_those_of_the_integral(capsys):
    assert run(*MODE) == 0
    assert "6 cells, 6 of them new" in capsys.readouterr().out
    ds = open_store("results/sweep_mode_time.zarr")
    for norm in ds["norm"].values:
        for n in ds["depth"].values:
            slope = n * norm ** (2 / n)
            time, _ = quad(lambda u, n=n, a=slope: (1 + np.exp(u)) / (a * u ** (2 - 2 / n)), 0.1, np.log(9))
            found = ds["time"].sel(norm=norm, depth=n, u0=0.1, confidence=0.9)
            np.testing.assert_allclose(found, time, rtol=1e-7)


def test_a_sweep_goes_on_is_extended_and_is_not_mixed(capsys):
    Path("plain.py").write_text("def twice(x, y):\n    return 2 * x + y\n\ndef thrice(x, y):\n    return 3 * x + y\n")
    words = ["sweep", "function", "plain:twice", "--axis", "x=1,2,3", "--out", "run.zarr", "--axis"]
    assert run(*words, "y=0,1") == 0
    assert run(*words, "y=0,1") == 0
    assert run(*words, "y=0,1,2") == 2
    assert run(*words, "y=2,3", "--extend") == 0
    assert run("sweep", "function", "plain:thrice", *words[3:], "y=0,1,2,3") == 2
    captured = capsys.readouterr()
    assert captured.out.splitlines()[::2] == [f"{n} cells, {m} of them new" for n, m in ((6, 6), (6, 0), (12, 6))]
    errors = [line for line in captured.err.splitlines() if line.startswith("gsdyn: error: ")]
    assert "other values along y; extend it" in errors[0]
    assert "another function" in errors[1]
    ds = open_store("run.zarr")
    assert (ds["twice"] == 2 * ds["x"] + ds["y"]).all()


def test_random_cells(capsys):
    words = ["--samples", "50", "--seed", "3", "--norm", "0.1:10", "--depth", "2:4", "--u0", "0.1", "--out", "run.zarr"]
    assert run("sweep", "mode-time", *words, "--confidence", "0.6:0.99:7") == 0
    assert capsys.readouterr().out.splitlines()[0] == "50 cells, 50 of them new"
    ds = open_store("run.zarr")
    assert ds["time"].dims == ("u0", "sample")
    assert ds.attrs["seed"] == "3"
    for name, low, high in (("norm", 0.1, 10), ("depth", 2, 4), ("confidence", 0.6, 0.99)):
        assert low <= ds[name].min() < ds[name].max() < high
    assert ds["norm"].median() < 3


def test_a_function_of_ones_own(capsys):
    Path("own.py").write_text("def mine(x, seed):\n    return {'y': x * 2, 'z': seed + 1}\n")
    words = ["own:mine", "--axis", "x=0.5,1", "--axis", "seed=0:9:10:int", "--out", "run.zarr"]
    assert run("sweep", "function", *words) == 0
    ds = open_store("run.zarr")
    assert (ds["y"] == 2 * ds["x"]).all()
    assert (ds["z"] == ds["seed"] + 1).all()
    assert ds["z"].dtype.kind == "i"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["mode-time", "--norm", "1:2"], "--norm must say how many values"),
        (["mode-time", "--samples", "5"], "--depth must be first:last or one value"),
        (
            ["mode-time", "--samples", "5", "--norm", "1", "--depth", "2", "--u0", "1", "--confidence", "0.9"],
            "at least",
        ),
        (["mode-time", "--budget", "lots"], "--budget"),
        (["mode-time", "--chunk", "0"], "chunk must be"),
        (["mode-time", "--scheduler", "tcp://127.0.0.1:9"], "127.0.0.1:9"),
        (["function", "os:nothing", "--axis", "x=1"], "MODULE:FUNCTION"),
        (["function", "nowhere:f", "--axis", "x=1"], "MODULE:FUNCTION"),
        (["function", "os:getcwd"], "--axis must be given"),
        (["function", "os:getcwd", "--axis", "x"], "--axis"),
        (["function", "os:getcwd", "--axis", "x=0:1:4:int"], "--axis"),
        (["everything"], "everything"),
    ],
)
def test_bad_input_is_one_line_and_leaves_nothing(words, said, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(sys.modules["gsdyn.cli.sweep"], "TIMEOUT", "1s")
    assert run("sweep", *words) in (1, 2)
    captured = capsys.readouterr()
    errors = captured.err.splitlines()
    assert len(errors) == 1
    assert errors[0].startswith("gsdyn: error: ")
    assert said in errors[0]
    assert not captured.out
    assert not [p for p in tmp_path.rglob("*") if p.name != "results"]


def test_axes_as_typed():
    assert parse_axis("1e-4:10:3", "log").values().tolist() == pytest.approx([1e-4, np.sqrt(1e-3), 10])
    assert parse_axis("0:4:3:int", "log").values().tolist() == [0, 2, 4]
    assert parse_axis("0:99:100:int", "lin").values().tolist() == list(range(100))
    assert parse_axis("1:10", "log").distribution() == LogUniform(1, 10)
    assert parse_axis("1:10:lin", "log").distribution() == Uniform(1, 10)
    assert parse_axis("1:10:int", "log").distribution() == Integers(1, 11)
    assert [parse_size(text) for text in ("1e9", "500MB", "2GiB", "3k")] == [10**9, 5 * 10**8, 2**31, 3000]
    for text in ("", "GB", "-1", "0", "nan", "1PB"):
        with pytest.raises(ValueError, match="a size is"):
            parse_size(text)


@pytest.mark.parametrize("name", ["fixed_point", "starvation", "trajectory", "mode_time", "function"])
def test_scripts_are_the_commands(name, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["script", "--help"])
    with pytest.raises(SystemExit) as stop:
        runpy.run_path(str(ROOT / "scripts" / f"sweep_{name}.py"), run_name="__main__")
    assert not stop.value.code
    assert "--extend" in capsys.readouterr().out


def test_a_bad_cell_is_one_line_to_the_very_end():
    Path("own.py").write_text("import gsdyn as gs\ndef mine(lam):\n    return gs.WeightDecay(lam).lam\n")
    words = ["-c", "import sys; from gsdyn.cli import main; sys.exit(main())", "sweep", "function", "own:mine"]
    done = subprocess.run([sys.executable, *words, "--axis", "lam=-1,1"], capture_output=True, text=True, timeout=120)
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1, done.stderr
    assert "lam must be finite and > 0, in a cell with lam in [-1, 1]" in done.stderr
    assert not Path("results", "sweep_function.zarr").exists()


def test_ctrl_c_keeps_what_is_done():
    Path("own.py").write_text(
        "import jax, time, numpy as np\n"
        "def mine(x):\n"
        "    wait = lambda x: (time.sleep(0.05), np.zeros(np.shape(x)))[1]\n"
        "    return x + jax.pure_callback(wait, jax.ShapeDtypeStruct((), float), x, vmap_method='broadcast_all')\n"
    )
    words = ["sweep", "function", "own:mine", "--axis", "x=0:1:400", "--chunk", "4", "--out", "run.zarr"]
    command = [sys.executable, "-c", "import sys; from gsdyn.cli import main; sys.exit(main())", *words]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as child:
        while not any(Path("run.zarr", "computed").glob("[0-9]*")):
            assert child.poll() is None
        os.kill(child.pid, signal.SIGINT)
        _, error = child.communicate(timeout=60)
    assert child.returncode == 130
    assert "the same command goes on" in error
    done = int(xr.open_zarr("run.zarr", chunks=None)["computed"].sum())
    assert 0 < done < 400
    assert not list(Path("run.zarr").rglob(".partial*"))
