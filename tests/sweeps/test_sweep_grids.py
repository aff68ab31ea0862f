"""Grids: what is computed where, cut into blocks that cover every cell once."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gsdyn.sweeps import Integers, LogUniform, Normal, Product, Samples, Uniform, Zipped
from gsdyn.sweeps._blocks import block_shape, blocks, cells_per_block
from gsdyn.sweeps.grids import as_grid

sizes = st.lists(st.integers(1, 40), min_size=1, max_size=4)
DRAWS = {"a": Uniform(-1, 1), "b": LogUniform(1e-6, 1e6), "c": Normal(2, 3), "d": Integers(-2, 5)}


def product(sizes):
    return Product({f"x{i}": np.arange(size) * 10.0**i for i, size in enumerate(sizes)}).dimensions()


@given(sizes, st.integers(1, 2000))
def test_blocks_are_as_large_as_allowed(sizes, cells):
    shape = block_shape(sizes, cells)
    assert all(1 <= step <= size for step, size in zip(shape, sizes, strict=True))
    assert math.prod(shape) <= cells
    assert math.prod(shape) > min(cells, math.prod(sizes)) / 2 ** len(sizes) / 1.5
    if cells >= math.prod(sizes):
        assert list(shape) == sizes


@settings(max_examples=50)
@given(sizes, st.integers(1, 300), st.randoms(use_true_random=False))
def test_blocks_cover_what_is_not_done_once(sizes, cells, random):
    dimensions, shape = product(sizes), block_shape(sizes, cells)
    done = np.array([random.random() < 0.3 for _ in range(math.prod(sizes))]).reshape(sizes)
    times = done.astype(int)
    result = np.where(done, sum(np.ix_(*(d.parameters[d.name] for d in dimensions))), np.nan)
    for block in blocks(dimensions, shape, done):
        parameters = block.parameters()
        assert all(len(values) == math.prod(shape) for values in parameters.values())
        block.scatter(np.ones(math.prod(shape), int), times[block.place])
        block.scatter(sum(parameters.values()), result[block.place])
    assert (times == 1).all()
    assert (result == sum(np.ix_(*(d.parameters[d.name] for d in dimensions)))).all()


def test_default_blocks_are_a_64th_within_limits():
    assert [cells_per_block([n]) for n in (1, 10**5, 10**6, 10**8)] == [256, 1562, 15625, 65536]


def test_a_dictionary_is_a_product_in_its_order():
    (lam, start) = as_grid({"lam": [1, 2], "start": np.ones((3, 5), np.float32)}).dimensions()
    assert (lam.name, lam.size, lam.is_axis) == ("lam", 2, True)
    assert (start.name, start.size, start.is_axis) == ("start_index", 3, False)
    assert start.parameters["start"].dtype == np.float32


def test_zipped_and_samples_inside_a_product():
    grid = Product({"lam": [0.1, 0.2], "start": Zipped({"a": [1.0, 2.0, 3.0], "b": [4.0, 5.0, 6.0]}),
                    "noise": Samples(4, {"seed": Integers(0, 100)}, seed=3)})  # fmt: skip
    assert [(d.name, d.size) for d in grid.dimensions()] == [("lam", 2), ("start", 3), ("noise", 4)]
    assert grid.seeds() == (3,)
    (block,) = blocks(grid.dimensions(), (2, 3, 4))
    parameters = block.parameters()
    assert {name: len(values) for name, values in parameters.items()} == dict.fromkeys(("lam", "a", "b", "seed"), 24)
    assert set(zip(parameters["a"], parameters["b"], strict=True)) == {(1, 4), (2, 5), (3, 6)}


def test_more_samples_keep_the_first_ones():
    few = Samples(1000, DRAWS, seed=5).dimensions()[0].parameters
    many = Samples(3000, {"z": Uniform(0, 1), **DRAWS}, seed=5).dimensions()[0].parameters
    other = Samples(1000, DRAWS, seed=6).dimensions()[0].parameters
    for name, values in few.items():
        assert (many[name][:1000] == values).all()
        assert (other[name] != values).any()


def test_samples_follow_their_distributions():
    drawn = Samples(40_000, DRAWS, seed=1).dimensions()[0].parameters
    error = 5 / math.sqrt(40_000)
    assert abs(drawn["a"].mean()) < error / math.sqrt(3)
    assert drawn["a"].min() >= -1
    assert drawn["a"].max() < 1
    log = np.log(drawn["b"]) / np.log(1e6)
    assert abs(log.mean()) < error / math.sqrt(3)
    assert abs(log.std() - 1 / math.sqrt(3)) < error
    assert drawn["b"].min() >= 1e-6
    assert drawn["b"].max() <= 1e6
    assert abs(drawn["c"].mean() - 2) < 3 * error
    assert abs(drawn["c"].std() - 3) < 3 * error
    assert (np.abs(np.bincount(drawn["d"] + 2) / 40_000 - 1 / 7) < error / math.sqrt(6)).all()


@pytest.mark.parametrize(
    ("grid", "words"),
    [
        ({}, "at least one parameter"),
        ({"lam": []}, "one or more along it"),
        ({"lam": 0.5}, "one or more along it"),
        ({"lam": ["a"]}, "numbers"),
        ({"lam": [1j]}, "numbers"),
        ({"lam": [[1.0], [1.0, 2.0]]}, "different shapes"),
        ({"lam": [0.0, math.nan]}, "NaN"),
        ({"lam": [0.5, 0.1, 0.5]}, "twice"),
        ({"two words": [1.0]}, "name of an argument"),
        ({"lam": [1.0], "pair": Zipped({"lam": [1.0], "b": [2.0]})}, "lam again"),
        (Zipped({"a": [1.0], "b": [1.0, 2.0]}), "of one size"),
        (Zipped({}), "at least one parameter"),
        (Samples(0, DRAWS), "count"),
        (Samples(2, DRAWS, seed=-1), "seed"),
        (Samples(2, {}), "at least one parameter"),
        (Samples(2, {"a": 3.0}), "distributions"),  # pyright: ignore[reportArgumentType]
        ([0.1, 0.2], "grid must be"),
        (Product([0.1, 0.2]), "axes must be a dictionary"),
        (Zipped([0.1, 0.2]), "axes must be a dictionary"),
        (Samples(2, [Uniform(0, 1)]), "axes must be a dictionary"),  # pyright: ignore[reportArgumentType]
        (Zipped({"a": [1.0]}, name=3), "name must be one word"),  # pyright: ignore[reportArgumentType]
        (Samples(2, DRAWS, name=".."), "name must be one word"),
        ({"a": object()}, "numbers"),
        ({"a_index": [1.0], "a": [[1.0]]}, "every dimension once"),
    ],
)
def test_bad_grids_are_named(grid, words):
    with pytest.raises(ValueError, match=words) as caught:
        as_grid(grid).dimensions()
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "make",
    [
        lambda: Uniform(1, 1),
        lambda: Uniform(0, math.inf),
        lambda: LogUniform(0, 1),
        lambda: Normal(0, 0),
        lambda: Normal(math.nan, 1),
        lambda: Integers(3, 3),
        lambda: Uniform("0", 1),  # pyright: ignore[reportArgumentType]
        lambda: LogUniform(None, 1),  # pyright: ignore[reportArgumentType]
        lambda: Normal(0, [1, 2]),  # pyright: ignore[reportArgumentType]
        lambda: Integers(0.5, 3),  # pyright: ignore[reportArgumentType]
        lambda: Integers(0, 2**63),
    ],
)
def test_bad_distributions_are_refused(make):
    with pytest.raises(ValueError, match=r"must have|must be an integer|must be in") as caught:
        make()
    assert "\n" not in str(caught.value)
