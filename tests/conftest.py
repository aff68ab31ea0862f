"""Strict numerics for every test: float64 on, no silent rank or dtype promotion.

Warnings are errors too: see filterwarnings in pyproject.toml.
"""

import jax

jax.config.update("jax_enable_x64", True)
jax.config.update("jax_numpy_rank_promotion", "raise")
jax.config.update("jax_numpy_dtype_promotion", "strict")
