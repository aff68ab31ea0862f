"""Whether there is memory for what is asked, said before the work starts."""

from __future__ import annotations

import os
from pathlib import Path

import jax.numpy as jnp

_CONTROL_GROUP = Path("/sys/fs/cgroup")


class NotEnoughMemory(MemoryError, ValueError):
    """The result, or the least that work on it needs, does not fit.

    >>> print(issubclass(gs.kernels.NotEnoughMemory, MemoryError))
    True
    """


def require(needed: int, purpose: str) -> None:
    """Raise `NotEnoughMemory` where `needed` bytes for `purpose` exceed what is available now."""
    there = available()
    if there is not None and needed > there:
        raise NotEnoughMemory(f"{purpose} needs {_gib(needed)} of memory, got {_gib(there)} available")


def available() -> int | None:
    """Bytes that arrays can still take on the default device; None where nothing tells."""
    device = next(iter(jnp.zeros(()).devices()))
    if device.platform == "cpu":
        return min((limit for limit in (_machine(), _group()) if limit is not None), default=None)
    stats = device.memory_stats() or {}
    if "bytes_limit" not in stats:
        return None
    return stats["bytes_limit"] - stats.get("bytes_in_use", 0)


def _machine() -> int | None:
    try:
        rows = Path("/proc/meminfo").read_text().splitlines()
        return next(int(row.split()[1]) * 1024 for row in rows if row.startswith("MemAvailable:"))
    except (OSError, StopIteration):
        pass
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError):
        return None


def _group() -> int | None:
    """What the control group, a container's for example, leaves; its page cache can be given back."""
    try:
        limit = int((_CONTROL_GROUP / "memory.max").read_text())
        used = int((_CONTROL_GROUP / "memory.current").read_text())
        rows = (_CONTROL_GROUP / "memory.stat").read_text().splitlines()
        cache = next((int(row.split()[1]) for row in rows if row.startswith("inactive_file ")), 0)
        return max(limit - used + cache, 0)
    except (OSError, ValueError):
        return None


def _gib(count: int) -> str:
    return f"{count / 2**30:.3g} GiB"
