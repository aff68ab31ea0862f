"""Strict numerics for every test: float64 on, no silent rank or dtype promotion.

Warnings are errors too: see filterwarnings in pyproject.toml.
"""

import os

# XLA's pool of threads, one a core by default: LAPACK calls of a batch wait inside it for parts of their own, so that
# two at once on two cores can wait for ever (jaxlib 0.10)
os.environ.setdefault("NPROC", "8")

import jax

jax.config.update("jax_enable_x64", True)
jax.config.update("jax_numpy_rank_promotion", "raise")
jax.config.update("jax_numpy_dtype_promotion", "strict")
