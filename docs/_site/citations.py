"""Which equations a text names: "P21-Eqs 9-11, 18" names five, "(C18 Eq 4, Fig 3)" two."""

from __future__ import annotations

import re

KINDS = "Eq|Thm|Lemma|Def|Cor|Table|Fig"
NUMBER = r"(?:[A-D]\.)?\d+(?:\.\d+)?|[A-D]\.\d+"
_FIRST = re.compile(rf"\b(P21|C18)[- ]((?:{KINDS})s?)[ ]?((?:{NUMBER})(?:(?:-|, | and )(?:{NUMBER})\b)*)")
_APPENDIX = re.compile(r"\b(P21|C18)-([A-D]\.?\d+)\b")


def cited(text: str) -> set[str]:
    """The IDs, such as "P21-Eq9", of the equations, lemmas, theorems, tables and figures that a text names."""
    found = set()
    for paper, kind, numbers in _FIRST.findall(text):
        kind = kind.rstrip("s")
        for number in _numbers(numbers):
            found.add(f"{paper}-{kind}{number}" if kind == "Thm" or number[0].isdigit() else f"{paper}-{number}")
    # what follows the first in one pair of brackets belongs to the same paper
    for bracket in re.findall(r"\(((?:P21|C18) [^()]*)\)", text):
        paper = bracket[:3]
        for kind, number in re.findall(rf"\b({KINDS})s? ?({NUMBER})", bracket):
            found.add(f"{paper}-{kind}{number}" if kind == "Thm" or number[0].isdigit() else f"{paper}-{number}")
    for paper, place in _APPENDIX.findall(text):
        found.add(f"{paper}-{place if '.' in place else place[0] + '.' + place[1:]}")
    return found


def _numbers(text: str) -> list[str]:
    numbers: list[str] = []
    for part in re.split(r", | and ", text):
        first, _, last = part.partition("-")
        if last.isdigit() and first.isdigit():
            numbers += map(str, range(int(first), int(last) + 1))
        else:
            numbers += [first, last] if last else [first]
    return numbers


def base(claim: str) -> str:
    """The equation that a claim is about: "P21-Eq12" for "P21-Eq12-exact", "P21-Table4" for "P21-Table4-hinge"."""
    paper, _, rest = claim.partition("-")
    first = rest.split("-")[0]
    if re.fullmatch(r"[A-D]\d+", first):
        first = f"{first[0]}.{first[1:]}"
    return f"{paper}-{first}" if any(c.isdigit() for c in first) or first == "G" else claim


def order(name: str) -> tuple:
    """The papers' own order: by paper, definitions and equations by number, then the rest."""
    paper, _, rest = name.partition("-")
    kind = re.match(r"[A-Za-z]*", rest)
    ranks = ["Def", "Eq", "Lemma", "Thm", "Cor", "Table", "Fig"]
    word = kind[0] if kind else ""
    numbers = [int(n) for n in re.findall(r"\d+", rest)]
    return (paper, ranks.index(word) if word in ranks else len(ranks), word, numbers)
