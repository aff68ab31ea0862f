"""What options of commands may be, declared beside each, and checked before anything heavy is imported."""

from __future__ import annotations

import difflib
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any, NamedTuple, get_args, get_origin, get_type_hints

MOST = 2**31 - 1


class Allowed(NamedTuple):
    """What a value must be, in words and as a test; of words, those that there are, so that the nearest is told."""

    told: str
    test: Callable[[Any], bool]
    known: tuple[str, ...] = ()


def whole(low: int, high: int = MOST) -> Allowed:
    """Integers of `low..high`."""
    told = f"at least {low}" if high == MOST else f"in {low}..{high}"
    return Allowed(told, lambda value: low <= value <= high)


def inside(low: float, high: float) -> Allowed:
    """Numbers between the two, without them."""
    return Allowed(f"inside ({low:g}, {high:g})", lambda value: low < value < high)


OVERLAP = Allowed("in [0, 1)", lambda value: 0 <= value < 1)
POSITIVE = Allowed("finite and > 0", lambda value: 0 < value < math.inf)
PRESENT = Allowed("a file or folder that there is", lambda path: path.expanduser().exists())
WORDS = Allowed("a word or more", lambda text: bool(text.strip()))

Count = Annotated[int, whole(1)]
Seed = Annotated[int, whole(0, 2**32 - 1)]
Positive = Annotated[float, POSITIVE]
Nonnegative = Annotated[float, Allowed("finite and >= 0", lambda value: 0 <= value < math.inf)]
Overlap = Annotated[float, OVERLAP]
Present = Annotated[Path, PRESENT]
Words = Annotated[str, WORDS]


def check(options: Any) -> None:
    """Raise `ValueError`, in one line that names the option, where a field is not what its annotation allows.

    `options` is an instance of a dataclass. None, where it is a default, is always allowed, and of a tuple or an axis
    every value is looked at.
    """
    for name, hint in get_type_hints(type(options), include_extras=True).items():
        for allowed in _declared(hint):
            for value in _values(getattr(options, name)):
                if not allowed.test(value):
                    given = nearest(value, allowed.known) if isinstance(value, str) else value
                    raise ValueError(f"{name.replace('_', '-')} must be {allowed.told}, got {given}")


def nearest(word: str, known: Iterable[str]) -> str:
    """A word that is none of those known, and the nearest of these."""
    names = {name.lower(): name for name in known}
    near = difflib.get_close_matches(word.lower(), names, n=3)
    hint = f": did you mean {', '.join(names[n] for n in near)}?" if near else ""
    return f"{word!r}{hint}"


def unknown_command(word: str, known: Sequence[str]) -> str:
    """What is said of a command that is none of those known."""
    return f"command must be one of {', '.join(known)}, got {nearest(word, known)}"


def _declared(hint: Any) -> Iterator[Allowed]:
    if get_origin(hint) is Annotated:
        yield from (part for part in hint.__metadata__ if isinstance(part, Allowed))
    for part in get_args(hint):
        yield from _declared(part)


def _values(given: Any) -> tuple[Any, ...]:
    if given is None:
        return ()
    return given if isinstance(given, tuple) else getattr(given, "numbers", (given,))
