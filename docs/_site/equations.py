"""`{equations} P21`: every equation of a paper that the code names, with the functions, claims, tests and figures.

Made from the claims' data and from what docstrings and tests cite, when the site is built.
"""

from __future__ import annotations

import inspect
import re
from collections import defaultdict
from functools import cache
from pathlib import Path

from docutils import nodes
from sphinx.errors import ExtensionError
from sphinx.util.docutils import SphinxDirective

from _site import citations, public

ROOT = Path(__file__).parents[2]
# what the papers number: each must have a row
NUMBERED = {
    "P21": [f"Eq{i}" for i in (*range(1, 19), 29, 30)] + ["Def1", "Def2", "Lemma1", "Lemma2", "Thm1", "Thm2", "Table4"],
    "C18": [f"Eq{i}" for i in (1, 2, 3, 4, 5, 6, 7, 13, 18, 19, 20, 21, 23)]
    + ["Lemma3.1", "Thm3.2", "Cor3.3", "Thm4.1", "Thm5.1", "ThmD.2", "Table1"],
}


class Equations(SphinxDirective):
    """One table for the paper that the argument names; `beyond` is for what neither paper has."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        paper = self.arguments[0]
        rows = [name for name in sorted(_rows(), key=citations.order) if name.split("-")[0] == paper]
        missing = [f"{paper}-{n}" for n in NUMBERED.get(paper, []) if f"{paper}-{n}" not in rows]
        if missing:
            raise ExtensionError(f"no claim, docstring or test names {', '.join(missing)}")
        lines = ["| | what is claimed, and whether it is true | where it is |", "|---|---|---|"]
        lines += [f"| **{name}** | {_claimed(name)} | {_where(name)} |" for name in rows]
        return self.parse_text_to_nodes("\n".join(lines) + "\n")


def _claimed(name: str) -> str:
    claims = [_claim(check) for check in _claims()[name]] or [f"part of {_claim(c)}" for c in _mentions()[name]]
    return "<br>".join(dict.fromkeys(claims)).replace("|", "\\|") or "a definition"


def _where(name: str) -> str:
    """The functions, or the files where nothing public has it, then tests and figures."""
    functions = [f"{{py:obj}}`{path.removeprefix('gsdyn.')} <{path}>`" for path in sorted(_functions()[name])]
    functions = functions or [f"`{path}`" for path in sorted(_sources()[name])]
    tests = [f"`tests/{path}`" for path in _tested_by(name)]
    figures = [f"[{command}](gallery.md#{command})" for command in sorted(_figures()[name])]
    parts = [functions, tests and ["tested in " + ", ".join(tests)], figures and ["drawn in " + ", ".join(figures)]]
    return "<br>".join(", ".join(part) for part in parts if part) or "`gsdyn verify`"


def _claim(check) -> str:
    claim = check.claim
    code = f"`{claim.id}` {_literal(claim.statement)}"
    return code if claim.instead is None else f"{code} **False as stated.** True is: {_literal(claim.instead)}"


def _literal(text: str) -> str:
    """A statement in plain text, none of it Markdown."""
    return "".join("\\" + c if c in "\\`*_{}[]<>#" else c for c in text)


@cache
def _claims() -> dict[str, list]:
    from gsdyn.verification import checks

    found = defaultdict(list)
    for name, check in checks().items():
        found[citations.base(name)].append(check)
    return found


@cache
def _mentions() -> dict[str, list]:
    """The claims that name an equation as a part of theirs."""
    found = defaultdict(list)
    for check in {id(c): c for group in list(_claims().values()) for c in group}.values():
        paper = check.claim.id.split("-")[0]
        text = " ".join((check.short, check.claim.statement, check.claim.method))
        for kind, number in re.findall(r"\b(Eq|Lemma|Table)s?\.? (\d+)", text):
            found[f"{paper}-{kind}{number}"].append(check)
    return found


@cache
def _sources() -> dict[str, set[str]]:
    found = defaultdict(set)
    for path in sorted((ROOT / "gsdyn").rglob("*.py")):
        if "verification" not in path.parts:
            for name in citations.cited(path.read_text()):
                found[name].add(str(path.relative_to(ROOT)))
    return found


@cache
def _functions() -> dict[str, set[str]]:
    found = defaultdict(set)
    for entry in public.everything():
        if entry.module == "gsdyn.verification":
            continue
        places = [(entry.path, entry.value)]
        if inspect.isclass(entry.value):
            places += [(f"{entry.path}.{name}", getattr(entry.value, name)) for name, _ in public.members(entry.value)]
        for path, value in places:
            for name in citations.cited(inspect.getdoc(value) or ""):
                found[name].add(path)
    return found


@cache
def _tests() -> dict[str, set[str]]:
    found = defaultdict(set)
    for path, text in _test_files().items():
        for name in citations.cited(text):
            found[name].add(path)
    return found


def _tested_by(name: str, most: int = 3) -> list[str]:
    """The tests that cite an equation, then those that say most about the functions that have it."""
    citing = sorted(_tests()[name])
    words = {path.split(".")[-1] for path in _functions()[name]}
    pattern = re.compile(rf"\b({'|'.join(words)})\b")
    counts = {path: len(pattern.findall(text)) if words else 0 for path, text in _test_files().items()}
    others = sorted((path for path in counts if counts[path] and path not in citing), key=lambda p: (-counts[p], p))
    return [*citing, *others[: max(most - len(citing), 0)]]


@cache
def _test_files() -> dict[str, str]:
    return {
        str(path.relative_to(ROOT / "tests")): path.read_text() for path in sorted((ROOT / "tests").rglob("test_*.py"))
    }


@cache
def _figures() -> dict[str, set[str]]:
    from gsdyn.experiments.catalogue import EXPERIMENTS

    found = defaultdict(set)
    for kind in EXPERIMENTS:
        for name in citations.cited(kind.__doc__ or ""):
            found[name].add(kind.command)
    return found


@cache
def _rows() -> set[str]:
    named = {name for source in (_functions(), _sources(), _figures()) for name in source if "-Fig" not in name}
    numbered = {f"{paper}-{number}" for paper, numbers in NUMBERED.items() for number in numbers}
    return {*_claims(), *named, *(numbered & set(_mentions()))}
