"""How tests compile: two thirds of what XLA does is to make programs fast, which few tests run for long enough to see.

`make test` leaves that out everywhere but where a test asks for `FULL`; `make slow` does so only where one asks for
`QUICK`. The arithmetic is the same, its rounding not always: what lies within a few units of that asks for `FULL`.
"""

import contextlib
import gc
import os
import threading
from collections.abc import Iterator
from pathlib import Path

import equinox
import jax
import jaxlib
from jax._src.interpreters import mlir

from gsdyn._traced import checked_beforehand

# XLA ends the process at flags that it does not know, and this one is of a generation of its compiler
KNOWN = jaxlib.__version__.startswith("0.10.")
EMITTERS = "xla_cpu_use_fusion_emitters"

QUICK = {"xla_backend_optimization_level": 0, **({EMITTERS: False} if KNOWN else {})}
FULL = {
    "xla_backend_optimization_level": 3,
    "xla_llvm_disable_expensive_passes": False,
    **({EMITTERS: True} if KNOWN else {}),
}

CONTEXTS = 500  # programs that are made in one context, which keeps their constants

MAPPINGS = 40_000  # of the 65,530 areas of memory that Linux lets a process have; a program takes up to 200


def make_room() -> None:
    """Drop what was compiled before the process runs out of areas of memory, at which XLA ends it without a word."""
    areas = Path("/proc/self/maps")
    if areas.exists() and areas.read_bytes().count(b"\n") > MAPPINGS:
        jax.clear_caches()
        gc.collect()


def quickly() -> None:
    """Compile so in this process and in those that it starts; before anything is compiled."""
    jax.config.update("jax_disable_most_optimizations", True)
    os.environ["JAX_DISABLE_MOST_OPTIMIZATIONS"] = "1"
    if KNOWN:
        flags = os.environ.get("XLA_FLAGS", "").split()
        if f"--{EMITTERS}=false" not in flags:  # they are part of every key, and what workers are given
            os.environ["XLA_FLAGS"] = " ".join([*flags, f"--{EMITTERS}=false"])


def share_contexts() -> None:
    """Make programs in a context of MLIR that is there: JAX makes a new one for each, in 3 ms, as much as all the rest.

    A thread has its own, and another after `CONTEXTS` programs. One that is made while another is has a new one.
    """
    make, kept = mlir.make_ir_context, threading.local()

    def context():
        with contextlib.suppress(ValueError):  # none is in use
            if mlir.ir.Context.current is not None:
                return make()
        if getattr(kept, "left", 0) <= 0:
            kept.context, kept.left = make(), CONTEXTS
        kept.left -= 1
        return kept.context

    mlir.make_ir_context = context


@contextlib.contextmanager
def unchecked() -> Iterator[None]:
    """Programs traced inside have no checks, neither gsdyn's nor those of the libraries that it calls."""
    errors = equinox._errors
    before, errors.EQX_ON_ERROR = errors.EQX_ON_ERROR, "off"
    try:
        with checked_beforehand():
            yield
    finally:
        errors.EQX_ON_ERROR = before
