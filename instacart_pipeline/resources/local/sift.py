"""Sifting an upload row by row: which rows break the contract, why, and where they stand in their file.

Belongs here: the careful reading, for uploads in which the quick one (intake.py) met anything wrong.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from instacart_pipeline.lake.contracts import Column, TableContract
from instacart_pipeline.lake.errors import FileUnreadable
from instacart_pipeline.resources.catalog import Catalog
from instacart_pipeline.resources.local.csv_files import CsvFile
from instacart_pipeline.resources.local.duckdb_sql import one_row, quoted

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

_NO_REJECTS = "SELECT ''::VARCHAR AS file, 0::BIGINT AS line, ''::VARCHAR AS column_name, ''::VARCHAR AS reason, ''::VARCHAR AS raw WHERE false"
_EXACT_IN_DOUBLE = 1 << 53


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
    connection.execute("SET preserve_insertion_order = true")  # a row's place in its file is its number in the scan
    connection.execute(
        "CREATE TEMP TABLE rejected (file_number INT, record BIGINT, broken BOOLEAN, column_name VARCHAR, reason VARCHAR, raw VARCHAR)"
    )
    for number, file in enumerate(files):
        _sift_file(connection, file, number, target, scratch)
    connection.execute("SET preserve_insertion_order = false")
    names = ", ".join(
        f"({number}, '{_escape(str(file.path.relative_to(raw_zone)))}')" for number, file in enumerate(files)
    )
    connection.execute(f"CREATE TEMP TABLE files AS SELECT * FROM (VALUES {names}) AS t(file_number, file)")
    candidates = f"read_parquet('{scratch}/candidates-*.parquet')"
    (candidate_count,) = one_row(connection, f"SELECT count(*) FROM {candidates}")
    (broken_count,) = one_row(connection, "SELECT count(*) FROM rejected")

    _reject_unknown(connection, catalog, target, dt, candidates)
    connection.execute("CREATE TEMP TABLE duplicates (file_number INT, record BIGINT)")
    for columns in target.unique_sets:
        _reject_doubled(connection, target, columns, candidates)

    (rejects,) = one_row(connection, "SELECT count(*) FROM (SELECT DISTINCT file_number, record, broken FROM rejected)")
    (duplicates,) = one_row(connection, "SELECT count(*) FROM (SELECT DISTINCT file_number, record FROM duplicates)")
    struck = "(SELECT file_number, record FROM rejected WHERE NOT broken UNION ALL SELECT file_number, record FROM duplicates)"
    typed = ", ".join(f'"{name}"' for name in target.column_names)
    return Sifted(
        rows_in=candidate_count + broken_count,
        rejects=rejects,
        duplicates=duplicates,
        good=f"SELECT {typed} FROM {candidates} ANTI JOIN {struck} AS struck USING (file_number, record)",
        rejected=_rejects_select(),
    )


def _sift_file(
    connection: DuckDBPyConnection, file: CsvFile, number: int, target: TableContract, scratch: Path
) -> None:
    """Write the file's candidates to scratch and enter its other rows in `rejected`."""
    import duckdb  # noqa: PLC0415  # engines are loaded where they are used

    reasons = [(column.name, _reason(column)) for column in target.columns]
    reason = f"concat_ws('; ', {', '.join(text for _, text in reasons)})"
    at_fault = f"concat_ws(',', {', '.join(f'CASE WHEN {text} IS NOT NULL THEN {quoted(name)} END' for name, text in reasons)})"
    raw = f"concat_ws(',', {', '.join(_requoted(name) for name in file.header)})"
    typed = ", ".join(f'{_parsed(column)} AS "{column.name}"' for column in target.columns)
    source = file.relation(options=", store_rejects = true, rejects_limit = 0")
    to = quoted(str(scratch / f"candidates-{number:05}.parquet"))
    connection.execute("DROP TABLE IF EXISTS reject_errors; DROP TABLE IF EXISTS reject_scans")
    try:
        # One reading feeds both: rows at fault carry their reason, and are parted from the candidates afterwards.
        everything = quoted(str(scratch / f"all-{number:05}.parquet"))
        connection.execute(
            f"COPY (SELECT {number} AS file_number, row_number() OVER () AS record, {typed},"
            f" nullif({reason}, '') AS reason, {at_fault} AS column_name, {raw} AS raw"
            f" FROM {source}) TO {everything} (FORMAT parquet)"
        )
    except duckdb.Error as error:
        raise FileUnreadable(f"{file.path} can't be read to its end: {_first_line(error)} Upload it again.") from error
    undecodable = connection.execute(
        "SELECT min(line) FROM reject_errors WHERE error_type = 'INVALID ENCODING'"
    ).fetchone()
    if undecodable and undecodable[0] is not None:
        raise FileUnreadable(
            f"{file.path}, record {undecodable[0]} (the header is 1): bytes that are not UTF-8. Save the file as UTF-8 and upload it again."
        )
    columns = ", ".join(f'"{name}"' for name in target.column_names)
    connection.execute(
        f"COPY (SELECT file_number, record, raw, {columns} FROM read_parquet({everything}) WHERE reason IS NULL) TO {to} (FORMAT parquet)"
    )
    connection.execute(
        f"INSERT INTO rejected SELECT file_number, record, false, column_name, reason, raw FROM read_parquet({everything}) WHERE reason IS NOT NULL"
    )
    (scratch / f"all-{number:05}.parquet").unlink()
    # Rows that don't even have the right number of fields are reported by the reader, with their place in the file.
    connection.execute(
        f"INSERT INTO rejected SELECT {number}, line, true, max(column_name), first(error_message), first(csv_line) FROM reject_errors GROUP BY line"
    )


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
            f"INSERT INTO rejected SELECT file_number, record, false, '{column.name}', {why}, own.raw"
            f' FROM {candidates} AS own ANTI JOIN {known} AS other ON own."{column.name}" = other."{key}"'
            f' WHERE own."{column.name}" IS NOT NULL'
        )


def _reject_doubled(
    connection: DuckDBPyConnection, target: TableContract, columns: Sequence[str], candidates: str
) -> None:
    """Of rows that share `columns`, keep the first; a later one is a duplicate if it is the same throughout, else a reject."""
    names = ", ".join(f'"{name}"' for name in columns)
    everything = ", ".join(f'"{name}"' for name in target.column_names)
    struck = "(SELECT file_number, record FROM rejected WHERE NOT broken UNION ALL SELECT file_number, record FROM duplicates)"
    standing = f"(SELECT * FROM {candidates} ANTI JOIN {struck} AS struck USING (file_number, record))"
    connection.execute(
        f"CREATE OR REPLACE TEMP TABLE doubled AS"
        f" SELECT file_number, record, raw, {everything}, row_number() OVER same AS occurrence,"
        f" struct_pack({everything}) = first_value(struct_pack({everything})) OVER same AS alike"
        f" FROM {standing} SEMI JOIN (SELECT {names} FROM {standing} GROUP BY {names} HAVING count(*) > 1) USING ({names})"
        f" WINDOW same AS (PARTITION BY {names} ORDER BY file_number, record)"
    )
    connection.execute("INSERT INTO duplicates SELECT file_number, record FROM doubled WHERE occurrence > 1 AND alike")
    key = " || ', ' || ".join(f"'{name} ' || \"{name}\"" for name in columns)
    connection.execute(
        f"INSERT INTO rejected SELECT file_number, record, false, '{','.join(columns)}',"
        f" 'duplicate key (' || {key} || ') with other values than the row kept', raw"
        f" FROM doubled WHERE occurrence > 1 AND NOT coalesce(alike, false)"
    )


def _rejects_select() -> str:
    """The rejects with their file and line. The scan numbers only records it could read, so those it couldn't are added."""
    return """
    WITH broken AS (
        SELECT file_number, record AS line,
               record - row_number() OVER (PARTITION BY file_number ORDER BY record) AS readable_before,
               row_number() OVER (PARTITION BY file_number ORDER BY record) AS broken_so_far
        FROM rejected WHERE broken
    ),
    placed AS (
        SELECT r.file_number, r.record + 1 + coalesce(b.broken_so_far, 0) AS line, r.column_name, r.reason, r.raw
        FROM (SELECT *, record + 1 AS readable FROM rejected WHERE NOT broken) AS r
        ASOF LEFT JOIN broken AS b ON r.file_number = b.file_number AND r.readable > b.readable_before
        UNION ALL
        SELECT file_number, record, column_name, reason, raw FROM rejected WHERE broken
    )
    SELECT file, line, string_agg(column_name, ',' ORDER BY column_name) AS column_name,
           string_agg(reason, '; ' ORDER BY reason) AS reason, first(raw ORDER BY reason) AS raw
    FROM placed JOIN files USING (file_number)
    GROUP BY file, line
    ORDER BY file, line
    """


def _parsed(column: Column) -> str:
    """The typed value of a text column, NULL where it does not convert."""
    name = f'"{column.name}"'
    if column.type == "string":
        return name
    if column.type in ("int", "bigint"):
        number = f"TRY_CAST({name} AS DOUBLE)"
        return f"CASE WHEN {number} = floor({number}) AND abs({number}) <= {_EXACT_IN_DOUBLE} THEN TRY_CAST({number} AS {column.type}) END"
    return f"TRY_CAST({name} AS {column.type})"


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


def _requoted(name: str) -> str:
    """A text column as a CSV field, quoted where it must be."""
    field = f"coalesce(\"{name}\", '')"
    return f"CASE WHEN regexp_matches({field}, '[\",\\r\\n]') THEN '\"' || replace({field}, '\"', '\"\"') || '\"' ELSE {field} END"


def _first_line(error: Exception) -> str:
    return str(error).split("\n", 1)[0].removesuffix(".") + "."


def _escape(text: str) -> str:
    return text.replace("'", "''")
