"""The CSVs the contenders read: made once, shared by all, and equally warm for each.

Belongs here: generating, counting and reading ahead. Doesn't: what is in the files (instacart_pipeline.datagen).
"""

from __future__ import annotations

import shutil
from pathlib import Path

from bench.contenders import DAY

FILES = ("aisles", "departments", "order_products__prior", "order_products__train", "orders", "products")
CHUNK = 8 * 2**20


def generated(folder: Path, scale: float) -> Path:
    """The folder of the CSVs at `scale`, below `folder`; made if an earlier call didn't already."""
    from instacart_pipeline.datagen.reorder import generate_reorder  # noqa: PLC0415  # --raw does without

    made = folder / f"scale-{scale:g}"
    if not made.exists():
        unfinished = folder / f"scale-{scale:g}.unfinished"
        shutil.rmtree(unfinished, ignore_errors=True)
        generate_reorder(unfinished, scale=scale, days=1, seed=7, first_day=DAY)
        unfinished.rename(made)
    return made / DAY.isoformat()


def missing(raw: Path) -> list[str]:
    """The names of the files that the folder lacks."""
    return [f"{name}.csv" for name in FILES if not (raw / f"{name}.csv").is_file()]


def warmed(raw: Path) -> None:
    """Read every file once, so that each contender finds all of them in the page cache, not only those after the first."""
    for csv in raw.glob("*.csv"):
        with csv.open("rb") as file:
            while file.read(CHUNK):
                pass


def order_lines(raw: Path) -> int:
    """Number of order_products lines, prior and train. No field of theirs is text, so a line of the file is a row."""
    lines = 0
    for csv in raw.glob("order_products__*.csv"):
        with csv.open("rb") as file:
            lines += sum(chunk.count(b"\n") for chunk in iter(lambda: file.read(CHUNK), b"")) - 1
    return lines
