"""Writing the rows of a SELECT as the Parquet files of a table."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from instacart_pipeline.engine.connection import duckdb_type, quoted
from instacart_pipeline.lake.contracts import TableContract

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection


def write(
    connection: DuckDBPyConnection,
    select: str,
    target: TableContract,
    folder: Path,
    files: int = 1,
    constants: Mapping[str, str] | None = None,
) -> None:
    """Write a SELECT's rows to Parquet in `folder`, columns in the contract's order and types, rows in its sort order.

    `constants` names columns that are one literal throughout; they are added after the sort, which need not carry them.
    """
    fixed = constants or {}
    varying = ", ".join(
        f'CAST("{c.name}" AS {duckdb_type(c.type)}) AS "{c.name}"' for c in target.columns if c.name not in fixed
    )
    columns = ", ".join(
        f'CAST({fixed[c.name]} AS {duckdb_type(c.type)}) AS "{c.name}"' if c.name in fixed else f'"{c.name}"'
        for c in target.columns
    )
    order = f" ORDER BY {', '.join(target.sorted_by)}" if target.sorted_by else ""
    rows = f"(SELECT {varying} FROM ({select}){order})"
    if files == 1:
        to = quoted(str(folder / "part-00000.parquet"))
        connection.execute(f"COPY (SELECT {columns} FROM {rows}) TO {to} (FORMAT parquet)")
        return
    spread = ", ".join(f'"{name}"' for name in target.key)
    connection.execute(
        f"COPY (SELECT {columns}, hash({spread}) % {files} AS part FROM {rows})"
        f" TO {quoted(str(folder))} (FORMAT parquet, PARTITION_BY (part), OVERWRITE_OR_IGNORE)"
    )
    for number, path in enumerate(sorted(folder.glob("part=*/*.parquet"))):
        path.rename(folder / f"part-{number:05}.parquet")
    for emptied in folder.glob("part=*"):
        emptied.rmdir()
    if not any(folder.glob("*.parquet")):
        write(
            connection, select, target, folder, constants=constants
        )  # no row went to any part, but a table has a file all the same
