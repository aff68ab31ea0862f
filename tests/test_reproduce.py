"""`gsdyn reproduce`: data with its provenance, and figures that say what they show."""

import json
import runpy
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from matplotlib.image import imread

from gsdyn.cli import main
from gsdyn.plotting.broken_modes import draw_broken_modes
from gsdyn.plotting.depth import draw_depth
from gsdyn.plotting.hinge import draw_hinge
from gsdyn.plotting.independent_modes import draw_independent_modes
from gsdyn.plotting.phase_plane import draw_phase_plane
from gsdyn.plotting.rare_feature import draw_rare_feature

ROOT = Path(__file__).parents[1]
NAMES = ("phase-plane", "depth", "hinge", "independent-modes", "rare-feature")


def made_up(sizes, variables, coordinates=None, **attrs):
    """A dataset of an experiment's form with made-up values inside (0, 1): nothing is solved for it."""
    random = np.random.default_rng(0)
    values = {n: (d, random.uniform(0.1, 0.9, [sizes[k] for k in d])) for n, d in variables.items()}
    index = {name: np.arange(1, size + 1) for name, size in sizes.items()}
    dataset = xr.Dataset(values, coords={**index, **(coordinates or {})}, attrs=attrs)
    for variable in dataset.variables.values():
        variable.attrs = {"long_name": "name", "units": "1"}
    return dataset


def phase_plane():
    curve, path, grid = ("curve", "time"), ("path", "time"), ("y0", "z0")
    names = {**dict.fromkeys(("y_curve", "y_curve_trained", "confidence", "confidence_trained"), curve),
             **dict.fromkeys(("y", "z", "y_trained", "z_trained"), path)}  # fmt: skip
    axis = np.linspace(-1, 1, 5)
    dataset = made_up(
        {"curve": 3, "path": 2, "time": 20}, names,
        {"c": ("curve", np.zeros(3)), "norm": ("curve", np.ones(3)), "y0": axis, "z0": axis}, slope=0.7,
    )  # fmt: skip
    dataset["outcome"] = (grid, np.zeros((5, 5), int))
    dataset["outcome_trained"] = (grid, np.eye(5, dtype=int))
    return dataset


def depth():
    coordinates = {"depth": ("case", [4.0, 8.0]), "norm": ("case", [0.1, 0.5]), "learning_rate": [0.1, 0.05]}
    variables = {"logit": ("case", "time"), "confidence": ("case", "time"), "error": ("case", "learning_rate"),
                 "margin": ("case", "learning_rate", "point", "time"), "order": ("case",)}  # fmt: skip
    sizes = {"case": 2, "learning_rate": 2, "point": 2, "time": 20}
    return made_up(sizes, variables, coordinates, u0=0.2)


def hinge():
    long, to, one = ("loss", "share", "long_time"), ("loss", "share", "confidence"), ("curve", "time")
    trained = ("curve", "learning_rate", "time")
    variables = {"y": one, "u": one, "y_trained": trained, "u_trained": trained, "learnt": long, "learnt_trained": long,
                 "time_to": to, "time_to_trained": to, "margin": ("input", "time"), "stop": ("input",),
                 "margin_trained": ("input", "learning_rate", "time")}  # fmt: skip
    sizes = {
        "curve": 4,
        "learning_rate": 2,
        "time": 20,
        "loss": 2,
        "share": 2,
        "long_time": 20,
        "confidence": 5,
        "input": 4,
    }
    coordinates = {"c": ("curve", np.ones(4)), "norm": ("curve", np.ones(4)), "loss": ["hinge", "cross-entropy"],
                   "share": [0.8, 0.2], "confidence": np.linspace(0.5, 0.9, 5)}  # fmt: skip
    return made_up(sizes, variables, coordinates)


def independent_modes():
    over = ("case", "batches", "learning_rate")
    variables = {"margin": (*over, "seed", "point", "time"), "theory": ("case", "seed", "point", "time"), "error": over,
                 "counted_error": over, "order": over[:2], "counted_order": over[:2]}  # fmt: skip
    coordinates = {"case": ["one", "two"], "claim": ("case", ["A", "B"]), "batches": ["full", "epochs", "drawn"],
                   "learning_rate": [0.1, 0.05, 0.025]}  # fmt: skip
    sizes = {"case": 2, "batches": 3, "learning_rate": 3, "seed": 1, "point": 2, "time": 20}
    dataset = made_up(sizes, variables, coordinates)
    dataset["theory"][0, :, 1] = np.nan
    return dataset


def broken_modes():
    curve, one = ("assumption", "degree", "point", "time"), ("assumption", "degree")
    variables = {"margin": curve, "theory": curve, "amount": one, "changed": one, "error": one, "error_before": one,
                 "competition": ("degree", "point", "time"), "competition_error": ("degree",)}  # fmt: skip
    sizes = {"assumption": 3, "degree": 4, "point": 2, "time": 20}
    return made_up(sizes, variables, {"assumption": ["H1", "H2", "H3"]})


def rare_feature():
    over = ("start", "fraction")
    variables = {**dict.fromkeys(("paper_bound", "bound", "integrated"), (*over, "eps")),
                 **dict.fromkeys(("data_trained", "rare_trained"), (*over, "time")),
                 **dict.fromkeys(("table_bound", "table_integrated", "table_trained"),
                                 (*over, "table_eps"))}  # fmt: skip
    sizes = {"start": 2, "fraction": 4, "eps": 6, "time": 20, "table_eps": 2}
    eps = np.geomspace(0.4, 1e-3, 6)
    coordinates = {"start": ["b0 = q a0", "b0 = a0"], "fraction": [0.5, 0.2, 0.1, 0.01], "eps": eps,
                   "confidence": ("eps", 1 - eps), "table_eps": [0.01, 0.0001]}  # fmt: skip
    return made_up(sizes, variables, coordinates)


FIGURES = {
    "phase plane": (draw_phase_plane, phase_plane, 3),
    "depth": (draw_depth, depth, 3),
    "hinge": (draw_hinge, hinge, 4),
    "independent modes": (draw_independent_modes, independent_modes, 4),
    "broken modes": (draw_broken_modes, broken_modes, 6),
    "rare feature": (draw_rare_feature, rare_feature, 4),
}


@pytest.mark.parametrize("name", FIGURES)
def test_figures_say_what_they_show(name):
    draw, dataset, count = FIGURES[name]
    figure = draw(dataset())
    assert len(figure.axes) == count
    labels = {axes.get_xlabel() for axes in figure.axes} | {axes.get_ylabel() for axes in figure.axes}
    assert not any("dimensionless" in label for label in labels)
    assert any(axes.get_legend() for axes in figure.axes) or figure.legends
    for axes in figure.axes:
        if axes.axison and axes.lines:
            assert axes.get_xlabel() or axes.get_ylabel()


def test_lines_are_told_apart_without_colour():
    lines = draw_depth(depth()).axes[2].lines
    looks = {(line.get_linestyle(), line.get_marker()) for line in lines}
    assert len(looks) == len(lines) == 2


def test_the_phase_plane_counts_what_disagrees():
    plane = draw_phase_plane(phase_plane()).axes[0]
    assert "80.0% of 25" in plane.get_title(loc="left")
    crosses = next(line for line in plane.lines if line.get_marker() == "x")
    np.testing.assert_allclose(crosses.get_xdata(), np.linspace(-1, 1, 5))


def test_table_1_is_printed_as_given():
    dataset = rare_feature()
    drawn = draw_rare_feature(dataset).axes[2:]
    for axes, theorem, values in zip(drawn, ("Thm 5.1", "Thm D.2"), dataset["table_bound"].values, strict=True):
        table = axes.tables[0]
        assert theorem in table[1, -1].get_text().get_text()
        printed = [table[row, column].get_text().get_text() for row in (1, 4) for column in range(4)]
        assert printed == [f"{value:.1%}" for value in values.T.ravel()]


def written(folder, name):
    figures = [folder / "figures" / f"{name}{suffix}" for suffix in (".png", ".svg", ".pdf")]
    return figures + [folder / "results" / f"{name}{suffix}" for suffix in (".zarr", ".csv", ".md")]


@pytest.mark.parametrize(
    ("words", "names"),
    [
        (["phase-plane", "--grid", "4", "--horizon", "6"], ["phase_plane"]),
        pytest.param(["depth", "--halvings", "1", "--horizon", "5"], ["depth"], marks=pytest.mark.slow),
        pytest.param(["hinge", "--halvings", "1"], ["hinge"], marks=pytest.mark.slow),
        pytest.param(["rare-feature", "--rate", "0.2"], ["rare_feature"], marks=pytest.mark.slow),
        pytest.param(
            ["independent-modes", "--halvings", "1", "--horizon", "2", "--seeds", "1"],
            ["independent_modes", "broken_modes"],
            marks=pytest.mark.slow,
        ),
    ],
)
def test_reproduce_writes_figures_and_data(tmp_path, capsys, words, names):
    places = ["--figures", str(tmp_path / "figures"), "--results", str(tmp_path / "results")]
    assert main(["reproduce", *words, *places]) == 0
    files = [path for name in names for path in written(tmp_path, name)]
    shown = capsys.readouterr().out
    assert all(path.exists() and str(path) in shown for path in files)
    for name in names:
        image = imread(tmp_path / "figures" / f"{name}.png")
        assert image.std() > 0.05
        header, *rows = (tmp_path / "results" / f"{name}.csv").read_text().splitlines()
        assert rows
        assert len(header.split(",")) >= 2
        with xr.open_zarr(tmp_path / "results" / f"{name}.zarr") as dataset:
            assert dataset.attrs["gsdyn_version"]
            assert isinstance(json.loads(dataset.attrs["settings"]), dict)
            assert all(variable.attrs["long_name"] for variable in dataset.variables.values())


def test_bad_input_is_one_line(tmp_path, capsys):
    assert (
        main(["reproduce", "phase-plane", "--norm", "-1", "--figures", str(tmp_path), "--results", str(tmp_path)]) == 2
    )
    assert capsys.readouterr().err.splitlines()[-1] == "gsdyn: error: norm must be finite and > 0, got -1.0"
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize("name", NAMES)
def test_scripts_are_the_commands(name, monkeypatch, capsys):
    script = ROOT / "scripts" / f"reproduce_{name.replace('-', '_')}.py"
    monkeypatch.setattr(sys, "argv", [str(script), "--help"])
    with pytest.raises(SystemExit) as stop:
        runpy.run_path(str(script), run_name="__main__")
    assert not stop.value.code
    assert "--figures" in capsys.readouterr().out


def test_help_needs_no_jax():
    code = "import sys, gsdyn.cli.reproduce; sys.exit('jax' in sys.modules or 'matplotlib' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
