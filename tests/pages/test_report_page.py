"""The report's page as text: whole, of bearable size, nothing from outside, no word of the data read as HTML."""

import base64
import io
import re

import matplotlib.image
import numpy as np
import pytest
import xarray as xr
from _dataset import dataset, verdict, with_network

from gsdyn.plotting import report_page
from gsdyn.plotting.pages import tables
from gsdyn.plotting.pages.pictures import image_shape

OUTSIDE = re.compile(r"""(?:src|href|action)\s*=\s*["']?(?!data:)[a-z]+:|url\(\s*["']?(?!data:)[a-z]+:|@import""", re.I)


def own(page: str) -> str:
    """A page without the script of Bokeh itself."""
    return re.sub(r"<script>\s*/\* BEGIN bokeh.*?</script>", "", page, flags=re.DOTALL)


def test_a_report_is_whole_and_loads_nothing():
    page = report_page(dataset(), verdict())
    assert page.startswith("<!doctype html>")
    assert page.endswith("</html>\n")
    mine = own(page)
    assert len(mine) < 500_000 < len(page)  # Bokeh is in it
    assert not OUTSIDE.search(mine)
    assert "A shortcut was found" in mine
    for title in ("Features", "Ties to the attributes", "Without a strong feature", "How far to trust it"):
        assert f"<h2>{title}</h2>" in mine


def test_the_largest_report_stays_below_eight_megabytes():
    given = dataset(attributes=("a", "b", "c", "d"), shape=(64, 64, 3), features=40, times=64)
    assert len(report_page(given, verdict()).encode()) < 8e6


def test_a_report_of_before_has_a_page():
    later = [f"{name}_switch" for name in ("elasticity", "starves", "few_error")]
    assert "since a switch" not in report_page(dataset().drop_vars(later), verdict()).split("How far to trust it")[1]


def test_words_of_the_data_are_never_html():
    evil = "</script><img src=x onerror=alert(1)>"
    given = dataset(attributes=(evil, "'\"&"))
    given.attrs["notes"] = f'["{evil}"]'
    given.attrs["kernel"] = evil
    page = own(report_page(given, verdict(sentences=(evil, evil))))
    assert "<img src=x" not in page
    assert page.count("</script>") == page.count("<script")


@pytest.mark.parametrize(
    ("kind", "told"),
    [("shortcut", "A shortcut was found"), ("no shortcut", "No shortcut was found"), ("undecided", "Undecided")],
)
def test_every_verdict_has_its_words(kind, told):
    assert told in report_page(dataset(attributes=(), shape=None, removed=()), verdict(kind))


def test_what_is_not_known_is_a_dash():
    given = dataset(features=1)
    lost = given.map(lambda column: column * np.nan if column.dtype == float else column, keep_attrs=True)
    page = report_page(lost.assign_coords(given.coords), verdict())
    text = re.sub(r"<script.*?</script>", "", page, flags=re.DOTALL)
    assert "–" in text
    assert not re.search(r"\bnan\b", text, re.I)


def test_what_was_measured_of_the_network_has_its_sections():
    plain = own(report_page(dataset(), verdict()))
    assert "How lazy" not in plain
    assert "Trained beside predicted" not in plain
    given = with_network(dataset())
    page = own(report_page(given, verdict()))
    for words in ("How lazy the network is", "The kernel &lt;moves&gt; little.", "Trained (3 seeds): &lt;well&gt;."):
        assert words in page
    change = f"{100 * float(given['lazy_kernel_change'][2]):.1f}%"
    mean = given["trained_accuracy"].mean("trained_seed").sel(trained_split="test", trained_setting="suggested")
    end = f"{100 * float(mean.isel(trained_scale=1, group=3, trained_record=-1)):.1f}%"
    for value in (change, end):
        assert f"<td>{value}</td>" in page
    lost = given.drop_dims(["trained_setting"]).drop_attrs(deep=False).assign_attrs(given.attrs)
    only = own(report_page(lost, verdict()))
    assert "How lazy the network is" in only
    assert "Trained beside predicted" not in only


@pytest.mark.parametrize(
    ("shape", "names", "expected"),
    [
        ([6, 5], "pixel", (6, 5, 1)), ([6, 5, 3], "pixel", (6, 5, 3)), ([2, 6, 5], "pixel", (6, 5, -2)),
        ([64], "pixel", (8, 8, -1)), ([64], "column", None), ([65], "pixel", None), ([16], "pixel", None),
        ([128], "pixel", (8, 8, -2)), ([2, 3, 4, 5], "pixel", None),
    ],
)  # fmt: skip
def test_images_are_known_by_their_shape(shape, names, expected):
    size = int(np.prod(shape))
    given = xr.Dataset(
        coords={"input": np.arange(size), "input_name": ("input", [f"{names} {i}" for i in range(size)])},
        attrs={"input_shape": str(shape)},
    )
    assert image_shape(given) == expected


def test_pictures_of_directions_are_upright_with_their_channels_side_by_side():
    given = dataset(shape=(6, 5, 2), features=1)
    values = np.zeros((6, 5, 2))
    values[0, 4, 0], values[5, 0, 1] = 1.0, -1.0  # first channel: top right; second: bottom left
    given["direction"][0] = values.ravel()
    code = re.search(r"data:image/png;base64,([^\"]+)", own(report_page(given, verdict())))
    assert code is not None
    pixels = matplotlib.image.imread(io.BytesIO(base64.b64decode(code[1])))
    assert pixels.shape == (6, 11, 4)
    brightness = pixels[..., :3].sum(axis=2)
    changed = {tuple(at) for at in np.argwhere((brightness < 2) & (pixels[..., 3] > 0)).tolist()}
    assert changed == {(0, 4), (5, 6)}
    assert pixels[0, 4, 2] > pixels[0, 4, 0]  # purple for more
    assert pixels[5, 6, 0] > pixels[5, 6, 2]  # orange for less


def test_starvations_that_cost_most_come_first_and_small_features_are_not_told_of():
    given = dataset(features=4, removed=(2,))
    E, sure = given["elasticity_decay"], given["starves_decay"]
    E[0], sure[0] = 0.1, False
    for (j, i), value in {(0, 1): -0.2, (2, 3): -0.9, (3, 0): -0.3}.items():
        E[0, j, i], sure[0, j, i] = value, True
    given["response_decay"][0] = [8.0, 1.0, 0.01, -4.0]  # lost for one percent: 1.6, 0.009 and 1.2
    rows = [row.split("</td><td>") for row in tables.starving(given).split("<tr><td>")[1:]]
    assert [row[:2] for row in rows] == [
        ["feature 2", "feature 1"],
        ["feature 1", "feature 4"],
        ["feature 4", "feature 3"],
    ]
    assert rows[0][2:] == ["8", "0.2%</td></tr>"]
    given["large"][:] = [True, True, False, True]
    given["response_gain"][0] = [0.5, 9.0, 99.0, 2.0]
    told = [row.split("</td><td>")[1:3] for row in tables.without(given).split("<tr><td>")[1:]]
    assert told == [["feature 4", "2 times"], ["feature 1", "0.5 times"]]
