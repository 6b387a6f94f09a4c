"""The peers: the chain's tables written by hand, a plain script a tool, and one tuned to this data.

Belongs here: scripts that read the Kaggle CSVs and write the feature tables, each straight from order_products_prior by its
own definition; duckdb_tuned_script alone takes short cuts. mart_*: scripts that read thelook's CSVs and write the customer mart. Doesn't: validation, history, orchestration: what the platform
adds is what is measured.
"""

from __future__ import annotations

from argparse import ArgumentParser
from datetime import date
from pathlib import Path
from typing import NamedTuple

WEEK = date(2026, 1, 5)
"""The Monday that the customer mart is computed as of, and that its CSVs are generated for."""


class Arguments(NamedTuple):
    """What every peer is called with."""

    raw: Path
    out: Path
    memory: str


def arguments(description: str | None) -> Arguments:
    """The command line of a peer: RAW_DIR OUT_DIR [--memory 2GB]."""
    parser = ArgumentParser(description=description)
    parser.add_argument("raw", type=Path, metavar="RAW_DIR", help="folder of the CSVs")
    parser.add_argument("out", type=Path, metavar="OUT_DIR", help="folder for the Parquet files; made if missing")
    parser.add_argument("--memory", default="2GB", help="what the tool may use, where it can be told")
    parsed = parser.parse_args()
    parsed.out.mkdir(parents=True, exist_ok=True)
    return Arguments(parsed.raw, parsed.out, parsed.memory)
