"""The command line: ranges as people type them, errors in one line, results that are whole or absent."""

import contextlib
import functools
import json
import math
import os
import resource
import runpy
import signal
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st

import gsdyn.cli
from gsdyn.cli import main
from gsdyn.cli._console import _Lines, _unboxed
from gsdyn.cli._grid import parse_grid
from gsdyn.experiments.catalogue import EXPERIMENTS, Moons, Part, Trained

ROOT = Path(__file__).parents[1]
# the shapes of test_experiments and test_verification, so that what they compile serves here too
GRID = "--lam 1e-3:1:4 --delta 0,0.2,0.5,0.8 --at-lam 0.01 --at-delta 0.5 --integrated 3"
SMALL = ["curves", *GRID.split(), "--no-digits"]

positive = st.floats(1e-300, 1e300)
finite = st.floats(-1e300, 1e300)


@pytest.fixture
def small_blocks(monkeypatch):
    import gsdyn.verification.theorem2  # noqa: F401 - so that it can be patched by name

    monkeypatch.setattr("gsdyn.verification.theorem2.BLOCK", 1024)
    monkeypatch.setattr("gsdyn.verification.theorem2.PROBLEMS", 100)


@given(positive, positive, st.integers(2, 200))
def test_logarithmic_ranges(first, last, count):
    first, last = sorted((first, last))
    if first == last:
        return
    values = parse_grid(f"{first!r}:{last!r}:{count}", "log").values
    assert len(values) == count
    assert (values[0], values[-1]) == (first, last)
    assert list(values) == sorted(values)
    step = (math.log(last) - math.log(first)) / (count - 1)
    for i, value in enumerate(values):
        assert math.log(value) == pytest.approx(math.log(first) + i * step, abs=1e-12 * 700)


@pytest.mark.parametrize("spacing", ["lin", "log"])
def test_very_narrow_ranges_are_in_order(spacing):
    random = np.random.default_rng(0)
    starts, widths = 10.0 ** random.uniform(-300, 300, 4000), random.uniform(1e-15, 2e-14, 4000)
    for first, width in zip(starts.tolist(), widths.tolist(), strict=True):
        last = first * (1 + width)
        if last > first:
            values = parse_grid(f"{first!r}:{last!r}:{random.integers(2, 60)}", spacing).values
            assert values == tuple(sorted(values))
            assert (values[0], values[-1]) == (first, last)


@given(finite, finite, st.integers(2, 200))
def test_even_ranges(first, last, count):
    first, last = sorted((first, last))
    if first == last:
        return
    values = parse_grid(f"{first!r}:{last!r}:{count}", "lin").values
    assert len(values) == count
    assert (values[0], values[-1]) == (first, last)
    assert list(values) == sorted(values)
    for i, value in enumerate(values):
        exact = first * (1 - i / (count - 1)) + last * (i / (count - 1))
        assert value == pytest.approx(exact, rel=1e-12, abs=1e-12 * max(abs(first), abs(last)))


@given(st.lists(finite, min_size=1, max_size=9))
def test_lists_and_single_values(values):
    assert parse_grid(",".join(map(repr, values)), "log").values == tuple(values)


@given(st.text(alphabet="0123456789.:,e-+login nafx", max_size=25) | st.text(max_size=12))
def test_any_text_is_a_grid_or_an_error(text):
    try:
        grid = parse_grid(text, "log")
    except ValueError as error:
        lines = str(error).splitlines()
        assert len(lines) == 1
    else:
        assert grid.text == text
        assert grid.values
        assert all(map(math.isfinite, grid.values))


def test_spacing_can_be_named():
    assert parse_grid("1:3:3:lin", "log").values == (1.0, 2.0, 3.0)
    assert parse_grid("1:4:3:log", "lin").values == pytest.approx((1.0, 2.0, 4.0))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("1:2", "first:last:count"),
        ("1:2:3:4", "first:last:count"),
        ("1:2:3:lin:5", "first:last:count"),
        ("1:2:1", "integer in 2"),
        ("1:2:0", "integer in 2"),
        ("1:2:-3", "integer in 2"),
        ("1:2:2.5", "integer in 2"),
        ("1:2:99999999", "integer in 2"),
        ("2:1:5", "smaller to a larger"),
        ("1:1:5", "smaller to a larger"),
        ("0:1:5", "append :lin"),
        ("-1:1:5", "append :lin"),
        ("a:1:5", "finite numbers"),
        ("nan:1:5", "finite numbers"),
        ("1:inf:5", "finite numbers"),
        ("", "finite numbers"),
        ("1,,2", "finite numbers"),
        ("1,x", "finite numbers"),
    ],
)
def test_bad_ranges(text, said):
    with pytest.raises(ValueError, match=said):
        parse_grid(text, "log")


def run(arguments):
    """The exit code, whether returned or raised by the parser."""
    try:
        return main(arguments)
    except SystemExit as stop:
        return stop.code


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["curves", "--lam", "1:2"], "--lam"),
        (["curves", "--lam", "3:1:5"], "--lam"),
        (["curves", "--delta", "0:one:5"], "--delta"),
        (["curves", "--lam", "-1"], "lam must be finite and > 0"),
        (["curves", "--lam", "0.0,1"], "lam must be finite and > 0"),
        (["curves", "--delta", "0:1:5"], "delta must be in [0, 1), got 1.0"),
        (["curves", "--s1", "abc"], "s1 must be a number, got 'abc'"),
        (["curves", "--s1", "-2"], "s1 must be finite and > 0, got -2.0"),
        (["curves", "--s2", "nan"], "s2 must be finite and > 0, got nan"),
        (["curves", "--loss", "zero-one"], "--loss"),
        (["curves", "--penalty", "mixed", "--lam2", "-1"], "lam2 must be finite and >= 0"),
        (["curves", "--integrated", "-1"], "integrated must be at least 0"),
        (["curves", "--lamm", "1"], "--lamm"),
        (["verify", "thm2", "--cells", "0"], "cells must be at least 1, got 0"),
        (["verify", "thm2", "--cells", "many"], "cells must be a whole number, got 'many'"),
        (["verify", "thm2", "--seed=-1"], "seed must be in 0..4294967295, got -1"),
        (["verify", "P21-Eq12", "--seed=-1"], "seed must be in 0..4294967295, got -1"),
        (["verify", "thm3"], "thm3"),
        (["verify", "P21-Thm2", "P21-Thm9"], "P21-Thm9"),
        (["verify", "--samples", "0"], "samples must be at least 1, got 0"),
        (["verify", "p21-thm22"], "got 'p21-thm22': did you mean P21-Thm2"),
        (["foo"], "command must be one of diagnose, explore, curves, reproduce, sweep, verify, got 'foo'"),
        (["diagnos", "--demo"], "reproduce, sweep, verify, got 'diagnos': did you mean diagnose?"),
        (["reproduce", "moon"], "got 'moon': did you mean moons"),
        (["diagnose", "--demoo"], "--demoo: did you mean --demo?"),
        (["diagnose", "--foolbo"], "Unrecognized options: --foolbo"),
        (["diagnose", "--demo", "--out", "a.html", "--out=b.html"], "--out must be given once, got it twice"),
        (["diagnose", "--demo", "--fail_on", "shortcut", "--fail-on", "undecided"], "--fail-on must be given once"),
        (["diagnose", "--demo", "--lazy", "--no-lazy"], "--no-lazy must be given once, got it as --lazy too"),
        (["verify", "thm2", "--cells", "5", "--cells", "5"], "--cells must be given once, got it twice"),
        (["sweep", "foo"], "fixed-point, starvation, trajectory, mode-time, function"),
        (["reproduce", "foo"], "theory-in-one-figure, legendre, width"),
        (["curves", "--results", "s3://bucket/run"], "results must be a path on this machine, or mounted on it"),
        (["curves", "--figures", "/dev/null"], "figures must be a folder to write to, got /dev/null"),
        (["curves", "--figures", "~nobody-at-all/x"], "figures must be below the home of a user that there is"),
        (["reproduce", "depth", "--results", "/dev/null/x"], "results must be a folder to write to, got /dev/null/x"),
        (["reproduce", "depth", "--figures", "gs://a/b"], "got the address 'gs://a/b'"),
        (["verify", "--out", "/dev/null"], "out must be a folder to write to, got /dev/null"),
        (["verify", "thm2", "--out", "/dev/null/x"], "out must be a folder to write to, got /dev/null"),
        (["sweep", "mode-time", "--out", "s3://bucket/run.zarr"], "out must be a path on this machine"),
        (["sweep", "mode-time", "--out", "/dev/null/run.zarr"], "out must be a folder to write to"),
    ],
)
def test_bad_input_is_one_line_and_leaves_nothing(arguments, said, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert run(arguments) == 2
    captured = capsys.readouterr()
    errors = [line for line in captured.err.splitlines() if not line.startswith("two features")]
    assert len(errors) == 1
    assert errors[0].startswith("gsdyn: error: ")
    assert said in errors[0]
    assert not captured.out
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("words", [[], ["sweep"], ["reproduce"]])
def test_alone_a_group_of_commands_shows_its_help(words, capsys):
    assert run(words) == 0
    captured = capsys.readouterr()
    assert f"usage: {' '.join(['gsdyn', *words])} [-h]" in captured.out
    assert not captured.err


def test_version(capsys):
    assert run(["--version"]) == 0
    assert capsys.readouterr().out == f"gsdyn {gsdyn.__version__}\n"


def test_a_reader_that_leaves_early_is_no_error():
    command = [sys.executable, "-m", "gsdyn", "verify", "--list"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as child:
        assert child.stdout is not None
        assert child.stderr is not None
        child.stdout.close()
        assert not child.stderr.read()


@pytest.mark.traced
def test_a_check_in_compiled_code_is_one_line(monkeypatch, capsys):
    def checked(self):
        jax.jit(lambda lam: gsdyn.WeightDecay(lam).lam)(-1.0)

    def filtered(self):
        eqx.filter_jit(lambda lam: gsdyn.WeightDecay(lam).lam)(-1.0)

    for command in (checked, filtered):
        monkeypatch.setattr(gsdyn.cli.Curves, "run", command)
        assert main(["curves"]) == 2
        assert capsys.readouterr().err.splitlines() == ["gsdyn: error: lam must be finite and > 0"]


def test_what_is_kept_is_told_when_interrupted(tmp_path, monkeypatch, capsys):
    def stopped(*, runs, **options):
        (runs / "stopped").mkdir(parents=True)
        for i in range(12):
            (runs / "stopped" / f"{i}.npz").touch()
        raise KeyboardInterrupt

    monkeypatch.chdir(tmp_path)
    for words, folder in (([], "results/runs"), (["--quick"], "results/quick/runs_quick")):
        monkeypatch.setattr(Moons, "parts", lambda self: (Part(stopped, None, *self.training()),))
        assert main(["reproduce", "moons", *words]) == 130
        told = f"interrupted; 12 files of networks are kept in {folder}/stopped: the same command goes on there"
        assert capsys.readouterr().err.splitlines() == [f"gsdyn: error: {told}"]


def test_a_cache_that_was_asked_for_and_cannot_be_is_told(monkeypatch, capsys):
    monkeypatch.setenv("GSDYN_CACHE", "s3://bucket")
    assert main(["verify", "--list"]) == 2
    assert "GSDYN_CACHE must be a path on this machine" in capsys.readouterr().err


def test_home_is_expanded(tmp_path, monkeypatch, capsys):
    import matplotlib.font_manager  # noqa: F401 - which keeps its lists below the home that it meets first

    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    assert main(["reproduce", "legendre", "--figures", "~/drawn", "--results", "~/data"]) == 0
    assert {path.name for path in tmp_path.iterdir()} == {"drawn", "data"}
    assert (tmp_path / "drawn" / "legendre.svg").exists()
    assert str(tmp_path / "data" / "legendre.zarr") in capsys.readouterr().out


def test_nothing_is_written_outside_results_by_default():
    """Which git ignores: a fresh clone stays clean, whatever command is tried."""
    assert "results/" in (ROOT / ".gitignore").read_text().splitlines()
    places = [gsdyn.cli.Curves().figures, gsdyn.cli.Curves().results]
    for kind in EXPERIMENTS:
        for quick in ({}, {"quick": True}):
            if not quick or issubclass(kind, Trained):
                places += kind(**quick).folders()
    for kind in (gsdyn.cli.Verify, gsdyn.cli.Theorem2):
        assert kind().out is None
    assert {place.parts[0] for place in places} == {"results"}
    full, quick = Moons().folders(), Moons(quick=True).folders()
    assert not set(full) & set(quick)
    assert "figures/" not in (ROOT / "Makefile").read_text().split("figures:")[0]


def test_long_errors_stay_on_one_line():
    inside = "│ Error parsing --lam: a range │\n│ is first:last:count │\n│ ───── │\n│ For full help │"
    assert _unboxed(f"╭─ Value error ─╮\n{inside}\n╰──╯") == "Error parsing --lam: a range is first:last:count"
    assert _unboxed("plain words") == "plain words"
    rule = "-" * 30
    plain = f" Value error\n {rule}\n  a range is\n  first:last:count\n  {rule}\n  Available subcommands: curves\n"
    assert _unboxed(plain) == "a range is first:last:count. Available subcommands: curves"


def test_a_fault_of_the_program_keeps_its_traceback(monkeypatch):
    def faulty(self):
        int("not a number")  # a ValueError, but not one of gsdyn's own

    def broken(self):
        jnp.zeros(2) @ jnp.zeros(3)

    for fault in (faulty, broken):
        fault.__globals__["__name__"] = __name__
        monkeypatch.setattr(gsdyn.cli.Curves, "run", fault)
        with pytest.raises((ValueError, TypeError)):
            main(["curves"])


def test_curves(tmp_path, capsys):
    folders = ["--figures", str(tmp_path / "drawn"), "--results", str(tmp_path / "data")]
    assert main([*SMALL, *folders]) == 0
    captured = capsys.readouterr()
    drawn = sorted(path.name for path in (tmp_path / "drawn").iterdir())
    assert drawn == [f"starvation_{name}.{form}" for name in ("curves", "map") for form in ("pdf", "png", "svg")]
    for name in drawn:
        assert str(tmp_path / "drawn" / name) in captured.out
    assert "16 of 16 fixed points converged" in captured.out
    assert "two features: 4/4" in captured.err
    with xr.open_zarr(tmp_path / "data" / "starvation_curves.zarr") as dataset:
        assert dataset.attrs["precision"] == "float64"
        settings = json.loads(dataset.attrs["settings"])
        assert (settings["lam"], settings["delta"], settings["integrated"]) == ("1e-3:1:4", "0,0.2,0.5,0.8", 3)
        assert not {"figures", "results"} & set(settings)
        assert dataset["ode_distance"].max() < 1e-8


@pytest.fixture
def quickly_saved(monkeypatch):
    """Files with nothing drawn in them, for what is about the files."""
    monkeypatch.setattr("gsdyn.plotting.save", lambda figure, path: path.write_bytes(b"a figure"))


@pytest.mark.usefixtures("quickly_saved")
@pytest.mark.parametrize(("fault", "code"), [(KeyboardInterrupt, 130), (OSError("disk full"), 1)])
def test_what_stops_late_leaves_old_results_alone(fault, code, tmp_path, monkeypatch, capsys):
    old = tmp_path / "data" / "starvation_curves.zarr"
    old.mkdir(parents=True)
    (old / "mark").write_text("old")

    def stop(*arguments):
        raise fault

    monkeypatch.setattr("gsdyn.plotting.draw_map", stop)
    assert main([*SMALL, "--figures", str(tmp_path / "drawn"), "--results", str(tmp_path / "data")]) == code
    assert capsys.readouterr().err.splitlines()[-1].startswith("gsdyn: error: ")
    assert [path.name for path in tmp_path.rglob("*")] == ["data", "starvation_curves.zarr", "mark"]


@pytest.mark.parametrize("swallowed", [False, True])
def test_signals_stop_the_work(swallowed, tmp_path, monkeypatch, capsys):
    """Also one that arrives where Python drops what its handler raises."""

    def work(*arguments, progress, **options):
        with contextlib.suppress(KeyboardInterrupt) if swallowed else contextlib.nullcontext():
            os.kill(os.getpid(), signal.SIGTERM)
        progress("work", 1, 2)
        pytest.fail("the work went on")

    monkeypatch.setattr("gsdyn.experiments.curves.starvation_curves", work)
    before = signal.getsignal(signal.SIGTERM)
    assert main([*SMALL, "--figures", str(tmp_path / "drawn"), "--results", str(tmp_path / "data")]) == 130
    assert capsys.readouterr().err.splitlines() == ["gsdyn: error: interrupted, nothing was written"]
    assert not list(tmp_path.iterdir())
    assert signal.getsignal(signal.SIGTERM) is before


@pytest.mark.slow
@pytest.mark.usefixtures("small_blocks")
def test_verify(tmp_path, capsys):
    assert main(["verify", "thm2", "--cells", "300", "--seed", "4", "--out", str(tmp_path / "report")]) == 0
    out = capsys.readouterr().out
    assert out.count("holds") >= 4
    assert "P21-Thm2-exact" in out
    assert "small-delta formula loses 1%" in out
    content = json.loads((tmp_path / "report.json").read_text())
    assert content["holds"] is True
    assert json.loads(content["provenance"]["settings"]) == {"cells": 300, "seed": 4}
    assert (tmp_path / "report.md").read_text().startswith("# Theorem 2")


@pytest.mark.slow
@pytest.mark.usefixtures("small_blocks")
def test_verify_fails_on_a_violation(monkeypatch, capsys):
    import gsdyn.verification as verification

    wrong = functools.partial(verification.check_theorem2, law=lambda s1, s2, delta: jnp.sign(s1 - s2))
    monkeypatch.setattr(verification, "check_theorem2", wrong)
    assert main(["verify", "thm2", "--cells", "300"]) == 1
    out = capsys.readouterr().out
    assert "VIOLATED" in out
    assert "first violation" in out


@pytest.mark.usefixtures("small_blocks", "quickly_saved")
@pytest.mark.parametrize(
    ("script", "arguments"),
    [
        ("starvation_curves.py", SMALL[1:]),
        pytest.param("verify_theorem2.py", ["--cells", "300"], marks=pytest.mark.slow),
    ],
)
def test_scripts(script, arguments, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", [script, *arguments])
    with pytest.raises(SystemExit) as stop:
        runpy.run_path(str(ROOT / "scripts" / script), run_name="__main__")
    assert stop.value.code == 0
    assert capsys.readouterr().out


@pytest.mark.parametrize("script", ["starvation_curves.py", "verify_theorem2.py"])
def test_scripts_complain_in_one_line(script, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", [script, "--nonsense"])
    with pytest.raises(SystemExit) as stop:
        runpy.run_path(str(ROOT / "scripts" / script), run_name="__main__")
    assert stop.value.code == 2
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_progress_in_a_log(capsys):
    report = _Lines()
    for done in range(9):
        report("stage", done, 8)
    lines = capsys.readouterr().err.splitlines()
    assert [line.split(",")[0] for line in lines] == [
        "stage: 0/8",
        "stage: 2/8",
        "stage: 4/8",
        "stage: 6/8",
        "stage: 8/8",
    ]
    assert "left" in lines[2]


def test_progress_that_begins_late_counts_from_the_command_and_foresees_from_there(capsys, monkeypatch):
    clock = iter([1e4, 1e4 + 4, 1e4 + 6, 1e4 + 7])
    monkeypatch.setattr("gsdyn.cli._console.time", SimpleNamespace(monotonic=lambda: next(clock)))
    report = _Lines()
    for done in (4, 6, 8):  # four of them were kept from an earlier run
        report("stage", done, 8)
    assert capsys.readouterr().err.splitlines() == [
        "stage: 4/8, 4 s",
        "stage: 6/8, 6 s, about 2 s left",
        "stage: 8/8, 7 s",
    ]


def cpu_seconds(*arguments):
    """The least processor time of three runs: wall time says more about what else the machine does."""
    best = math.inf
    for _ in range(3):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run([sys.executable, *arguments], check=True, capture_output=True, env=dict(os.environ))
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        best = min(best, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    return best


def test_help_is_quick():
    assert cpu_seconds("-m", "gsdyn", "--help") - cpu_seconds("-c", "pass") < 0.5
