"""Pages in a real browser: sliders move curves, values are gsdyn's, nothing comes from outside, nobody complains."""

import asyncio
import dataclasses
import json
import queue
import threading
from types import SimpleNamespace
from urllib.parse import urlsplit

import numpy as np
import pytest
from _browser import CHROMIUM, Browser
from _dataset import dataset, verdict, with_all, with_network
from tornado.ioloop import IOLoop

from gsdyn.diagnosis import Report, Verdict
from gsdyn.explore import serve, two_features, two_moons
from gsdyn.plotting import report_page
from gsdyn.plotting.pages import tables

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no chromium here to open pages in")


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    found = Browser(tmp_path_factory.mktemp("profile"))
    yield found
    found.close()


@pytest.fixture(scope="module")
def report():
    return with_network(dataset(attributes=("colour", "<b>site"), shape=(6, 5)))


@pytest.fixture(scope="module")
def page(browser, report, tmp_path_factory):
    path = tmp_path_factory.mktemp("report") / "report.html"
    path.write_text(report_page(report, verdict()))
    return browser.open(path.as_uri())


@pytest.fixture(scope="module")
def address(report, tmp_path_factory):
    """The pages of `gsdyn explore`, served by a thread: what it compiles, tests of values have too."""
    told = queue.Queue()
    words = Verdict("shortcut", ("'colour' is a shortcut.",))
    kept = report.assign_attrs(verdict=json.dumps(words.as_dict()))
    saved = Report(kept, words).save(tmp_path_factory.mktemp("saved") / "report.zarr")

    def run():
        asyncio.set_event_loop(asyncio.new_event_loop())
        serve(0, browse=False, report=saved, ready=lambda address: told.put((address, IOLoop.current())))

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    address, loop = told.get(timeout=300)
    yield address
    loop.add_callback(loop.stop)
    thread.join(30)
    assert not thread.is_alive()


def quiet(page, *, host=None):
    """Nothing was complained about, and all that was asked for lies in the file, or at the host."""
    assert not page.complaints
    places = {
        urlsplit(request).netloc for request in page.requests if not request.startswith(("data:", "file:", "about:"))
    }
    assert places <= {host}


def close(shown, expected):
    """What the browser has in single precision."""
    shown = np.array([np.nan if value is None else value for value in shown], float)
    np.testing.assert_allclose(shown, expected, rtol=1e-6, atol=1e-6)


def check(page, report, path, where, split, attribute):
    """Every figure shows the report's numbers at that place of its grids."""
    at = report.isel(where)
    close(page.column("responses_source", "z"), at[f"response_{path}"])
    here = [g for g, name in enumerate(report["group_attribute"].values) if name in ("", attribute)]
    seen = at.sel(split=split).isel(group=here)
    assert [name.rsplit(" (", 1)[0] for name in page.column("group_bars_source", "group")] == list(
        seen["group_name"].values
    )
    for column, part in (("accuracy", ""), ("low", "_low"), ("high", "_high")):
        close(page.column("group_bars_source", column), seen[f"accuracy_{path}{part}"])
    gap = at[f"gap_{path}"].sel(attribute=attribute)
    carried = float(gap.sel(split="train" if split == "held-out" else split))
    close([page.column("waterfall_source", "top")[-1], sum(page.column("waterfall_source", "value")[:-1])], carried)
    matrix = np.full((report.sizes["feature"],) * 2, np.nan)
    marks = np.zeros_like(matrix, bool)
    other = ~np.eye(len(matrix), dtype=bool)
    matrix = np.where(other, at[f"elasticity_{path}"], np.nan)
    marks = at[f"starves_{path}"].values & other
    off = 0.0 if path == "decay" else float(at[f"few_error_{path}"])
    title = page.evaluate(f"{page.model('matrix_title')}.text")
    assert title == f"Who starves whom{': uncertain' if off > report.attrs['holds'] else ''}"
    close(page.column("matrix_source", "value"), matrix.ravel())
    assert [mark == "●" for mark in page.column("matrix_source", "mark")] == list(marks.ravel())
    along = {"switch": "after"}.get(path, path)
    close([page.evaluate(f"{page.model('curves_source')}.data.x[0][{where[along]}]")], float(at[along]))
    cells = seen["group_kind"].values == "cell"
    worst = float(seen[f"accuracy_{path}"].values[cells].min())
    said = page.evaluate(f"{page.model('values')}.text")
    assert f"<td>{100 * worst:.1f}%</td>" in said
    shown = float(said.split("gap of margins</th><td>")[1].split("<")[0])
    np.testing.assert_allclose(shown, float(gap.sel(split=split)), rtol=1e-3)
    assert (f"off by</th><td>{100 * off:.1f}%</td>" in said) == (path != "decay")


def test_the_report_opens_at_the_plain_stop_and_every_slider_moves_it(page, report, tmp_path):
    stop = report.sizes["time"] // 2
    check(page, report, "time", {"time": stop}, "test", "colour")
    page.screenshot(tmp_path / "before.png")
    page.move("time", stop + 3)
    check(page, report, "time", {"time": stop + 3}, "test", "colour")
    page.screenshot(tmp_path / "after.png")
    assert (tmp_path / "before.png").read_bytes() != (tmp_path / "after.png").read_bytes()
    page.move("split_choice", "held-out")
    check(page, report, "time", {"time": stop + 3}, "held-out", "colour")
    page.move("attribute_choice", "<b>site")
    page.move("split_choice", "train")
    check(page, report, "time", {"time": stop + 3}, "train", "<b>site")
    page.evaluate(f"void ({page.model('scenario')}.active = 1)")
    page.move("decay", 4)
    check(page, report, "decay", {"decay": 4}, "train", "<b>site")
    page.evaluate(f"void ({page.model('scenario')}.active = 2)")
    for name, at in (("switched", 1), ("decoupling", 0), ("after", 5)):
        page.move(name, at)
    check(page, report, "switch", {"switch": 1, "decoupling": 0, "after": 5}, "train", "<b>site")
    training_is_beside_what_was_predicted(page, report)
    fits_a_phone(page)
    quiet(page)


def training_is_beside_what_was_predicted(page, report):
    def check_groups(attribute, split, scale):
        seen = report.isel(group=np.isin(report["group_attribute"], ["", attribute])).sel(trained_split=split)
        for setting in ("plain", "suggested"):
            here = seen.sel(trained_setting=setting)
            runs = here["trained_accuracy"].sel(trained_scale=scale)
            for column, values in (("mean", runs.mean("trained_seed")), ("high", runs.max("trained_seed"))):
                expected = values.transpose("group", "trained_record").values.ravel()
                close(page.column(f"trained_points_{setting}_source", column), expected)
            lines = page.evaluate(f"{page.model(f'trained_lines_{setting}_source')}.data.y.map(r => Array.from(r))")
            close(np.ravel(lines), here["trained_predicted"].transpose("group", "trained_record").values.ravel())

    check_groups("colour", "test", 1.0)
    page.move("trained_groups", "<b>site")
    page.move("trained_split", "train")
    page.move("trained_network", "outputs times 30: its kernel hardly moves")
    check_groups("<b>site", "train", 30.0)
    close(page.column("lazy_source", "lazy_kernel_change"), report["lazy_kernel_change"].values)


def test_each_of_several_classes_has_a_section_that_opens(browser, tmp_path, monkeypatch):
    monkeypatch.setattr(tables, "CELLS", 2)
    kinds = {"cat": "no shortcut", "<b>dog": "shortcut", "owl": "undecided"}
    classes = {
        name: SimpleNamespace(dataset=dataset(features=3, seed=i), verdict=verdict(kind, (f"{kind} it is.",)))
        for i, (name, kind) in enumerate(kinds.items())
    }
    path = tmp_path / "report.html"
    whole = with_all(dataset(features=3))
    path.write_text(report_page(whole, verdict(), classes))
    page = browser.open(path.as_uri())
    heads = page.evaluate("Array.from(document.querySelectorAll('details.class > summary')).map(s => s.innerText)")
    assert heads == ["<b>dog against the rest: shortcut", "owl against the rest: undecided",
                     "cat against the rest: no shortcut"]  # fmt: skip
    all_together_are_shown(page, whole)
    of_many_cells_the_largest_are_shown(page, classes["<b>dog"].dataset)
    second = "document.querySelectorAll('details.class')[1]"
    wide = f"Array.from({second}.querySelectorAll('.bk-Figure')).map(f => f.clientWidth)"
    assert page.evaluate(f"{second}.open") is False
    page.evaluate(f"void ({second}.open = true)")
    page.wait(f"({wide}).length === 6 && ({wide}).every(w => w > 100)")
    quiet(page)


def all_together_are_shown(page, whole):
    test = whole.sel(split="test")
    names = [f"{n} ({c})" for n, c in zip(test["all_group_name"].values, test["all_count"].values, strict=True)]
    for along in ("time", "decay"):
        shown = page.column(f"all_{along}_source", "name")
        assert sorted(shown) == sorted(names)
        lines = page.evaluate(f"{page.model(f'all_{along}_source')}.data.y.map(r => Array.from(r))")
        order = [names.index(name) for name in shown]
        close(np.ravel(lines), test[f"all_accuracy_{along}"].transpose("all_group", along).values[order].ravel())
    text = page.evaluate("document.querySelector('main').innerText")
    assert "All classes together" in text
    assert f"{100 * float(whole['all_choice_worst'][0, 0, 2]):.1f}% / " in text
    assert "held-out: worst cell" not in text.split("against the rest")[0]


def of_many_cells_the_largest_are_shown(page, first):
    test = first.sel(split="test")
    own = [g for g, name in enumerate(first["group_attribute"].values) if name in ("", "colour")]
    cells = [g for g in own if first["group_kind"].values[g] == "cell"]
    largest = sorted(cells, key=lambda g: -int(test["count"][g]))[:2]
    shown = [g for g in own if g not in cells or g in largest]
    names = [f"{test['group_name'].values[g]} ({test['count'].values[g]})" for g in shown]
    assert page.column("group_bars_source", "group") == names
    worst = test["accuracy_time"].isel(group=cells, time=first.sizes["time"] // 2).min()
    assert f"<td>{100 * float(worst):.1f}%</td>" in page.evaluate(f"{page.model('values')}.text")
    assert "colour: 2 smaller cells" in page.evaluate("document.querySelector('details.class').innerText")


def fits_a_phone(page):
    """Every figure of the report is drawn, and nothing is wider than a phone."""
    page.resize(390, 844, phone=True)
    page.wait("document.documentElement.scrollWidth <= 390")
    drawn = page.evaluate(
        "Bokeh.documents[0].roots().map(r => Bokeh.index.get_by_id ? Bokeh.index.get_by_id(r.id) : Bokeh.index[r.id])"
        ".filter(v => v && v.canvas_view).length"
    )
    assert drawn == 6


def test_every_page_of_the_explorer(browser, address, report):
    # one test, so that no two processes compile for a server of their own
    moves_of_two_features_are_computed(browser, address)
    moves_of_two_moons_are_computed(browser, address)
    a_saved_report_is_shown(browser, address, report)


def moves_of_two_features_are_computed(browser, address):
    page = browser.open(f"{address}/two-features")
    settings = two_features.Settings()
    for name, value, changed in (
        ("delta", 0.6, {"delta": 0.6}),
        ("time", 0.5, {"time": 10**0.5}),
        ("decoupling", -1.0, {"decoupling": 0.1}),
    ):
        before = page.evaluate(f"{page.model('values')}.text")
        page.move(name, value)
        page.wait(f"{page.model('values')}.text !== {before!r}")
        settings = dataclasses.replace(settings, **changed)
        seen = two_features.view(settings)
        np.testing.assert_allclose(page.column("path_source", "z2"), seen.path.z[:, 1], rtol=1e-13)
        np.testing.assert_allclose(page.column("curve_source", "g21"), seen.curve.matrix[:, 1, 0], rtol=1e-13)
        assert seen.end is not None
        text = page.evaluate(f"{page.model('values')}.text")
        for value_shown in (float(seen.end.z[1]), float(seen.path.matrix[seen.path.now, 1, 0])):
            assert f"{value_shown:.6g}" in text
    quiet(page, host=urlsplit(address).netloc)


def moves_of_two_moons_are_computed(browser, address):
    page = browser.open(f"{address}/two-moons")
    before = page.evaluate(f"{page.model('values')}.text")
    page.move("margin", -0.1)
    page.move("decay", -2.0)
    page.wait(f"{page.model('values')}.text.includes('converged') && {page.model('values')}.text !== {before!r}")
    seen = two_moons.view(two_moons.Settings(margin=-0.1, decay=0.01))
    np.testing.assert_allclose(page.column("time_source", "least"), seen.least_margin, rtol=1e-12)
    shown = page.evaluate(f"Array.from({page.model('picture_source')}.data.outputs[0])")
    np.testing.assert_allclose(shown, seen.outputs.astype(np.float32).ravel())
    assert page.evaluate(f"{page.model('now_source')}.data.x.length") >= 1
    quiet(page, host=urlsplit(address).netloc)


def a_saved_report_is_shown(browser, address, report):
    page = browser.open(f"{address}/report/page")
    assert "'colour' is a shortcut." in page.evaluate("document.body.innerText")
    check(page, report, "time", {"time": report.sizes["time"] // 2}, "test", "colour")
    around = browser.open(f"{address}/report")
    assert around.evaluate("document.querySelector('iframe').getAttribute('src')") == "/report/page"
    for seen in (page, around):
        quiet(seen, host=urlsplit(address).netloc)
