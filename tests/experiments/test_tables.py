"""Tables of experiments: rows, columns, means and spreads, and the papers' numbers in their places."""

import math
import statistics

import numpy as np
import xarray as xr

from gsdyn.experiments import _c18_tables as c18
from gsdyn.experiments import _later_tables as later
from gsdyn.experiments import _p21_tables as p21
from gsdyn.experiments._tables import csv_of, markdown_of, over_seeds, tabulated
from gsdyn.experiments.catalogue import Table

RANDOM = np.random.default_rng(0)


def made(coords, variables, **attrs):
    """A dataset of made-up numbers along axes with these coordinates."""
    values = {
        name: (over, RANDOM.uniform(0.1, 0.9, [len(coords[k]) for k in over])) for name, over in variables.items()
    }
    return xr.Dataset(values, coords=coords, attrs=attrs)


def test_a_row_for_every_place_and_a_spread_over_seeds():
    values = xr.DataArray([[[1.0, 3.0], [2.0, math.nan]], [[math.nan] * 2] * 2], dims=("a", "some_axis", "seed"),
                          coords={"a": ["x", "y"], "some_axis": [0.5, 1.0], "seed": [0, 1]})  # fmt: skip
    kept = xr.DataArray([True, False], dims="some_axis", coords={"some_axis": [0.5, 1.0]})
    table = tabulated(("a", "some_axis"), {"value": values, "kept": kept.where(kept)})
    assert table.columns == ("a", "some axis", "value", "value sd", "kept")
    assert csv_of(table).splitlines()[1:] == [
        f"x,0.5,2.0,{statistics.stdev([1, 3])},1.0", "x,1.0,2.0,,", "y,0.5,,,1.0",
    ]  # fmt: skip
    assert all(map(math.isnan, over_seeds(values[1, 0])))


def test_whole_numbers_keep_their_digits():
    rows = [(10_000.0, 12_345.6, math.nan, 1.0, -0.25)]
    assert markdown_of(Table(tuple("abcde"), rows)).splitlines()[-1] == "| 10000 | 1.235e+04 |  | 1 | -0.25 |"


def test_a_bar_in_a_word_is_no_end_of_a_cell():
    assert markdown_of(Table(("|z|",), [("a|b",)])) == "| \\|z\\| |\n| --- |\n| a\\|b |\n"


def test_table_1_is_the_papers():
    """91%, 71%, 61%, 51% and 99%, 86%, 72%, 52%, of the first start alone."""
    coords = {"start": ["b0 = q a0", "b0 = a0"], "table_eps": [0.01, 0.0001], "fraction": [0.5, 0.2, 0.1, 0.01]}
    over = ("start", "fraction", "table_eps")
    table = c18.table_rare_feature(
        made(coords, dict.fromkeys(("table_bound", "table_integrated", "table_trained"), over))
    )
    printed = [row[-1] for row in table.rows]
    assert printed[:8] == [0.91, 0.71, 0.61, 0.51, 0.99, 0.86, 0.72, 0.52]
    assert len(printed) == 16
    assert all(map(math.isnan, printed[8:]))


def test_the_phase_plane_is_counted():
    coords = {"y0": [0.0, 1.0], "z0": [0.0, 1.0, 2.0], "curve": [1, 2], "path": [1], "time": [0.0, 1.0]}
    names = {name + end: ("curve" if name in ("y_curve", "confidence") else "path", "time")
             for name in ("y_curve", "confidence", "y", "z") for end in ("", "_trained")}  # fmt: skip
    dataset = made(coords, names)
    dataset["outcome"] = (("y0", "z0"), [[0, 0, 1], [3, 3, 3]])
    dataset["outcome_trained"] = (("y0", "z0"), [[0, 1, 0], [3, 3, 2]])
    table = c18.table_phase_plane(dataset)
    assert table.rows[:4] == [("starts: solves", 2, 2, 2), ("starts: dies", 1, 1, 2), ("starts: decays", 0, 1, 1),
                              ("starts: frozen", 3, 2, 1)]  # fmt: skip
    name, theory, trained, apart = table.rows[-1]
    assert name == "z of the last path, end"
    assert (theory, trained) == (float(dataset["z"][0, 1]), float(dataset["z_trained"][0, 1]))
    assert apart == float(np.abs(dataset["z"].values - dataset["z_trained"].values).max())


def test_ends_of_the_authors_page_stand_beside_the_primal_flow():
    coords = {"method": ["primal", "dual"], "s1": [2.0, 3.0, 4.0], "feature": [1, 2]}
    over = ("method", "s1")
    dataset = made(coords, {"end": (*over, "feature"), "distance": over, "trained_error": over})
    table = p21.table_theory_in_one_figure(dataset)
    assert [row[-2:] for row in table.rows[:3:2]] == [(6.11, 1.64), (7.82, 1.45)]
    assert all(map(math.isnan, (cell for row in (table.rows[1], *table.rows[3:]) for cell in row[-2:])))


def test_published_numbers_of_later_papers_stand_in_their_rows():
    dataset = made(
        {"loss": ["cross-entropy", "spectral decoupling"], "problem": [0.3, 1.2], "seed": [0, 1], "ratio": [0.3, 2.0],
         "time": [1.0, 1000.0]},
        {"optimum": ("seed", "ratio"), "separated": ("loss", "problem", "seed"),
         "path": ("loss", "problem", "seed", "time")},
        published_ratio=[0.3, 1.2], published=[0.4, 0.397],
    )  # fmt: skip
    rows = later.table_perception(dataset).rows
    known = {row[:3]: row[-1] for row in rows if not math.isnan(row[-1])}
    whens = ("all training examples right", "t = 1000")
    assert known == {(loss, ratio, when): value for when in whens for loss, ratio, value in
                     (("cross-entropy", 0.3, 0.4), ("spectral decoupling", 1.2, 0.397))}  # fmt: skip
    assert len(rows) == 2 + 2 * 2 * 2
    skew = later.table_geometric_skew(
        made({"data": ["a"], "seed": [0, 1], "minority": [0.5, 0.1, 0.01]},
             {**dict.fromkeys(("share", "norm", "norm_minority"), ("data", "seed", "minority")), "norm_all": ("data",)},
             published=[0.1, 0.2])
    )  # fmt: skip
    np.testing.assert_array_equal([row[-1] for row in skew.rows], [0.1, math.nan, 0.2])
