"""`{equations} P21`: every equation of a paper that the code names, with the functions, claims, tests and figures.

Made from the claims' data and from what docstrings and tests cite, when the site is built.
"""

from __future__ import annotations

from docutils import nodes
from sphinx.errors import ExtensionError
from sphinx.util.docutils import SphinxDirective

from _site import citations, index


class Equations(SphinxDirective):
    """One table for the paper that the argument names; `beyond` is for what neither paper has."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        paper = self.arguments[0]
        rows = [name for name in sorted(index.rows(), key=citations.order) if name.split("-")[0] == paper]
        if missing := index.missing(paper):
            raise ExtensionError(f"no claim and no docstring names {', '.join(missing)}")
        lines = ["| | what is claimed, and whether it is true | where it is |", "|---|---|---|"]
        lines += [f"| **{name}** | {_claimed(name)} | {_where(name)} |" for name in rows]
        return self.parse_text_to_nodes("\n".join(lines) + "\n")


def _claimed(name: str) -> str:
    own = [_claim(check) for check in index.claims()[name]]
    claims = own or [f"part of {_claim(check)}" for check in index.mentions()[name]]
    return "<br>".join(dict.fromkeys(claims)).replace("|", "\\|") or "a definition"


def _where(name: str) -> str:
    """The functions, or the files where nothing public has it, then tests and figures."""
    functions = [f"{{py:obj}}`{path.removeprefix('gsdyn.')} <{path}>`" for path in sorted(index.functions()[name])]
    functions = functions or [f"`{path}`" for path in sorted(index.sources()[name])]
    tests = [f"`tests/{path}`" for path in index.by_tests(name)]
    figures = [f"[{command}](gallery.md#{command})" for command in sorted(index.figures()[name])]
    parts = [functions, tests and ["tested in " + ", ".join(tests)], figures and ["drawn in " + ", ".join(figures)]]
    return "<br>".join(", ".join(part) for part in parts if part) or "`gsdyn verify`"


def _claim(check) -> str:
    claim = check.claim
    code = f"`{claim.id}` {_literal(claim.statement)}"
    return code if claim.instead is None else f"{code} **False as stated.** True is: {_literal(claim.instead)}"


def _literal(text: str) -> str:
    """A statement in plain text, none of it Markdown."""
    return "".join("\\" + c if c in "\\`*_{}[]<>#" else c for c in text)
