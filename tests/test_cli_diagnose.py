"""`gsdyn diagnose`: what is read and passed on, exit codes, bad input in one line with nothing half-written."""

import json

import numpy as np
import pandas as pd
import pytest
import xarray as xr

import gsdyn.diagnosis
from gsdyn.cli import main
from gsdyn.diagnosis import Report, Verdict
from gsdyn.networks import RBF, FullyConnected, Linear

N = 6


@pytest.fixture
def table(tmp_path):
    rows = {"age": range(N), "place": list("aabbab"), "died": [0, 1] * 3, "split": ["train"] * 4 + ["test"] * 2}
    pd.DataFrame(rows).to_csv(tmp_path / "data.csv", index=False)
    return tmp_path / "data.csv"


@pytest.fixture
def asked(monkeypatch):
    """What `diagnose` is asked; it answers with a small report."""
    given = {"kind": "shortcut"}

    def diagnose(x, y, **options):
        given.update(x=x, y=y.y, **options)
        verdict = Verdict(given["kind"], ("'place' is a shortcut.", "Ninety in a hundred."))
        attrs = {"verdict": json.dumps(verdict.as_dict()), "notes": json.dumps([*options["notes"], y.sentence])}
        dataset = xr.Dataset({"strength": ("feature", [2.0, 1.0])}, attrs=attrs)
        return Report(dataset, verdict)

    monkeypatch.setattr(gsdyn.diagnosis, "diagnose", diagnose)
    return given


def run(*words):
    return main(["diagnose", *map(str, words), "--no-lazy"])


def test_the_verdict_comes_first_and_the_report_is_written(table, tmp_path, asked, capsys):
    outputs = tmp_path / "new" / "r.json", tmp_path / "r.zarr"
    assert run(table, "--label", "died", "--attributes", "place", "--out", *outputs, "--seed", 3, "--leading", 5) == 0
    told = capsys.readouterr().out.splitlines()
    assert told[:3] == ["Verdict: shortcut.", "- 'place' is a shortcut.", "- Ninety in a hundred."]
    assert told[3].startswith("Read as: ")
    assert told[3].endswith("died: 0 read as -1, 1 as +1.")
    assert told[4:] == [*map(str, outputs)]
    for path in outputs:
        np.testing.assert_array_equal(Report.load(path).dataset["strength"], [2, 1])
    # rows of the part to learn from, and of the part to test on, in its scales
    np.testing.assert_allclose(asked["x"][:, 0], (np.arange(4) - 1.5) / np.std(np.arange(4)))
    np.testing.assert_array_equal(asked["y"], [-1, 1, -1, 1])
    assert list(asked["attributes"]["place"]) == list("aabb")
    np.testing.assert_allclose(asked["test"].x[:, 0], (np.arange(4, 6) - 1.5) / np.std(np.arange(4)))
    assert list(asked["test"].attributes["place"]) == list("ab")
    assert asked["columns"] == ("age",)
    assert asked["network"] == FullyConnected(3)
    assert (asked["seed"], asked["features"], asked["select"], asked["kernel"]) == (3, 5, "held-out", None)
    assert any("standardised" in note for note in asked["notes"])


def test_the_verdict_is_json_where_that_is_asked(table, tmp_path, asked, capsys):
    written = tmp_path / "r.json"
    assert run(table, "--label", "died", "--out", written, "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert told["verdict"] == Report.load(written).verdict.as_dict() | {"shortcuts": [], "attributes": []}
    assert told["notes"][-1] == "died: 0 read as -1, 1 as +1"
    assert told["files"] == [str(written)]


def test_what_is_kept_is_told_after_an_interruption(table, tmp_path, monkeypatch, capsys):
    def stopped(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(gsdyn.diagnosis, "diagnose", stopped)
    words = (table, "--label", "died", "--out", tmp_path / "r.json")
    assert run(*words) == 130
    assert capsys.readouterr().err.endswith("gsdyn: error: interrupted, nothing was written\n")
    assert run(*words, "--keep", tmp_path) == 130
    assert capsys.readouterr().err.endswith(f"interrupted: the same command goes on from what is in {tmp_path}\n")


def test_the_exit_code_says_whether_what_was_feared_was_found(table, tmp_path, asked):
    words = (table, "--label", "died", "--out", tmp_path / "r.json", "--fail-on", "shortcut")
    assert run(*words) == 3
    asked["kind"] = "no shortcut"
    assert run(*words) == 0


def test_embeddings_kernels_and_networks(table, tmp_path, asked):
    emb, kernel = np.random.default_rng(0).normal(size=(N, 3)), np.arange(36.0).reshape(N, N)
    np.save(tmp_path / "emb.npy", emb)
    np.save(tmp_path / "K.npy", kernel)
    words = (table, "--label", "died", "--out", tmp_path / "r.json")
    run(*words, "--features", tmp_path / "emb.npy")
    np.testing.assert_array_equal(asked["x"], emb[:4])
    np.testing.assert_array_equal(asked["test"].x, emb[4:])
    assert asked["network"] == Linear()
    run(*words, "--features", tmp_path / "emb.npy", "--network", "rbf")
    assert asked["network"] == RBF.of(emb[:4])
    run(*words, "--kernel", tmp_path / "K.npy")
    assert asked["x"] is None
    assert asked["network"] is None
    np.testing.assert_array_equal(asked["kernel"], kernel[:4, :4])
    np.testing.assert_array_equal(asked["test"].kernel, kernel[4:, :4])


def test_images_go_to_networks_in_the_shape_they_take(tmp_path, asked):
    images = np.random.default_rng(0).uniform(size=(N, 4, 4))
    np.savez(tmp_path / "images.npz", x=images, y=[0, 1] * 3, colour=[1, 2] * 3)
    words = (tmp_path / "images.npz", "--attributes", "colour", "--out", tmp_path / "r.json")
    for network, shape in (("relu:3", (N, 4, 4)), ("rbf", (N, 16)), ("conv:1:4", (N, 4, 4, 1))):
        run(*words, "--network", network)
        assert asked["x"].shape == shape
    run("--demo", "--out", tmp_path / "r.json")
    assert asked["x"].shape[1:] == (8, 8, 2)
    assert set(asked["attributes"]["colour"]) == {"red", "green"}
    assert len(asked["test"].y) == len(asked["test"].attributes["colour"])


BAD = {
    "data must be a file or folder, or --demo in its place, got neither": [],
    "data must be a file or folder, or --demo in its place, got both": ["DATA", "--demo"],
    "path must be a folder, an npz file or a table": ["/dev/null"],
    "data must be a file or folder that there is, got nothing.csv": ["nothing.csv"],
    "must have a column 'y', got age, place, died, split: label (--label) says which": ["DATA"],
    "must have a column 'hospital'": ["DATA", "--label", "died", "--attributes", "place,hospital"],
    "out must be a file ending in .html, .json or .zarr, got r.pdf": ["DATA", "--label", "died", "--out", "r.pdf"],
    "network must begin with one of relu": ["DATA", "--label", "died", "--network", "resnet"],
    "--features-test must come with --features": ["DATA", "--features-test", "DATA"],
    "--test must come with --kernel-test": ["DATA", "--kernel", "DATA", "--test", "DATA"],
    "--network must be left out with --kernel": ["DATA", "--kernel", "DATA", "--network", "relu"],
    "--train must be left out with --kernel": ["DATA", "--kernel", "DATA", "--train"],
    "for inputs of shape (3,)": ["DATA", "--label", "died", "--network", "conv"],
    "must be at least 1": ["DATA", "--label", "died", "--leading", "0"],
    "invalid choice 'maybe'": ["DATA", "--select", "maybe"],
}


@pytest.mark.parametrize("told", BAD)
def test_bad_input_is_one_line_and_nothing_is_written(told, table, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    words = [str(table) if word == "DATA" else word for word in BAD[told]]
    try:
        code = main(["diagnose", *words])
    except SystemExit as stop:
        code = stop.code
    error = capsys.readouterr().err
    assert code == 2
    assert told in error
    assert error.count("\n") == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["data.csv"]


@pytest.mark.slow
def test_the_demonstration_finds_the_colour(tmp_path, capsys):
    assert main(["diagnose", "--demo", "--out", str(tmp_path / "r.zarr"), "--fail-on", "shortcut"]) == 3
    told = capsys.readouterr().out
    assert told.startswith("Verdict: shortcut.\n- 'colour' is a shortcut")
    report = Report.load(tmp_path / "r.zarr")
    assert report.verdict.shortcuts[0]["attribute"] == "colour"
    assert {"lazy_outputs_apart", "lazy_until"} <= set(report.dataset)
    assert report.dataset.attrs["lazy"] == report.verdict.sentences[-1]
