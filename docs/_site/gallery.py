"""`{gallery}`: every experiment of the catalogue with its figure, settings, results and code."""

from __future__ import annotations

import ast
import dataclasses
import inspect
import itertools
import json
import textwrap
from pathlib import Path

from docutils import nodes
from sphinx.util.docutils import SphinxDirective

from gsdyn import plotting
from gsdyn.experiments.catalogue import EXPERIMENTS, Experiment

ROOT = Path(__file__).parents[2]
FIGURES = ROOT / "figures"


class Gallery(SphinxDirective):
    """A section for each experiment, in the order of the catalogue."""

    def run(self) -> list[nodes.Node]:
        told = json.loads((FIGURES / "results.json").read_text())
        sections = [_curves(), *(_section(kind, told.get(kind.command, [])) for kind in EXPERIMENTS)]
        return self.parse_text_to_nodes("\n\n".join(sections), allow_section_headings=True)


def _curves() -> str:
    """What `gsdyn curves` draws."""
    drawn = {
        "starvation_curves": plotting.draw_curves,
        "starvation_map": plotting.draw_map,
        "digits_responses": plotting.draw_responses,
        "digits_starvation": plotting.draw_matrices,
    }
    pictures = [_picture(name, draw) for name, draw in drawn.items()]
    head = "Starvation in two features that overlap (P21 section 3.3), and among the features of real digits."
    return "\n\n".join(["## curves", head, *pictures, "```sh\ngsdyn curves\n```"])


def _section(kind: type[Experiment], told: list[str]) -> str:
    parts = kind().parts()
    pictures = [_picture(part.compute.__name__, part.draw) for part in parts]
    tables = [_table(part.compute.__name__) for part in parts]
    settings = [f"| `{name}` | `{default!r}` | {words} |" for name, default, words in _options(kind)]
    code = ", ".join(f"`{_module(f)}`" for part in parts for f in (part.compute, part.draw))
    lines = [f"## {kind.command}", inspect.getdoc(kind) or "", *pictures]
    if told:
        lines.append("**Result**, as the command prints it:\n\n" + "\n".join(f"- {_plain(line)}" for line in told))
    lines += [table for table in tables if table]
    if settings:
        lines.append("\n".join(["| setting | default | |", "|---|---|---|", *settings]))
    lines.append(f"```sh\ngsdyn reproduce {kind.command}\n```")
    lines.append(f"Code: {code}.")
    return "\n\n".join(lines)


def _picture(name: str, draw) -> str:
    if not (FIGURES / f"{name}.png").is_file():
        return f"(No figure is committed; the command draws `{name}`.)"
    caption = " ".join((inspect.getdoc(draw) or "").split(">>>")[0].split())
    return f"````{{figure}} ../figures/{name}.png\n:alt: {name}\n\n{caption}\n````"


def _table(name: str) -> str:
    """What can be opened to the table that is committed; nothing where there is none."""
    path = FIGURES / f"{name}.md"
    if not path.is_file():
        return ""
    return f"<details><summary>Table: {name.replace('_', ' ')}</summary>\n\n{path.read_text()}\n</details>"


def _options(kind: type[Experiment]) -> list[tuple[str, object, str]]:
    """The options of an experiment, with the line below each that says what it is."""
    shared = {field.name for field in dataclasses.fields(Experiment)}
    words: dict[str, str] = {}
    for owner in reversed(kind.__mro__[:-1]):
        body = ast.parse(textwrap.dedent(inspect.getsource(owner))).body[0].body  # pyright: ignore[reportAttributeAccessIssue]
        for field, after in itertools.pairwise(body):
            if isinstance(field, ast.AnnAssign) and isinstance(after, ast.Expr):
                words[field.target.id] = after.value.value  # pyright: ignore[reportAttributeAccessIssue]
    return [(f.name, f.default, words.get(f.name, "")) for f in dataclasses.fields(kind) if f.name not in shared]


def _module(function) -> str:
    return str(Path(inspect.getsourcefile(function) or "").relative_to(ROOT))


def _plain(text: str) -> str:
    return "".join("\\" + c if c in "\\`*_{}[]<>#|" else c for c in text)
