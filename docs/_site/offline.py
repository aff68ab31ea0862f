"""Nothing in the built site is loaded from elsewhere: it can be read without a network."""

from __future__ import annotations

import re
import sys
from pathlib import Path

ELSEWHERE = r"""["'](?:https?:)?//[^"']*"""
LOADED = re.compile(rf"<(?:script|img|iframe|source)\b[^>]*\bsrc={ELSEWHERE}|<link\b[^>]*\bhref={ELSEWHERE}")


def loaded_from_elsewhere(site: Path) -> list[str]:
    """What the pages would fetch from other hosts, one line each."""
    return [
        f"{page.relative_to(site)}: {match[0]}"
        for page in sorted(site.rglob("*.html"))
        for match in LOADED.finditer(page.read_text())
    ]


if __name__ == "__main__":
    found = loaded_from_elsewhere(Path(sys.argv[1]))
    if found:
        sys.exit("\n".join(["offline.py: error: these pages need a network", *found]))
