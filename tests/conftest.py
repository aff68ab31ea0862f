"""Strict numerics for every test: float64 on, no silent rank or dtype promotion.

Warnings are errors too: see filterwarnings in pyproject.toml.
"""

import gc
import os
from pathlib import Path

# what the command line compiles is kept for no other process, and taken from none
os.environ.setdefault("GSDYN_CACHE", "off")
# two workers on two cores, each with as many threads as cores, would wait for each other at every small matrix
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import jax
import pytest
from _programs import make_room, quickly, share_contexts, unchecked
from hypothesis import settings

import gsdyn as gs

jax.config.update("jax_enable_x64", True)
jax.config.update("jax_numpy_rank_promotion", "raise")
jax.config.update("jax_numpy_dtype_promotion", "strict")

# nearly all of a run is compilation: both workers, and the next run, take what one has compiled
gs.enable_cache(Path(__file__).parent.parent / ".pytest_cache" / "programs")
share_contexts()

# what tracing leaves stays: looking through all of it again and again took a seventh of the time of tracing
gc.freeze()
gc.set_threshold(20_000, 20, 20)

# `make test` tries the same examples every time; `make slow` new ones, and says how to repeat what fails
settings.register_profile("same", derandomize=True, database=None, deadline=None)
settings.register_profile("new", print_blob=True, deadline=None)


def quick(config):
    """Whether this is `make test`, not `make slow`."""
    return config.getoption("markexpr") == "not slow"


def pytest_configure(config):
    settings.load_profile("same" if quick(config) else "new")
    if quick(config):
        quickly()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item):
    """Checks in compiled code are kept in no cache: `make test` leaves them out but where a test is about them."""
    if quick(item.config) and not item.get_closest_marker("traced"):
        with unchecked():
            return (yield)
    return (yield)


def pytest_runtest_teardown(item, nextitem):
    if item.get_closest_marker("slow") or nextitem is None or nextitem.path != item.path:
        make_room()


@pytest.fixture
def kept_where_it_was():
    """Programs go on to be kept in the folder of before, whatever a test has enabled."""
    before = jax.config.values["jax_compilation_cache_dir"]
    yield
    gs.enable_cache(before)  # its other settings are the same everywhere
