"""Coloured digits: the authors' schedule in NumPy, what is measured, Adam's clock, the choice, tables and figures."""

import csv
import dataclasses
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import xarray as xr

import gsdyn as gs
from gsdyn._numerics.precision import full_precision
from gsdyn.experiments import _colour_nets as nets
from gsdyn.experiments import _colour_runs as runs_of
from gsdyn.experiments._colour_choice import CANDIDATES, RULES, _value
from gsdyn.experiments._colour_clock import adams_clock, fitted_unit, on_steps
from gsdyn.experiments._colour_kernel import AFTER, BEFORE, Path, _bands, accuracies
from gsdyn.experiments._colour_tables import table_colour_digits, table_colour_probe
from gsdyn.experiments._colour_wide import END, KERNELS, SWITCH, beside, schedule, times
from gsdyn.experiments._tables import csv_of, markdown_of
from gsdyn.experiments.catalogue import Table
from gsdyn.experiments.colour_digits import CHOICES, colour_digits
from gsdyn.experiments.colour_probe import VARIANTS, colour_probe
from gsdyn.plotting.colour_digits import draw_colour_digits
from gsdyn.plotting.colour_probe import draw_colour_probe

TASK = runs_of.Task("digits", 100, 40, 1, None)
SMALL = {"source": "digits", "train": 60, "test": 60, "pace": 100}


def network_loss(layers, x, y, weight, factor):
    """What P21's code minimises, in NumPy."""
    for i, (w, b) in enumerate(layers):
        x = (np.maximum(x, 0) if i else x) @ w + b
    f = x[:, 0]
    return factor * (np.mean(np.logaddexp(0, -y * f)) + weight * np.mean(f**2))


@full_precision
def test_spectral_decoupling_is_switched_on_as_in_the_authors_code():
    setting = dataclasses.replace(nets.AUTHORS["SD"], hidden=6)
    rule, data = setting.rule(), TASK.data(0)
    params = nets.start(jax.random.key(0), data.train.x.shape[1], 6)
    wide = [(np.asarray(w, float), np.asarray(b, float)) for w, b in params]
    x, y = np.asarray(data.train.x), np.asarray(data.train.y)
    batch = (runs_of.single(x), runs_of.single(y))
    for done, expected in ((449, (0.0, 1.0)), (450, (1.0, 2e-5))):
        memory = rule.remembered(params, jnp.asarray(done), batch)
        np.testing.assert_allclose(rule.value(params, memory, batch), network_loss(wide, x, y, *expected), rtol=2e-6)


def test_the_start_is_xaviers():
    layers = nets.start(jax.random.key(1), 128, 300)
    assert [layer.weight.shape for layer in layers] == [(128, 300), (300, 300), (300, 1)]
    for weight, bias in layers:
        bound = math.sqrt(6 / sum(weight.shape))
        assert bound * 0.95 < float(jnp.abs(weight).max()) <= bound
        assert not bias.any()
    assert {weight.dtype for weight, _ in layers} == {np.dtype("float32")}


@full_precision
def test_what_is_measured_is_what_a_loop_over_the_images_finds():
    data = TASK.data(3, hold_out=True)
    assert [len(part.y) for part in data] == [80, 20, 40]
    params = nets.start(jax.random.key(2), 128, 20)
    for gray in (False, True):
        layers = [nets.Dense(params[0].weight[:64], params[0].bias), *params[1:]] if gray else params
        measured = np.asarray(runs_of.looks_of(data, gray)(layers))
        row = 0
        for part in data:
            x = np.asarray(part.gray if gray else part.x, np.float32)
            f = np.asarray(nets.logits(layers, jnp.asarray(x)), float)
            y, b = np.asarray(part.y), np.asarray(part.colour)
            for chosen in (y == y, b == y, b != y):
                p = 1 / (1 + np.exp(-f[chosen]))
                entropy = -(p * np.log(p) + (1 - p) * np.log(1 - p))
                expected = (y[chosen] * f[chosen] > 0, np.logaddexp(0, -y[chosen] * f[chosen]), entropy, f[chosen] ** 2)
                np.testing.assert_allclose(measured[:, row], [np.mean(v) for v in expected], rtol=1e-5)
                row += 1
        images = np.asarray(data.test.gray)
        blank = np.full_like(images, images.mean())
        second = (np.asarray(data.test.colour) > 0)[:, None]
        for variant in ([images / 2] * 2, [blank / 2] * 2, [np.where(second, 0, blank), np.where(second, blank, 0)]):
            x = variant[0] + variant[1] if gray else np.concatenate(variant, axis=1)
            f = np.asarray(nets.logits(layers, runs_of.single(x)), float)
            right = np.mean(np.asarray(data.test.y) * f > 0)
            np.testing.assert_allclose(measured[0, row], right, rtol=1e-5)
            row += 1


def test_records_hold_what_tables_need():
    steps = runs_of.record_steps(2001, 450)
    assert {0, 450, 451, 501, 1001, 2001} <= set(steps.tolist())
    assert (np.diff(steps) > 0).all()
    assert runs_of.record_steps(20, 4)[-1] == 20


def test_adams_clock_is_adam_with_gradients_that_its_second_moments_do_not_see():
    """Adam in NumPy: random gradients, then a constant one, 2e-5 times as large."""
    rng, switch = np.random.default_rng(0), 450
    m = v = 0.0
    moved = []
    for t in range(1, 2002):
        g = rng.choice([-1.0, 1.0]) if t <= switch else 2e-5
        m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g * g
        if t > switch:
            moved.append(m / (1 - 0.9**t) / (math.sqrt(v / (1 - 0.999**t)) + 1e-8))
    moved = np.array(moved)
    clock = adams_clock(np.arange(switch + 1, 2002), switch)
    later = slice(300, None)  # what momentum remembers of the old gradients is gone
    ratio = moved[later] / np.diff(clock, prepend=0)[later]
    np.testing.assert_allclose(ratio, ratio[0], rtol=1e-2)


def made_up_path(seed):
    rise = np.interp(np.log(AFTER), np.log([1e-4, 1e-2, 1.0, 100.0]), [0.2, 0.6, 0.5, 0.25])
    before = np.linspace(0.1, 0.2, len(BEFORE))
    six = np.full(6, 0.2)
    return Path(
        np.asarray(40.0 + seed), np.tile(before[:, None], 6), 0.7 * BEFORE**-0.1, np.tile(rise[:, None], 6), six
    )


def test_the_kernels_curve_is_found_again_on_the_networks_steps():
    path, unit, switch = made_up_path(0), 3e-5, 450
    steps = runs_of.record_steps(2001, switch)
    loss = np.interp(steps, [0, switch, 2001], [path.before_loss[0], path.before_loss[-1], 0.3])
    on = on_steps(path, steps, loss, switch, unit)
    assert on.shape == (len(steps), 6)
    later = steps > switch
    times = unit * adams_clock(steps[later], switch)
    known = times > AFTER[0]
    expected = np.interp(np.log(times), np.log(AFTER), path.after[:, 0])
    np.testing.assert_allclose(on[later, 0][known], expected[known], rtol=1e-12)
    np.testing.assert_allclose(on[steps == switch, 0], 0.2, rtol=1e-6)
    assert fitted_unit([path], 3, steps[later], on[later, 3], switch) == pytest.approx(unit, rel=0.02)


def test_accuracies_by_group():
    data = TASK.data(1)
    rng = np.random.default_rng(0)
    train, test = (rng.normal(size=(2, len(part.y))) for part in (data.train, data.test))
    found = accuracies(data, train, test)
    y, b = np.asarray(data.test.y), np.asarray(data.test.colour)
    expected = [np.mean(test[1] > 0), np.mean(test[1][y == b] > 0), np.mean(test[1][y != b] > 0)]
    np.testing.assert_allclose(found[1, 3:], expected)


@pytest.mark.parametrize(("colour", "count"), [(0, 400), (1, 400), (5, 30), (1, 4)])
def test_bands_hold_every_feature_once(colour, count):
    names, members = _bands(colour, count)
    assert members[0].tolist() == [colour]
    assert sorted(np.concatenate(members).tolist()) == list(range(count))
    assert len(set(names)) == len(names)


def test_rules_of_choice_see_held_out_images_alone():
    accuracy = np.random.default_rng(0).random((5, len(runs_of.ROWS)))
    held = accuracy[:, [runs_of.ROWS.index(f"held-out, {g}") for g in ("all", "aligned", "conflicting")]]
    np.testing.assert_array_equal(_value(RULES[0], accuracy), held[:, 0])
    np.testing.assert_array_equal(_value(RULES[1], accuracy), held[:, 1:].min(axis=1))
    assert all(settings[0].method == name for name, settings in CANDIDATES.items())


def test_a_method_is_judged_where_it_is_at_work():
    steps, values = np.array([0, 50, 450, 2001]), np.array([0.9, np.nan, 0.3, 0.2])
    assert TASK.best(nets.AUTHORS["SD"], steps, values) == 2
    assert TASK.best(nets.AUTHORS["ERM"], steps, np.array([0.9, 0.8, 0.3, 0.2])) == 1
    assert runs_of.Task("digits", 100, 40, 10, None).best(nets.AUTHORS["SD"], steps // 10, values[::-1]) == 3


def test_wide_networks_take_whole_steps_to_the_switch():
    stretches = schedule(50.0, SWITCH, END)
    ts = times(stretches)
    assert ts[len(stretches[0].steps) - 1] == pytest.approx(SWITCH)
    assert ts[-1] == pytest.approx(SWITCH + END, rel=1e-2)
    assert all(stretch.rate * 50 <= 2 for stretch in stretches)


TABLE = Table(("name", "value"), [("a", 0.1234567), ("b, c", math.nan)])


def test_tables_as_csv_and_markdown():
    assert list(csv.reader(csv_of(TABLE).splitlines())) == [["name", "value"], ["a", "0.1234567"], ["b, c", ""]]
    assert markdown_of(TABLE).splitlines() == ["| name | value |", "| --- | --- |", "| a | 0.1235 |", "| b, c |  |"]


def made_up(seeds=2):
    """A dataset of the experiment's form with made-up values."""
    rng, steps = np.random.default_rng(0), np.array([0, 25, 450, 1001, 2001])
    rows = ("train, all", "train, aligned", "train, conflicting", "test, all", "test, aligned", "test, conflicting")
    sizes = {"run": len(nets.AUTHORS), "seed": seeds, "step": 5, "row": len(runs_of.ROWS), "choice": len(CHOICES),
             "kernel_row": 6, "time": len(AFTER), "band": 3, "scale": 2, "kernel": 2,
             "wide_time": 40}  # fmt: skip
    dims = {"accuracy": "run seed step row", "result": "run choice seed row", "stop": "run choice seed",
            "weight": "run choice seed", "switch": "run choice seed", "predicted": "seed step kernel_row",
            "flow": "seed time kernel_row", "end": "seed kernel_row", "left": "band time", "part": "band time",
            "wide_flow": "kernel wide_time kernel_row", "wide_network": "scale wide_time kernel_row"}  # fmt: skip
    variables = {n: (d.split(), rng.uniform(0.1, 0.9, [sizes[k] for k in d.split()])) for n, d in dims.items()}
    dataset = xr.Dataset(
        variables,
        coords={"run": list(nets.AUTHORS), "seed": np.arange(seeds), "step": steps, "row": list(runs_of.ROWS),
                "choice": list(CHOICES), "kernel_row": list(rows), "time": AFTER, "scale": [1.0, 3.0],
                "kernel": list(KERNELS),
                "band": ["the colour (2)", "1-10", "11-30"], "wide_time": np.geomspace(1e-3, 8, 40)},
        attrs={"data": "made up", "wide": "5 images", "switch_step": 450, "last_time": 0.04},
    )  # fmt: skip
    for variable in dataset.variables.values():
        variable.attrs = {"long_name": "name", "units": "1"}
    return dataset


def test_the_table_has_means_spreads_and_the_papers_numbers():
    dataset = made_up()
    dataset["stop"][:, 2:, 1:] = np.nan  # settings were chosen for the first seed alone
    table = table_colour_digits(dataset)
    rows = {row[:2]: dict(zip(table.columns, row, strict=True)) for row in table.rows}
    sd = rows["SD", "authors"]
    part = dataset["result"].sel(run="SD", choice="authors", row="test, all").values
    assert (sd["seeds"], sd["paper train"], sd["paper test"]) == (2, 0.700, 0.684)
    assert sd["test"] == pytest.approx(part.mean())
    assert sd["test sd"] == pytest.approx(abs(part[0] - part[1]) / math.sqrt(2))
    one = rows["IRM", RULES[1]]
    assert one["seeds"] == 1
    assert math.isnan(one["test sd"])
    assert rows["SD, kernel flow", "end, least squares"]["test"] == pytest.approx(dataset["end"][:, 3].mean())
    assert len(csv_of(table).splitlines()) == len(table.rows) + 1


@pytest.mark.parametrize("seeds", [1, 2])
def test_the_figure_shows_all_of_it(seeds):
    figure = draw_colour_digits(made_up(seeds))
    assert [axes.get_title(loc="left")[:3] for axes in figure.axes] == ["(a)", "(b)", "(c)", "(d)", "(e)"]
    told = {text.get_text() for text in figure.axes[0].get_legend().get_texts()}
    assert told == {*nets.AUTHORS, "SD by the kernel flow"}
    assert figure.axes[2].texts[0].get_text() == "the colour (2)"


def test_probe_table_and_figure():
    rng = np.random.default_rng(0)
    shape = (len(nets.AUTHORS), 2, 4)
    dataset = xr.Dataset(
        {name: (("run", "seed", "variant"), rng.uniform(0.1, 0.6, shape)) for name in ("accuracy", "entropy")},
        coords={"run": list(nets.AUTHORS), "seed": [0, 1], "variant": list(VARIANTS)},
        attrs={"data": "made up"},
    )
    for variable in dataset.variables.values():
        variable.attrs = {"long_name": "name", "units": "1"}
    table = table_colour_probe(dataset)
    found = next(row for row in table.rows if row[:2] == ("SD", "colour blank"))
    assert found[-2:] == (0.094, 0.41)
    assert found[3] == pytest.approx(float(dataset["accuracy"].sel(run="SD", variant="colour blank").mean()))
    assert len(draw_colour_probe(dataset).axes) == 2


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"seeds": 0}, "seeds must be at least 1, got 0"),
        ({"source": "cats"}, "source must be one of mnist, digits, got 'cats'"),
        ({"pace": 0}, "pace must be at least 1, got 0"),
        ({"choice_seeds": -1}, "choice_seeds must be at least 0, got -1"),
        ({"wide_examples": 1}, "wide_examples must be at least 2, got 1"),
    ],
)
def test_bad_input(change, message):
    with pytest.raises(ValueError, match=message):
        colour_digits(**{**SMALL, **change})


@pytest.mark.slow
def test_a_tiny_experiment_is_whole_and_goes_on_where_it_was(tmp_path, monkeypatch):
    options = {**SMALL, "seeds": 1, "choice_seeds": 1, "wide_examples": 20, "wide_width": 16, "runs": tmp_path}
    first = colour_digits(**options)
    assert np.isfinite(first["result"].sel(choice="authors", row="test, all")).all()
    assert np.isfinite(first["result"].sel(run="IRM", choice=RULES[0], row="test, all")).all()
    assert first.attrs["data"].startswith("scikit-learn's 1,797 digits")
    assert first["left"].max() <= 1 + 1e-6
    monkeypatch.setattr(runs_of, "_descend", None)
    xr.testing.assert_identical(colour_digits(**options), first)
    probe = colour_probe(**SMALL, seeds=1, runs=tmp_path)
    at = first["result"].sel(choice="authors", row="test, all").values
    np.testing.assert_allclose(probe["accuracy"].sel(variant="colour digit").values, at)
    draw_colour_digits(first)
    table_colour_digits(first)


@pytest.mark.slow
def test_a_wide_network_follows_the_kernel_flow():
    """Width 1,024, NTK parameterisation, plain gradient descent, the same schedule: within three points all the way."""
    task = runs_of.Task("digits", 100, 1000, 1, None)
    found = beside(task, 100, 1024)
    infinite, start = found.kernel[:, :, 3]
    usual, lazy = found.network[:, :, 3]
    assert abs(lazy - start).max() < 0.03
    assert abs(lazy - infinite).max() < 0.06  # what a kernel of this width is off by at the start
    assert abs(usual - start).max() > abs(lazy - start).max()
    assert start.max() > start[-1] + 0.1


def test_public_names():
    assert gs.experiments.catalogue.ColourDigits().options()["seeds"] == 10
