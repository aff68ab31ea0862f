"""All classes together: the largest output of an example decides, beside a few lines of NumPy."""

from types import SimpleNamespace

import numpy as np
import pytest

from gsdyn.diagnosis import problem as problems
from gsdyn.diagnosis.paths import Grids
from gsdyn.diagnosis.together import Together

NAMES = ("cat", "dog", "owl")
N, M = 90, 40
GRIDS = Grids(np.array([1.0, 2.0, 4.0]), np.array([0.1, 1.0]), np.array([2.0]), np.array([1.0, 3.0]))
SHAPES = {"time": (3,), "decay": (2,), "switch": (1, 2, 3)}


@pytest.fixture(scope="module")
def made():
    """Random outputs of three classes, nobody's solution, and what they come to."""
    rng = np.random.default_rng(0)
    label, new = np.arange(N) % 3, rng.integers(3, size=M)
    site, new_site = rng.integers(2, size=N), rng.integers(2, size=M)
    words = np.array(NAMES)
    test = {"kernel": np.zeros((M, N)), "y": words[new], "attributes": {"site": new_site}}
    outputs, together, held = [], Together(NAMES), []
    for name in NAMES:
        given = (None, words[label], {"site": site}, test, np.eye(N))
        problem = problems.read(*given, positive=name, limit=None, seed=0)
        held.append(problem.held_out)
        rows = {"train": N, "held-out": int(problem.held_out.sum()), "test": M}
        f = {path: {s: rng.normal(size=(*shape, m)) for s, m in rows.items()} for path, shape in SHAPES.items()}
        outputs.append(f)
        margins = {path: {s: problem.examples(s)[0] * part for s, part in parts.items()} for path, parts in f.items()}
        together.add(problem, SimpleNamespace(margins=margins, grids=GRIDS))  # pyright: ignore[reportArgumentType]
    assert all((h == held[0]).all() for h in held)
    classes = {"train": label, "held-out": label[held[0]], "test": new}
    sites = {"train": site, "held-out": site[held[0]], "test": new_site}
    return SimpleNamespace(
        ds=together.dataset("test"), outputs=outputs, classes=classes, sites=sites, label=label, site=site
    )


@pytest.mark.parametrize("path", list(SHAPES))
@pytest.mark.parametrize("split", ["train", "held-out", "test"])
def test_the_largest_output_decides(made, path, split):
    f = np.stack([part[path][split] for part in made.outputs], axis=-1)
    label, site, ds = made.classes[split], made.sites[split], made.ds.sel(split=split)
    right = np.argmax(f, axis=-1) == label
    own = np.take_along_axis(f, np.broadcast_to(label[:, None], (*f.shape[:-1], 1)), axis=-1)[..., 0]
    margin = own - np.where(np.arange(3) == label[:, None], -np.inf, f).max(axis=-1)
    # aligned: the own class is more frequent among training examples of that site than among all
    often = np.array([[np.mean(made.label[made.site == s] == c) >= 1 / 3 for s in (0, 1)] for c in range(3)])
    aligned = often[label, site]
    groups = {"all": np.ones(len(label), bool), "site: aligned": aligned, "site: conflicting": ~aligned}
    groups |= {f"site = {s}, y = {NAMES[c]}": (label == c) & (site == s) for c in range(3) for s in (0, 1)}
    assert set(ds["all_group_name"].values) == set(groups)
    for number, name in enumerate(ds["all_group_name"].values):
        here, seen = groups[str(name)], ds.isel(all_group=number)
        assert int(seen["all_count"]) == here.sum()
        np.testing.assert_allclose(seen[f"all_accuracy_{path}"], right[..., here].mean(axis=-1))
        np.testing.assert_allclose(seen[f"all_margin_{path}"], margin[..., here].mean(axis=-1))
    gap = margin[..., aligned].mean(axis=-1) - margin[..., ~aligned].mean(axis=-1)
    np.testing.assert_allclose(ds[f"all_gap_{path}"].sel(attribute="site"), gap)


def test_settings_are_chosen_by_the_worst_cell_and_plain_training_stops_at_the_least_loss(made):
    ds, label = made.ds, made.classes["held-out"]
    f = np.stack([part["time"]["held-out"] for part in made.outputs], axis=-1)
    signs = np.where(np.arange(3) == label[:, None], 1, -1)
    at = int(np.argmin(np.log1p(np.exp(-signs * f)).mean(axis=(1, 2))))
    assert ds.attrs["all_plain_time"] == GRIDS.ts[at]
    own = ds.sel(attribute="site")
    assert float(own["all_choice_time"].sel(strategy="plain")) == GRIDS.ts[at]
    cells = (ds["all_group_kind"] == "cell") & (ds["all_count"].sel(split="test") >= 5)
    for strategy, path in (("stopped", "time"), ("decay", "decay"), ("switch", "switch")):
        worst = ds[f"all_accuracy_{path}"].sel(split="test")[cells.values].min("all_group")
        assert float(own["all_choice_worst"].sel(strategy=strategy, split="test")) == float(worst.max())
    test = ds.sel(split="test")
    right = float(test["all_accuracy_time"][0, at])
    told = ds.attrs["all_told"]
    assert told.startswith(
        "All classes together, the largest of their outputs deciding: plain training, stopped at time"
    )
    assert f"classifies {right:.0%} [" in told
    assert "of those whose 'site' agrees with their class" in told


def test_of_equal_worst_cells_the_better_average_is_chosen():
    from gsdyn.diagnosis.choices import choose
    from gsdyn.diagnosis.groups import Examples, made

    attribute = SimpleNamespace(name="site", values=("a", "b"))
    seen = Examples(np.repeat([0, 1], 10), np.tile([[0, 1]], 10), np.ones((1, 20), int))
    found = made(("no", "yes"), [attribute], {"train": seen})  # pyright: ignore[reportArgumentType]
    accuracy = np.full((len(found.all), 4), 0.6)
    accuracy[0] = [0.6, 0.7, 0.9, 0.9]
    accuracy[2, 0] = 0.5
    paths = {"time": {"train": accuracy}, "decay": {"train": accuracy}, "switch": {"train": accuracy[:, None, None]}}
    assert choose(found, paths, ["site"], "train", 0)["index"][0, :, 0].tolist() == [0, 2, 2, 0]
