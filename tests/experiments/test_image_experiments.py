"""brightness, celeba and margin: networks, data, what is made of the runs; trainings themselves are slow tests."""

import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image
from scipy.signal import correlate

import gsdyn as gs
from gsdyn._numerics.precision import full_precision
from gsdyn.experiments import _cells as cells_of
from gsdyn.experiments import _data_tables as tables
from gsdyn.experiments import _foolbox as outside
from gsdyn.experiments import _image_nets as nets
from gsdyn.experiments import brightness as bright
from gsdyn.experiments import celeba as worst
from gsdyn.experiments import margin as margins
from gsdyn.experiments.catalogue import Brightness, CelebA, Margin
from gsdyn.plotting.brightness import draw_brightness
from gsdyn.plotting.celeba import draw_celeba
from gsdyn.plotting.margin import draw_margin


def leaky(x):
    return np.where(x > 0, x, 0.01 * x)


@full_precision
def test_networks_are_convolutions_maxima_and_layers():
    net = nets.start(jax.random.key(1), (17, 16, 2))
    assert [layer.weight.shape for layer in net.convolutions] == [(50, 12), (300, 32)]
    assert [layer.weight.shape for layer in net.layers] == [(32, 240), (240, 192), (192, 1)]
    images = np.random.default_rng(0).uniform(size=(2, 17, 16, 2)).astype(np.float32)
    expected = []
    for x in images.astype(float):
        for weight, bias in jax.tree.map(np.asarray, net.convolutions):
            kernel = np.asarray(weight, float).reshape(5, 5, x.shape[2], -1)
            x = leaky(
                np.stack([correlate(x, kernel[..., k], mode="valid")[..., 0] for k in range(len(bias))], -1) + bias
            )
            rows, columns = x.shape[0] // 2, x.shape[1] // 2
            x = np.array(
                [[x[2 * i : 2 * i + 2, 2 * j : 2 * j + 2].max((0, 1)) for j in range(columns)] for i in range(rows)]
            )
        x = x.ravel()
        for i, (weight, bias) in enumerate(jax.tree.map(np.asarray, net.layers)):
            x = (leaky(x) if i else x) @ np.asarray(weight, float) + np.asarray(bias, float)
        expected.append(x[0])
    found = nets.outputs(net, jnp.asarray(images))
    assert found.dtype == jnp.float32
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-6)
    bounds = [
        float(jnp.abs(layer.weight).max()) * layer.weight.shape[0] ** 0.5 for layer in (*net.convolutions, *net.layers)
    ]
    assert all(0.9 < bound <= 1 for bound in bounds)
    assert [layer.weight.shape for layer in nets.start(jax.random.key(1), (7,)).layers] == [
        (7, 256),
        (256, 256),
        (256, 1),
    ]
    with pytest.raises(ValueError, match="at least 16 x 16 pixels for two convolutions, got 15 x 20"):
        nets.start(jax.random.key(0), (15, 20, 1))


def test_cells_are_those_of_celeba_and_no_image_is_in_both_parts():
    train, validation, test = cells_of.coloured_digits(2000, 3)
    assert train.counts().tolist() == [880, 822, 281, 17]
    assert validation.counts().tolist() == [100] * 4
    assert len(set(test.counts())) == 1
    assert test.counts()[0] > 250
    seen = [{row.tobytes() for row in part.x[:, :196] + part.x[:, 196:]} for part in (train, validation, test)]
    assert sum(map(len, seen)) == len(set.union(*seen))


@pytest.fixture
def folder(tmp_path):
    rng = np.random.default_rng(0)
    arrays = {"embeddings": rng.normal(size=(24, 3)), "labels": np.tile([0, 0, 1, 1], 6),
              "attributes": np.tile([0, 1, 0, 1], 6), "split": np.repeat([0, 1, 2], 8)}  # fmt: skip
    for name, values in arrays.items():
        np.save(tmp_path / f"{name}.npy", values)
    return tmp_path, arrays


def test_embeddings_are_read_from_files(folder):
    path, arrays = folder
    split = cells_of.from_folder("embeddings", path, None, 64, gs.experiments.silent)
    np.testing.assert_array_equal(split.train.x, arrays["embeddings"][:8].astype(np.float32))
    np.testing.assert_array_equal(split.validation.x, arrays["embeddings"][8:16].astype(np.float32))
    np.testing.assert_array_equal(split.test.y, 2 * arrays["labels"][16:] - 1)
    assert split.train.counts().tolist() == [2, 2, 2, 2]
    assert len(cells_of.embeddings(path, 4).test.y) == 4


@pytest.mark.parametrize(
    ("name", "values", "message"),
    [
        ("labels", np.full(24, 2), r"labels.npy of \[0, 1\]"),
        ("split", np.zeros(23, int), r"columns \(n,\), got shapes"),
        ("embeddings", np.full((24, 3), np.nan), "finite embeddings"),
        ("attributes", np.zeros(24, int), r"none of \(-1, 1\) in train"),
        ("embeddings", np.array(["a"]), "arrays of numbers, got .*embeddings.npy"),
        ("split", None, "arrays that NumPy saved, got .*split.npy"),
    ],
)
def test_bad_embeddings_are_named(folder, name, values, message):
    path, _ = folder
    (path / f"{name}.npy").unlink()
    if values is not None:
        np.save(path / f"{name}.npy", values)
    with pytest.raises(ValueError, match=message):
        cells_of.embeddings(path)


def test_bad_options_are_told_before_anything_is_trained(monkeypatch):
    with pytest.raises(ValueError, match="folder must name where the files of waterbirds are, got None"):
        worst.celeba(source="waterbirds")
    with pytest.raises(ValueError, match="source must be one of digits, celeba"):
        worst.celeba(source="birds")
    with pytest.raises(ValueError, match=r"train \+ test must be at most the 5000 images"):
        bright.brightness(train=4500)
    with pytest.raises(ValueError, match="coefficients must be finite and >= 0"):
        margins.margin(coefficients=(-1.0,))
    monkeypatch.setitem(sys.modules, "foolbox", None)
    with pytest.raises(ValueError, match=r"foolbox must be False where it is not installed \(pip install"):
        margins.margin()


def test_adjusted_logits_move_the_loss_alone():
    rng = np.random.default_rng(0)
    x, w, y = rng.normal(size=(6, 2)), rng.normal(size=2), np.array([1, -1, -1, -1, 1, -1.0])
    plain = gs.training.BinaryObjective(lambda w, x: x @ w)
    rule = gs.training.LogitAdjusted.of(plain, y, 2.0)
    offset = 2 * np.log(2 / 4)
    np.testing.assert_allclose(rule.offset, offset, rtol=1e-12)
    expected = np.logaddexp(0, -y * (x @ w + offset)).mean()
    np.testing.assert_allclose(rule(jnp.asarray(w), jnp.asarray(x), jnp.asarray(y)), expected, rtol=1e-12)
    slope = -(y / (1 + np.exp(y * (x @ w + offset)))) @ x / 6
    np.testing.assert_allclose(jax.grad(rule)(jnp.asarray(w), jnp.asarray(x), jnp.asarray(y)), slope, rtol=1e-10)
    with pytest.raises(ValueError, match="y must have examples of both classes, got 3 of one"):
        gs.training.LogitAdjusted.of(plain, [1, 1, 1])
    with pytest.raises(ValueError, match="objective must be a BinaryObjective"):
        gs.training.LogitAdjusted(None, 0.0)


@pytest.mark.slow
def test_brightness_is_assembled_kept_drawn_and_told(tmp_path, monkeypatch):
    asked = []

    def judged(problem, dark, shift, seed, steps):
        asked.append((seed, dark, shift))
        value = np.full(len(bright.MODELS), 1 - shift / 2)
        return {"accuracy": np.stack([value, value, value], -1), "called_dark": value * 0.7, "loss": value}

    monkeypatch.setattr(bright, "_judged", judged)
    settings = {"seeds": 2, "steps": 1, "train": 64, "test": 10, "shifts": (0.0, 1.0), "runs": tmp_path}
    found = bright.brightness(**settings)
    # without a shift both assignments are one; the dark class of one is the bright class of the other
    assert sorted(asked) == [(s, d, v) for s in (0, 1) for d, v in ((-1, 0.0), (-1, 1.0), (1, 1.0))]
    np.testing.assert_allclose(found["called_dark"].sel(shift=0, seed=0).isel(model=0), [0.7, 0.3])
    assert bright.brightness(**settings).identical(found)
    assert len(asked) == 6
    assert draw_brightness(found).get_axes()
    table = tables.table_brightness(found)
    assert len(table.rows) == 4 * 2 * 2
    assert {len(row) for row in table.rows} == {len(table.columns)}
    assert "dense net, SGD, class +1 dark: train 0.500 +- 0.000" in "\n".join(Brightness().tell(found))


@pytest.mark.slow
def test_the_worst_group_is_counted_kept_drawn_and_told(tmp_path, monkeypatch):
    counts = cells_of.coloured_digits(1000, 0).test.counts()
    shares = np.array([1.0, 0.75, 0.5, 0.25])

    def trained(name, split, seed, rate, at):
        rise = np.linspace(0, 1, len(at)) if name != "ERM" else np.linspace(1, 0.5, len(at))
        test = np.floor(rise[:, None] * shares * split.test.counts()).astype(int)
        chosen = np.zeros_like(test)  # the average says the third record, the worst group the sixth
        chosen[2], chosen[5] = [100, 100, 100, 10], [20, 20, 20, 20]
        return np.stack([chosen, test], axis=1)

    monkeypatch.setattr(worst, "_trained", trained)
    settings = {"seeds": 2, "steps": 20, "train": 1000, "runs": tmp_path}
    found = worst.celeba(**settings)
    each = int(found["test_count"][1, 3])
    # every seed has its own digits: whole numbers of them are right
    right = found["accuracy"] * found["test_count"]
    assert len(set(found["test_count"].values[:, 0])) == 2
    np.testing.assert_allclose(right, np.round(right), atol=1e-9)
    stops = found["stop"].sel(run="LfF", seed=1)
    np.testing.assert_array_equal(stops, found["step"][[-1, 2, 5, -1]])
    last, _, _, best = (found["worst"].sel(run="ERM", seed=1, choice=choice) for choice in worst.CHOICES)
    by_worst = found["worst"].sel(run="LfF", seed=1, choice="worst group on validation")
    assert float(by_worst) == float(found["accuracy"].sel(run="LfF", seed=1).min("cell")[5])
    assert float(last) == np.floor(0.5 * 0.25 * each) / each
    assert float(best) == np.floor(0.25 * each) / each
    assert int(found["stop"].sel(run="ERM", seed=1)[-1]) == int(found["step"][0])
    low, high = (float(found[f"worst_{end}"].sel(run="LfF", seed=1)[0]) for end in ("low", "high"))
    interval = gs.probes.wilson(int(np.floor(0.25 * each)), each)
    np.testing.assert_allclose([low, high], interval[1:], rtol=1e-12)
    weights = np.array([440, 411, 141, 8]) / 1000
    right = np.floor(shares * each) / each
    np.testing.assert_allclose(found["average"].sel(run="LfF", seed=1)[0], weights @ right, rtol=1e-12)
    assert len(counts) == 4
    monkeypatch.setattr(worst, "_trained", None)
    assert worst.celeba(**settings).identical(found)
    assert draw_celeba(found).get_axes()
    table = tables.table_celeba(found)
    assert {len(row) for row in table.rows} == {len(table.columns)}
    assert "SD on raw logits" in "\n".join(CelebA().tell(found))


@pytest.mark.slow
def test_margins_are_compared_kept_drawn_and_told(tmp_path, monkeypatch):
    def attacked(problem, weight, seed, steps, examples, boundary_steps):
        # attacks with gradients find 1 and 2, those without 0.5 and 3: masked on the first image alone
        distance = np.array([[1.0, 2.0], [0.5, 3.0], [1.05, 4.0], [9.0, 9.0]])
        return {"distance": distance, "distance_inf": np.array([0.05, 0.2]), "right": np.array([True, True]),
                "accuracy": np.array(0.9), "train_accuracy": np.array(1.0), "size": np.array(2.0)}  # fmt: skip

    pytest.importorskip("foolbox")
    monkeypatch.setattr(margins, "_attacked", attacked)
    settings = {"seeds": 1, "steps": 1, "coefficients": (0.0, 0.1), "examples": 2, "runs": tmp_path}
    found = margins.margin(**settings)
    one = found.isel(coefficient=0, seed=0)
    assert float(one["masked"]) == 0.5
    np.testing.assert_array_equal(one["behind"], [0.5, 0.5, 1, 1])
    np.testing.assert_allclose(one["ratio"], [1.5, 1.25, 2.05, 11.25])
    np.testing.assert_array_equal(one["perturbed"], [0.5, 0.5, 0.5, 0])
    np.testing.assert_array_equal(one["perturbed_inf"], [1, 0.5])
    monkeypatch.setattr(margins, "_attacked", None)
    assert margins.margin(**settings).identical(found)
    with pytest.raises(ValueError, match="runs must be of the same settings"):
        margins.margin(**(settings | {"steps": 2}))
    assert draw_margin(found).get_axes()
    table = tables.table_margin(found)
    assert {len(row) for row in table.rows} == {len(table.columns)}
    assert "gradients masked 0.50" in "\n".join(Margin().tell(found))


@pytest.mark.slow
def test_attacks_of_foolbox_find_the_distance_to_a_plane():
    pytest.importorskip("foolbox")
    rng = np.random.default_rng(0)
    w = rng.normal(size=(6, 1)).astype(np.float32)
    x = rng.uniform(0.4, 0.6, size=(12, 6)).astype(np.float32)
    bias = -np.float32(np.median(x @ w))
    net = nets.Net([], [nets.Dense(jnp.asarray(w), jnp.asarray(bias[None]))])
    exact = np.abs(x @ w + bias)[:, 0] / np.linalg.norm(w)
    found = outside.distances(net, jnp.asarray(x), 2000, 9.0)
    np.testing.assert_allclose(found[0], exact, rtol=1e-2, atol=1e-4)
    assert (found[1] >= exact * (1 - 1e-3) - 1e-5).all()
    assert np.median(found[1] / exact) < 1.5
    far = nets.Net([], [nets.Dense(jnp.asarray(w), jnp.asarray([np.float32(100)]))])
    np.testing.assert_array_equal(outside.distances(far, jnp.asarray(x), 1, 9.0), np.full((2, 12), 9.0))


@pytest.mark.slow
def test_trainings_learn():
    found = bright.brightness(seeds=1, steps=200, train=128, test=64, shifts=(0.0, 1.0))
    full = found["accuracy"].sel(shift=1.0, seed=0)
    assert (full.sel(set="train") > 0.95).all()
    # everything untouched is taken for the dark class
    assert (found["called_dark"].sel(shift=1.0, seed=0) > 0.9).all()
    groups = worst.celeba(seeds=1, steps=100, train=1000)
    assert (groups["average"].isel(choice=0, seed=0) > 0.8).all()
    attacked = margins.margin(seeds=1, steps=300, coefficients=(0.1,), examples=4, foolbox=False)
    assert float(attacked["accuracy"][0, 0]) > 0.7
    assert (attacked["distance"] < margins.REACH).all()


def picture(path, level):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((20, 24, 3), level, np.uint8)).save(path)


def test_photographs_of_yours_are_taken(tmp_path):
    lines = ["img_filename,y,place,split"]
    for i in range(12):
        picture(tmp_path / "birds" / f"{i}.png", 20 * i)
        lines.append(f"{i}.png,{i // 2 % 2},{i % 2},{i // 4}")
    (tmp_path / "birds" / "metadata.csv").write_text("\n".join(lines))
    split = cells_of.from_folder("waterbirds", tmp_path / "birds", None, 16, gs.experiments.silent)
    assert split.train.x.shape == (4, 16, 16, 3)
    assert split.train.y.tolist() == [-1, -1, 1, 1]
    assert split.test.attribute.tolist() == [-1, 1, -1, 1]
    np.testing.assert_allclose(split.validation.x.mean((1, 2, 3)), np.arange(80, 160, 20) / 255, rtol=1e-6)
    np.testing.assert_allclose(split.test.x.mean((1, 2, 3)), np.arange(160, 240, 20) / 255, rtol=1e-6)
    for i in range(3):
        picture(tmp_path / "pets" / f"cat.{i}.jpg", 100)
        picture(tmp_path / "pets" / f"dog.{i}.jpg", 200)
    name, x, y, words = bright._source(tmp_path / "pets", ("cat.1.jpg",), 16, 100, gs.experiments.silent)
    assert (name, y.tolist(), x.shape) == ("cats and dogs", [-1, -1, 1, 1, 1], (5, 16, 16, 3))
    assert words["leave_out"] == ["cat.1.jpg"]
