"""What is known of every equation, from the claims' data, docstrings and tests."""

from __future__ import annotations

import inspect
import re
from collections import defaultdict
from functools import cache
from pathlib import Path

from _site import citations, public

ROOT = Path(__file__).parents[2]
MOST = 3  # how many test files to name at least, where there are any
# what the papers number: each must have a row
NUMBERED = {
    "P21": [f"Eq{i}" for i in (*range(1, 19), 29, 30)] + ["Def1", "Def2", "Lemma1", "Lemma2", "Thm1", "Thm2", "Table4"],
    "C18": [f"Eq{i}" for i in (1, 2, 3, 4, 5, 6, 7, 13, 18, 19, 20, 21, 23)]
    + ["Lemma3.1", "Thm3.2", "Cor3.3", "Thm4.1", "Thm5.1", "ThmD.2", "Table1"],
}


def missing(paper: str) -> list[str]:
    """What the paper numbers and nothing here names."""
    return [f"{paper}-{number}" for number in NUMBERED.get(paper, []) if f"{paper}-{number}" not in rows()]


@cache
def claims() -> dict[str, list]:
    from gsdyn.verification import checks

    found = defaultdict(list)
    for name, check in checks().items():
        found[citations.base(name)].append(check)
    return found


@cache
def mentions() -> dict[str, list]:
    """The claims that name an equation as a part of theirs."""
    found = defaultdict(list)
    for check in {id(c): c for group in list(claims().values()) for c in group}.values():
        paper = check.claim.id.split("-")[0]
        text = " ".join((check.short, check.claim.statement, check.claim.method))
        for kind, number in re.findall(r"\b(Eq|Lemma|Table)s?\.? (\d+)", text):
            found[f"{paper}-{kind}{number}"].append(check)
    return found


@cache
def sources() -> dict[str, set[str]]:
    found = defaultdict(set)
    for path in sorted((ROOT / "gsdyn").rglob("*.py")):
        if "verification" not in path.parts:
            for name in citations.cited(path.read_text()):
                found[name].add(str(path.relative_to(ROOT)))
    return found


@cache
def functions() -> dict[str, set[str]]:
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
def tests() -> dict[str, set[str]]:
    found = defaultdict(set)
    for path, text in test_files().items():
        for name in citations.cited(text):
            found[name].add(path)
    return found


def by_tests(name: str) -> list[str]:
    """The tests that cite an equation, then those that say most about the functions that have it."""
    citing = sorted(tests()[name])
    words = {path.split(".")[-1] for path in functions()[name]}
    pattern = re.compile(rf"\b({'|'.join(words)})\b")
    counts = {path: len(pattern.findall(text)) if words else 0 for path, text in test_files().items()}
    others = sorted((path for path in counts if counts[path] and path not in citing), key=lambda p: (-counts[p], p))
    return [*citing, *others[: max(MOST - len(citing), 0)]]


@cache
def test_files() -> dict[str, str]:
    return {
        str(path.relative_to(ROOT / "tests")): path.read_text() for path in sorted((ROOT / "tests").rglob("test_*.py"))
    }


@cache
def figures() -> dict[str, set[str]]:
    from gsdyn.experiments.catalogue import EXPERIMENTS

    found = defaultdict(set)
    for kind in EXPERIMENTS:
        for name in citations.cited(kind.__doc__ or ""):
            found[name].add(kind.command)
    return found


@cache
def rows() -> set[str]:
    named = {name for source in (functions(), sources(), figures()) for name in source if "-Fig" not in name}
    numbered = {f"{paper}-{number}" for paper, numbers in NUMBERED.items() for number in numbers}
    return {*claims(), *named, *(numbered & set(mentions()))}
