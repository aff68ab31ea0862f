"""`{api} gsdyn.modes`: an entry for each public name, from its signature and its docstring, which is Markdown."""

from __future__ import annotations

import enum
import inspect
import re
import textwrap
from pathlib import Path
from typing import Any, ForwardRef

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.errors import ExtensionError
from sphinx.util.docutils import SphinxDirective

from _site import public

INLINE = re.compile(r"(?<![`{}])`([A-Za-z_][A-Za-z_.0-9]*)(\(\))?`(?!`)")


class Api(SphinxDirective):
    """The names of a module: all of them, or those that the content lists. `*` is what no page of the folder lists."""

    required_arguments = 1
    has_content = True

    def run(self) -> list[nodes.Node]:
        module = self.arguments[0]
        if module == "*":
            rest = public.unlisted(Path(self.get_source_info()[0]).parent)
            modules = dict.fromkeys(entry.module for entry in rest)
            return [
                node for home in modules for node in self._written(home, [e for e in rest if e.module == home])
            ] or self.parse_text_to_nodes("Every name has its place on the other pages.")
        entries = {entry.name: entry for entry in public.names(module)}
        wanted = " ".join(self.content).split() or sorted(entries, key=lambda name: (name.lower(), name))
        unknown = [name for name in wanted if name not in entries]
        if unknown:
            raise self.error(f"{module} has no public name {', '.join(unknown)}")
        return self._written(module, [entries[name] for name in wanted])

    def _written(self, module: str, entries: list[public.Public]) -> list[nodes.Node]:
        text = "\n\n".join(map(entry_text, entries))
        return self.parse_text_to_nodes(f"```{{py:currentmodule}} {module}\n```\n\n{text}\n")


def check_complete(app: Sphinx, env: Any) -> None:
    """Every public name has an entry, or the build fails."""
    known = set(env.get_domain("py").objects)
    missing = [entry.path for entry in public.everything() if entry.path not in known]
    if missing:
        raise ExtensionError(f"public names without an entry in docs/api: {', '.join(missing)}")


def entry_text(entry: public.Public) -> str:
    """The Markdown of one entry."""
    value = entry.value
    if inspect.isclass(value):
        inner = "\n\n".join(_member(entry, name, member) for name, member in public.members(value))
        body = f"{markdown(inspect.getdoc(value), entry.module)}\n\n{inner}"
        return _block("py:class", entry.name + _signature(value), body, 8)
    if inspect.isroutine(value):
        return _block("py:function", entry.name + _signature(value), markdown(inspect.getdoc(value), entry.module), 8)
    return _block("py:data", entry.name, f"`{_alias(value)}`", 8)


def _member(entry: public.Public, name: str, member: Any) -> str:
    if isinstance(member, property):
        return _block("py:property", name, markdown(inspect.getdoc(member.fget), entry.module), 6)
    call = getattr(entry.value, name)
    kind = {classmethod: "py:classmethod", staticmethod: "py:staticmethod"}.get(type(member), "py:method")
    written = _signature(call) if kind != "py:method" else _signature(getattr(member, "method", member), own=True)
    return _block(kind, name + written, markdown(inspect.getdoc(call), entry.module), 6)


def _block(directive: str, head: str, body: str, ticks: int) -> str:
    fence = "`" * ticks
    return f"{fence}{{{directive}}} {head}\n\n{body.strip()}\n{fence}"


def _alias(value: Any) -> str:
    """What a constant or the name of a type stands for."""
    if isinstance(value, tuple):
        return ", ".join(part.__name__ if inspect.isclass(part) else str(part) for part in value)
    return re.sub(r"\b(?:typing|collections\.abc)\.", "", str(value))


def _signature(value: Any, own: bool = False) -> str:
    """The signature with its annotations as they are written; `own` leaves out the first argument."""
    if inspect.isclass(value) and issubclass(value, enum.Enum | BaseException):
        return ""
    try:
        signature = inspect.signature(value)
    except (TypeError, ValueError):
        return "()"
    parameters = list(signature.parameters.values())[1 if own else 0 :]
    shown = [p.replace(default=_plain(p.default), annotation=_written(p.annotation)) for p in parameters]
    result = inspect.Signature.empty if inspect.isclass(value) else _written(signature.return_annotation)
    return str(inspect.Signature(shown, return_annotation=result))


class _Text(str):
    """What stands in a signature as it is."""

    def __repr__(self) -> str:
        return str(self)


def _plain(default: Any) -> Any:
    if default is inspect.Parameter.empty or isinstance(default, int | float | str | bool | type(None)):
        return default
    written = f"Path('{default}')" if isinstance(default, Path) and not default.is_absolute() else repr(default)
    return _Text("..." if len(written) > 40 or "<" in written or "\n" in written or "PosixPath" in written else written)


def _written(annotation: Any) -> Any:
    if annotation is inspect.Signature.empty:
        return annotation
    if isinstance(annotation, ForwardRef):
        annotation = annotation.__forward_arg__
    text = annotation if isinstance(annotation, str) else inspect.formatannotation(annotation)
    text = re.sub(r"\b(?:[a-z_]\w*\.)+(?=[A-Z])", "", text)  # the modules that types come from
    return _Text(text.replace("'", '"'))


def markdown(text: str | None, module: str) -> str:
    """A docstring as the page shows it: equations and examples in fences, the names of other entries as links."""
    paragraphs = re.split(r"\n\s*\n", text or "")
    shown: list[str] = []
    for paragraph in paragraphs:
        code = paragraph.startswith((">>> ", "    "))
        if code and shown and shown[-1].startswith("```") and not paragraph.lstrip().startswith(">>> "):
            shown[-1] = f"{shown[-1][:-4]}\n\n{textwrap.dedent(paragraph)}\n```"  # one block with a gap in it
        elif code:
            language = "pycon" if paragraph.lstrip().startswith(">>> ") else "default"
            shown.append(f"```{language}\n{textwrap.dedent(paragraph)}\n```")
        else:
            shown.append(INLINE.sub(lambda match: _link(match, module), paragraph))
    return "\n\n".join(shown)


def _link(match: re.Match[str], module: str) -> str:
    name = re.sub(r"^(gs|gsdyn)\.", "", match[1])
    for path in (f"{module}.{name}", f"gsdyn.{name}"):
        if path in _paths():
            return f"{{py:obj}}`{match[1]}{match[2] or ''} <{path}>`"
    return match[0]


_known: set[str] = set()


def _paths() -> set[str]:
    if not _known:
        for entry in public.everything():
            _known.add(entry.path)
            if inspect.isclass(entry.value):
                _known.update(f"{entry.path}.{name}" for name, _ in public.members(entry.value))
    return _known
