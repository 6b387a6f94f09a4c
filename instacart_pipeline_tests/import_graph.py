"""The import graph of docs/architecture.md: `python -m instacart_pipeline_tests.import_graph` writes it anew (`make docs`).

An arrow is an import. What follows from other arrows is left out, so that the picture can be read.
"""

from __future__ import annotations

import re
from itertools import permutations

import grimp

from instacart_pipeline.settings import PROJECT

PAGE = PROJECT / "docs" / "architecture.md"
_PACKAGE = "instacart_pipeline"
_DRAWN = re.compile(r"(?<=<!-- imports -->\n).*?(?=<!-- /imports -->)", re.DOTALL)


def arrows() -> set[tuple[str, str]]:
    """Which part of the package imports which, once all that follows is left out. Raises ValueError naming a circle."""
    graph = grimp.build_graph(_PACKAGE, cache_dir=None)
    parts = sorted(name for name in graph.find_children(_PACKAGE) if not name.endswith("__main__"))
    direct = {
        (one, other)
        for one, other in permutations(parts, 2)
        if graph.direct_import_exists(importer=one, imported=other, as_packages=True)
    }
    reached = _closure(direct)
    if circle := sorted(one for one, other in reached if one == other):
        raise ValueError(f"These import each other: {', '.join(circle)}")
    return {
        (one, other)
        for one, other in direct
        if not any((one, between) in direct and (between, other) in reached for between in parts if between != other)
    }


def _closure(arrows: set[tuple[str, str]]) -> set[tuple[str, str]]:
    reached = set(arrows)
    while more := {(a, d) for a, b in reached for c, d in arrows if b == c} - reached:
        reached |= more
    return reached


def drawn() -> str:
    """The page, with the graph as it is now."""
    lines = [f"    {one.rpartition('.')[2]} --> {other.rpartition('.')[2]}" for one, other in sorted(arrows())]
    graph = "\n".join(["```mermaid", "flowchart TD", *lines, "```", ""])
    return _DRAWN.sub(lambda _: graph, PAGE.read_text(encoding="utf-8"))


if __name__ == "__main__":
    PAGE.write_text(drawn(), encoding="utf-8")
