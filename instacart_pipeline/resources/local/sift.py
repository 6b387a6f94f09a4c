"""Sifting an upload row by row: which rows break the contract, why, and where they stand in their file.

Belongs here: the careful reading, for uploads in which the quick one (intake.py) met anything wrong.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from instacart_pipeline.lake.contracts import Column, TableContract
from instacart_pipeline.resources.catalog import Catalog
from instacart_pipeline.resources.local.csv_files import CsvFile
from instacart_pipeline.resources.local.csv_tables import EXACT_IN_DOUBLE, field, write_records
from instacart_pipeline.resources.local.duckdb_sql import one_row, quoted

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

_NO_REJECTS = "SELECT ''::VARCHAR AS file, 0::BIGINT AS line, ''::VARCHAR AS column_name, ''::VARCHAR AS reason, ''::VARCHAR AS raw WHERE false"
_STRUCK = "(SELECT file_number, line FROM rejected UNION ALL SELECT file_number, line FROM duplicates)"
_REJECTS = """
SELECT file, line, nullif(string_agg(column_name, ',' ORDER BY reason), '') AS column_name,
       string_agg(reason, '; ' ORDER BY reason) AS reason, any_value(raw) AS raw
FROM rejected JOIN files USING (file_number)
GROUP BY file, line
ORDER BY file, line
"""


@dataclass(frozen=True)
class Sifted:
    """What sifting gave: counts, and a SELECT each for the good rows and for the rejects."""

    rows_in: int
    rejects: int = 0
    duplicates: int = 0
    good: str = ""
    rejected: str = _NO_REJECTS


def sift(
    connection: DuckDBPyConnection,
    catalog: Catalog,
    files: Sequence[CsvFile],
    target: TableContract,
    dt: str,
    scratch: Path,
    raw_zone: Path,
) -> Sifted:
    """Part the rows of `files` into good ones and rejects of `target` at `dt`.

    Candidates (rows good by themselves) are spilled to `scratch`; the SELECTs returned read them there.
    Raises FileUnreadable, naming file and line, on bytes that are not UTF-8 and on a gzip file cut short.
    """
    connection.execute(
        "CREATE TEMP TABLE rejected (file_number INT, line BIGINT, column_name VARCHAR, reason VARCHAR, raw VARCHAR)"
    )
    rows_in = sum(_sift_file(connection, file, number, target, scratch) for number, file in enumerate(files))
    names = ", ".join(
        f"({number}, {quoted(str(file.path.relative_to(raw_zone)))})" for number, file in enumerate(files)
    )
    connection.execute(f"CREATE TEMP TABLE files AS SELECT * FROM (VALUES {names}) AS t(file_number, file)")
    candidates = f"read_parquet({quoted(f'{scratch}/candidates-*.parquet')})"

    _reject_unknown(connection, catalog, target, dt, candidates)
    connection.execute("CREATE TEMP TABLE duplicates (file_number INT, line BIGINT)")
    for columns in target.unique_sets:
        _reject_doubled(connection, target, columns, candidates)

    (rejects,) = one_row(connection, "SELECT count(*) FROM (SELECT DISTINCT file_number, line FROM rejected)")
    (duplicates,) = one_row(connection, "SELECT count(*) FROM duplicates")
    typed = ", ".join(f'"{name}"' for name in target.column_names)
    return Sifted(
        rows_in=rows_in,
        rejects=rejects,
        duplicates=duplicates,
        good=f"SELECT {typed} FROM {candidates} ANTI JOIN {_STRUCK} AS struck USING (file_number, line)",
        rejected=_REJECTS,
    )


def _sift_file(
    connection: DuckDBPyConnection, file: CsvFile, number: int, target: TableContract, scratch: Path
) -> int:
    """Write the file's candidates to scratch, enter its other rows in `rejected`, and return how many rows it has."""
    records = scratch / f"records-{number:05}.parquet"
    rows = write_records(file, records)
    reasons = [(column.name, _reason(column)) for column in target.columns]
    reason = f"concat_ws('; ', {', '.join(text for _, text in reasons)})"
    at_fault = f"concat_ws(',', {', '.join(f'CASE WHEN {text} IS NOT NULL THEN {quoted(name)} END' for name, text in reasons)})"
    named = ", ".join(f'{field(file.header.index(name))} AS "{name}"' for name in target.column_names)
    raw = f"coalesce(raw, concat_ws(',', {', '.join(f"coalesce({field(i)}, '')" for i in range(len(file.header)))}))"
    typed = ", ".join(f'{_parsed(column)} AS "{column.name}"' for column in target.columns)
    # The values are parsed once: rows at fault carry their reason, and are parted from the candidates afterwards.
    judged = quoted(str(scratch / f"judged-{number:05}.parquet"))
    connection.execute(
        f"COPY (SELECT {number} AS file_number, line, {typed}, raw,"
        f" coalesce(fault, nullif({reason}, '')) AS reason, CASE WHEN fault IS NULL THEN {at_fault} END AS column_name"
        f" FROM (SELECT line, fault, {raw} AS raw, {named} FROM read_parquet({quoted(str(records))}))) TO {judged} (FORMAT parquet)"
    )
    records.unlink()
    columns = ", ".join(f'"{name}"' for name in target.column_names)
    connection.execute(
        f"COPY (SELECT file_number, line, raw, {columns} FROM read_parquet({judged}) WHERE reason IS NULL)"
        f" TO {quoted(str(scratch / f'candidates-{number:05}.parquet'))} (FORMAT parquet)"
    )
    connection.execute(
        f"INSERT INTO rejected SELECT file_number, line, column_name, reason, raw FROM read_parquet({judged}) WHERE reason IS NOT NULL"
    )
    (scratch / f"judged-{number:05}.parquet").unlink()
    return rows


def _reject_unknown(
    connection: DuckDBPyConnection, catalog: Catalog, target: TableContract, dt: str, candidates: str
) -> None:
    for column in target.columns:
        if column.references is None:
            continue
        table, key = column.references.table, column.references.column
        known = f"read_parquet('{catalog.current(table, dt).location}/*.parquet')"
        why = f"'{column.name} ' || own.\"{column.name}\" || ' is not in {table.qualified_name}'"
        connection.execute(
            f"INSERT INTO rejected SELECT file_number, line, '{column.name}', {why}, own.raw"
            f' FROM {candidates} AS own ANTI JOIN {known} AS other ON own."{column.name}" = other."{key}"'
            f' WHERE own."{column.name}" IS NOT NULL'
        )


def _reject_doubled(
    connection: DuckDBPyConnection, target: TableContract, columns: Sequence[str], candidates: str
) -> None:
    """Of rows that share `columns`, keep the first; a later one is a duplicate if it is the same throughout, else a reject."""
    names = ", ".join(f'"{name}"' for name in columns)
    everything = ", ".join(f'"{name}"' for name in target.column_names)
    standing = f"(SELECT * FROM {candidates} ANTI JOIN {_STRUCK} AS struck USING (file_number, line))"
    connection.execute(
        f"CREATE OR REPLACE TEMP TABLE doubled AS"
        f" SELECT file_number, line, raw, {everything}, row_number() OVER same AS occurrence,"
        f" struct_pack({everything}) = first_value(struct_pack({everything})) OVER same AS alike"
        f" FROM {standing} SEMI JOIN (SELECT {names} FROM {standing} GROUP BY {names} HAVING count(*) > 1) USING ({names})"
        f" WINDOW same AS (PARTITION BY {names} ORDER BY file_number, line)"
    )
    connection.execute("INSERT INTO duplicates SELECT file_number, line FROM doubled WHERE occurrence > 1 AND alike")
    key = " || ', ' || ".join(f"'{name} ' || \"{name}\"" for name in columns)
    connection.execute(
        f"INSERT INTO rejected SELECT file_number, line, '{','.join(columns)}',"
        f" 'duplicate key (' || {key} || ') with other values than the row kept', raw"
        f" FROM doubled WHERE occurrence > 1 AND NOT coalesce(alike, false)"
    )


def _parsed(column: Column) -> str:
    """The typed value of a text column, NULL where it does not convert."""
    name = f'"{column.name}"'
    if column.type == "string":
        return name
    if column.type in ("int", "bigint"):
        number = f"TRY_CAST({name} AS DOUBLE)"  # 2.0 and 2e0 are whole numbers too; 2.7 is not rounded to one
        return (
            f"CASE WHEN regexp_full_match(trim({name}), '[+-]?[0-9]+') THEN TRY_CAST({name} AS {column.type})"
            f" WHEN {number} = floor({number}) AND abs({number}) < {EXACT_IN_DOUBLE} THEN TRY_CAST({number} AS {column.type}) END"
        )
    parsed = f"TRY_CAST({name} AS {column.type})"
    return parsed if column.type == "boolean" else f"CASE WHEN isfinite({parsed}) THEN {parsed} END"


def _reason(column: Column) -> str:
    """SQL that is NULL where a text column's value meets the contract, else says in words why not."""
    name, value = f'"{column.name}"', _parsed(column)
    whens = []
    if column.required:
        whens.append(f"WHEN {name} IS NULL THEN '{column.name} is empty'")
    if column.type != "string":
        kind = "a whole number" if column.type in ("int", "bigint") else f"a {column.type}"
        whens.append(
            f"WHEN {name} IS NOT NULL AND {value} IS NULL THEN '{column.name} ''' || {name} || ''' is not {kind}'"
        )
    if column.between:
        low, high = column.between
        whens.append(
            f"WHEN NOT ({value} BETWEEN {low} AND {high}) THEN '{column.name} ' || {name} || ' is not between {low:g} and {high:g}'"
        )
    if column.one_of:
        allowed = ", ".join(quoted(choice) for choice in column.one_of)
        listed = _escape(", ".join(column.one_of))
        whens.append(f"WHEN {name} NOT IN ({allowed}) THEN '{column.name} ''' || {name} || ''' is none of {listed}'")
    return f"CASE {' '.join(whens)} END" if whens else "NULL::VARCHAR"


def _escape(text: str) -> str:
    return text.replace("'", "''")
