"""Numbers, paths and words as people type them, told in one line where they are none.

An empty path is not this folder, and an address is no path. Messages begin with "it", which becomes the option's name.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Union, get_args, get_origin

from tyro.constructors import ConstructorRegistry, PrimitiveConstructorSpec, PrimitiveTypeInfo

from gsdyn import _files

REGISTRY = ConstructorRegistry()


def _number(kind: type, told: str) -> Callable[[str], Any]:
    def read(text: str) -> Any:
        try:
            return kind(text)
        except ValueError:
            raise ValueError(f"it must be {told}, got {text!r}") from None

    return read


READERS: dict[Any, tuple[str, Callable[[str], Any]]] = {
    int: ("INT", _number(int, "a whole number")),
    float: ("FLOAT", _number(float, "a number")),
    Path: ("PATH", lambda text: _files.as_path("it", text)),
    str: ("STR", str),
}


@REGISTRY.primitive_rule
def _one_word(info: PrimitiveTypeInfo) -> PrimitiveConstructorSpec[Any] | None:
    """A number, a path or a word, or None in its place."""
    kinds = set(get_args(info.type)) if get_origin(info.type) in (Union, UnionType) else {info.type}
    plain = {_plain(kind) for kind in kinds - {NoneType}}
    if len(plain) != 1 or (kind := plain.pop()) not in READERS:
        return None
    metavar, read = READERS[kind]
    return PrimitiveConstructorSpec(
        nargs=1,
        metavar=metavar,
        instance_from_str=lambda words: None if words == ["None"] and NoneType in kinds else read(words[0]),
        is_instance=lambda value: isinstance(value, kind) or (value is None and NoneType in kinds),
        str_from_instance=lambda value: [str(value)],
    )


def _plain(kind: Any) -> Any:
    return get_args(kind)[0] if get_origin(kind) is Annotated else kind
