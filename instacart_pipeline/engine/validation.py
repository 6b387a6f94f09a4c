"""Validating an upload row by row: which rows break the contract, why, and where they stand in their file.

Belongs here: the careful reading, for uploads in which the quick one (ingest.py) met anything wrong.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from instacart_pipeline.engine.connection import one_row, quoted
from instacart_pipeline.engine.csv_files import CsvFile
from instacart_pipeline.engine.csv_records import Plain, Record, Records, opened
from instacart_pipeline.lake.contracts import MONEY, Column, TableContract

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

_NO_REJECTS = "SELECT ''::VARCHAR AS file, 0::BIGINT AS line, ''::VARCHAR AS column_name, ''::VARCHAR AS reason, ''::VARCHAR AS raw WHERE false"
EXACT_IN_DOUBLE = 1 << 53
"""Whole numbers below this are exact as doubles."""

_AMOUNT = r" *[+-]?[0-9]+(\.[0-9]{0,4}0*)? *"
"""An amount whose value MONEY holds exactly, unless it is too large."""
_ZONED = r":[0-9.]+ *[-+A-Za-z]"
"""A time of day with a zone behind it."""
_UTC = r".*( UTC|Z|[-+]00(:?00)?) *"
_CONTROL = r"[\x00-\x08\x0b-\x1f\x7f]"
"""Control characters but for tabs and line feeds."""
_KINDS = {
    "int": "a whole number",
    "bigint": "a whole number",
    MONEY: "an amount of at most 14 digits and four decimals",
    "timestamp": "a timestamp, of no zone or of UTC",
}

# Names with an underscore in front are this module's own: no column of a contract starts with one.
_EXCLUDED = (
    "(SELECT file_number AS _file, line AS _line FROM rejected UNION ALL SELECT file_number, line FROM duplicates)"
)
_REJECTS = (
    "SELECT file, line, column_name, reason, raw FROM rejected JOIN files USING (file_number) ORDER BY file, line"
)


@dataclass(frozen=True)
class ValidatedRows:
    """What validating gave: counts, and a SELECT each for the good rows and for the rejects."""

    rows_in: int
    rejects: int = 0
    duplicates: int = 0
    good: str = ""
    rejected: str = _NO_REJECTS


def validate_rows(
    connection: DuckDBPyConnection,
    files: Sequence[CsvFile],
    target: TableContract,
    references: Mapping[str, str],
    scratch: Path,
    raw_zone: Path,
) -> ValidatedRows:
    """Part the rows of `files` into good ones and rejects of `target`. `references` is as in verify.

    Candidates (rows good by themselves) are spilled to `scratch`; the SELECTs returned read them there.
    Raises FileUnreadable, naming file and line, on bytes that are not UTF-8 and on a gzip file cut short.
    """
    connection.execute(
        "CREATE TEMP TABLE rejected (file_number INT, line BIGINT, column_name VARCHAR, reason VARCHAR, raw VARCHAR)"
    )
    rows_in = sum(_validate_file(connection, file, number, target, scratch) for number, file in enumerate(files))
    names = ", ".join(
        f"({number}, {quoted(str(file.path.relative_to(raw_zone)))})" for number, file in enumerate(files)
    )
    connection.execute(f"CREATE TEMP TABLE files AS SELECT * FROM (VALUES {names}) AS t(file_number, file)")
    candidates = f"read_parquet({quoted(f'{scratch}/candidates-*.parquet')})"

    _reject_unknown(connection, target, references, candidates)
    connection.execute("CREATE TEMP TABLE duplicates (file_number INT, line BIGINT)")
    for columns in target.unique_sets:
        _reject_doubled(connection, target, columns, candidates)

    (rejects,) = one_row(connection, "SELECT count(*) FROM rejected")
    (duplicates,) = one_row(connection, "SELECT count(*) FROM duplicates")
    typed = ", ".join(f'"{name}"' for name in target.column_names)
    return ValidatedRows(
        rows_in=rows_in,
        rejects=rejects,
        duplicates=duplicates,
        good=f"SELECT {typed} FROM {candidates} ANTI JOIN {_EXCLUDED} AS struck USING (_file, _line)",
        rejected=_REJECTS,
    )


def _validate_file(
    connection: DuckDBPyConnection, file: CsvFile, number: int, target: TableContract, scratch: Path
) -> int:
    """Write the file's candidates to scratch, enter its other rows in `rejected`, and return how many rows it has."""
    records, judged, candidates = (
        scratch / f"{name}-{number:05}.parquet" for name in ("records", "judged", "candidates")
    )
    rows = _write_records(file, records)
    texts = ", ".join(f'_{file.header.index(name)} AS "{name}"' for name in target.column_names)
    line_as_it_stood = ", ".join(f"coalesce(_{position}, '')" for position in range(len(file.header)))
    typed = ", ".join(f'{parsed(column)} AS "{column.name}"' for column in target.columns)
    reasons = [(column.name, _reason(column)) for column in target.columns]
    reason = ", ".join(text for _, text in reasons)
    at_fault = ", ".join(f"CASE WHEN {text} IS NOT NULL THEN {quoted(name)} END" for name, text in reasons)
    # The values are parsed once: rows at fault carry their reason, and are parted from the candidates afterwards.
    connection.execute(
        f"COPY (SELECT {number} AS _file, _line, _raw, {typed}, coalesce(_fault, nullif(concat_ws('; ', {reason}), '')) AS _reason,"
        f" CASE WHEN _fault IS NULL THEN concat_ws(',', {at_fault}) END AS _columns"
        f" FROM (SELECT _line, _fault, coalesce(_raw, concat_ws(',', {line_as_it_stood})) AS _raw, {texts}"
        f" FROM read_parquet({quoted(str(records))}))) TO {quoted(str(judged))} (FORMAT parquet)"
    )
    records.unlink()
    names = ", ".join(f'"{name}"' for name in target.column_names)
    source = f"read_parquet({quoted(str(judged))})"
    connection.execute(
        f"COPY (SELECT _file, _line, _raw, {names} FROM {source} WHERE _reason IS NULL) TO {quoted(str(candidates))} (FORMAT parquet)"
    )
    connection.execute(
        f"INSERT INTO rejected SELECT _file, _line, _columns, _reason, _raw FROM {source} WHERE _reason IS NOT NULL"
    )
    judged.unlink()
    return rows


def _write_records(file: CsvFile, to: Path) -> int:
    """Write the file's rows to Parquet as they stand, with their lines, and return how many there are.

    The columns are `_line`; `_raw`, unless it is the fields joined by commas; `_fault`; and the fields `_0`, `_1`, ...
    """
    import numpy as np  # noqa: PLC0415  # engines are loaded where they are used
    import pyarrow as pa  # noqa: PLC0415
    from pyarrow import csv, parquet  # noqa: PLC0415

    width = len(file.header)
    fields = [f"_{position}" for position in range(width)]
    schema = pa.schema([("_line", pa.int64()), *((name, pa.string()) for name in ("_raw", "_fault", *fields))])
    rows = 0
    with (
        opened(file.path) as stream,
        parquet.ParquetWriter(to, schema, compression="none", use_dictionary=False) as writer,
    ):
        records = Records(file.path, stream)
        next(iter(records))
        for stretch in records.stretches(width):
            if isinstance(stretch, Plain):
                texts = csv.read_csv(
                    pa.BufferReader(stretch.text),
                    csv.ReadOptions(column_names=fields, block_size=len(stretch.text) + 1, use_threads=False),
                    csv.ParseOptions(quote_char=False),
                    csv.ConvertOptions(
                        column_types=dict.fromkeys(fields, pa.string()), null_values=[""], strings_can_be_null=True
                    ),
                )
                lines = pa.array(np.arange(stretch.line, stretch.line + len(texts)))
                nothing = pa.nulls(len(texts), pa.string())
                table = pa.Table.from_arrays([lines, nothing, nothing, *texts.columns], schema=schema)
            else:
                table = pa.Table.from_pylist([_as_row(record, fields) for record in stretch], schema)
            writer.write_table(table)
            rows += len(table)
    return rows


def _as_row(record: Record, fields: Sequence[str]) -> dict[str, int | str | None]:
    """A record as `_write_records` writes it. Empty fields too many, from commas at the end of a line, say nothing."""
    fault = record.fault
    if not fault and (len(record.fields) < len(fields) or any(record.fields[len(fields) :])):
        fault = f"{_fields(len(record.fields))} where the header has {len(fields)}"
    values = {} if fault else {name: value or None for name, value in zip(fields, record.fields, strict=False)}
    return {"_line": record.line, "_raw": record.raw, "_fault": fault or None, **values}


def _reject_unknown(
    connection: DuckDBPyConnection, target: TableContract, references: Mapping[str, str], candidates: str
) -> None:
    joins, names, reasons = [], [], []
    for number, column in enumerate(column for column in target.columns if column.references):
        assert column.references is not None  # noqa: S101  # the line above sees to it
        table, key = column.references.table, column.references.column
        source = f"read_parquet({quoted(f'{references[table.qualified_name]}/*.parquet')})"
        joins.append(
            f'LEFT JOIN (SELECT DISTINCT "{key}" AS _known FROM {source}) AS other_{number} ON own."{column.name}" = other_{number}._known'
        )
        unknown = f'CASE WHEN own."{column.name}" IS NOT NULL AND other_{number}._known IS NULL'
        names.append(f"{unknown} THEN '{column.name}' END")
        reasons.append(
            f"{unknown} THEN '{column.name} ' || own.\"{column.name}\" || ' is not in {table.qualified_name}' END"
        )
    if joins:
        connection.execute(
            f"INSERT INTO rejected SELECT _file, _line, concat_ws(',', {', '.join(names)}) AS _columns,"
            f" concat_ws('; ', {', '.join(reasons)}), own._raw FROM {candidates} AS own {' '.join(joins)} WHERE _columns <> ''"
        )


def _reject_doubled(
    connection: DuckDBPyConnection, target: TableContract, columns: Sequence[str], candidates: str
) -> None:
    """Of rows that share `columns`, keep the first; a later one is a duplicate if it is the same throughout, else a reject."""
    names = ", ".join(f'"{name}"' for name in columns)
    everything = ", ".join(f'"{name}"' for name in target.column_names)
    standing = f"(SELECT * FROM {candidates} ANTI JOIN {_EXCLUDED} AS struck USING (_file, _line))"
    connection.execute(
        f"CREATE OR REPLACE TEMP TABLE doubled AS"
        f" SELECT _file, _line, _raw, {everything}, row_number() OVER same AS _occurrence,"
        f" struct_pack({everything}) = first_value(struct_pack({everything})) OVER same AS _alike"
        f" FROM {standing} SEMI JOIN (SELECT {names} FROM {standing} GROUP BY {names} HAVING count(*) > 1) USING ({names})"
        f" WINDOW same AS (PARTITION BY {names} ORDER BY _file, _line)"
    )
    connection.execute("INSERT INTO duplicates SELECT _file, _line FROM doubled WHERE _occurrence > 1 AND _alike")
    key = " || ', ' || ".join(f"'{name} ' || \"{name}\"" for name in columns)
    connection.execute(
        f"INSERT INTO rejected SELECT _file, _line, '{','.join(columns)}',"
        f" 'duplicate key (' || {key} || ') with other values than the row kept', _raw"
        f" FROM doubled WHERE _occurrence > 1 AND NOT _alike"
    )


def parsed(column: Column) -> str:
    """The typed value of a text column, NULL where it does not convert."""
    name = f'"{column.name}"'
    if column.type == "string":
        faults = [fault for fault, _ in _text_faults(column)]
        return f"CASE WHEN NOT ({' OR '.join(faults)}) THEN {_text(column)} END" if faults else name
    if column.type == MONEY:  # a cast alone would round 2.55555, and take 1e3
        return f"CASE WHEN regexp_full_match({name}, '{_AMOUNT}') THEN TRY_CAST({name} AS {column.type}) END"
    if column.type in ("int", "bigint"):
        number = f"TRY_CAST({name} AS DOUBLE)"  # 2.0 and 2e0 are whole numbers too; 2.7 is not rounded to one
        return (
            f"CASE WHEN {_is_digits(name)} THEN TRY_CAST({name} AS {column.type})"
            f" WHEN {number} = floor({number}) AND abs({number}) < {EXACT_IN_DOUBLE} THEN TRY_CAST({number} AS {column.type}) END"
        )
    value = f"TRY_CAST({name} AS {column.type})"
    if column.type == "timestamp":  # a cast alone would drop the zone, and take 11:09+02 for 11:09
        plain = f"ends_with({name}, ' UTC') OR NOT regexp_matches({name}, '{_ZONED}') OR regexp_full_match({name}, '{_UTC}')"
        return f"CASE WHEN ({plain}) AND isfinite({value}) THEN {value} END"
    return value if column.type == "boolean" else f"CASE WHEN isfinite({value}) THEN {value} END"


def _text(column: Column) -> str:
    """A text as it is kept: the line ends in one that is held free of control characters are line feeds."""
    name = f'"{column.name}"'
    return f"replace({name}, chr(13) || chr(10), chr(10))" if column.longest else name


def _text_faults(column: Column) -> list[tuple[str, str]]:
    """What a text that is there may be at fault of: a predicate and its reason, each as SQL. Blanks alone say nothing."""
    text, faults = _text(column), list[tuple[str, str]]()
    if column.required:
        faults.append((f"trim({text}, ' ') = ''", f"'{column.name} is empty'"))
    if column.longest:
        length = f"length(trim({text}, ' '))"
        told = f"'{column.name} has ' || format('{{:,}}', {length}) || ' characters; {column.longest:,} at most'"
        faults.append((f"{length} > {column.longest}", told))
        faults.append((f"regexp_matches({text}, '{_CONTROL}')", f"'{column.name} holds a control character'"))
    return faults


def _reason(column: Column) -> str:
    """SQL that is NULL where a text column's value meets the contract, else says in words why not."""
    name, value = f'"{column.name}"', parsed(column)
    whens = []
    if column.required:
        whens.append(f"WHEN {name} IS NULL THEN '{column.name} is empty'")
    if column.type == "string":
        whens += [f"WHEN {fault} THEN {told}" for fault, told in _text_faults(column)]
    if column.type in ("int", "bigint"):
        whens.append(
            f"WHEN {value} IS NULL AND {_is_digits(name)} THEN '{column.name} ' || {name} || ' is too large for {column.type}'"
        )
    if column.type != "string":
        kind = _KINDS.get(column.type, f"a {column.type}")
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


def _fields(count: int) -> str:
    return "1 field" if count == 1 else f"{count} fields"


def _is_digits(name: str) -> str:
    return f"regexp_full_match({name}, ' *[+-]?[0-9]+ *')"


def _escape(text: str) -> str:
    return text.replace("'", "''")
