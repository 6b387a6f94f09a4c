"""Athena's types and texts: how DuckDB's types are called in Athena and Glue, and how a value is written in a result."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from datetime import date, datetime
from decimal import Decimal
from typing import Any

Column = tuple[str, str]
"""A column's name and its type in DuckDB's words."""

_ATHENA = {
    "VARCHAR": "varchar",
    "FLOAT": "float",
    "BLOB": "varbinary",
    "TIMESTAMP_S": "timestamp",
    "TIMESTAMP_MS": "timestamp",
    "TIMESTAMP_NS": "timestamp",
    "TIMESTAMP WITH TIME ZONE": "timestamp with time zone",
}
_GLUE = {"VARCHAR": "string", "INTEGER": "int", "BLOB": "binary"}
_DUCKDB = {"string": "VARCHAR", "char": "VARCHAR", "binary": "BLOB"}
_PRECISION = {
    "bigint": 19,
    "integer": 10,
    "smallint": 5,
    "tinyint": 3,
    "double": 17,
    "float": 17,
    "varchar": 2147483647,
}


def athena_type(duckdb: str) -> str:
    """The type of a result's column, without its parameters."""
    if duckdb.endswith("]"):
        return "array"
    base = re.sub(r"\(.*", "", duckdb)
    return {"STRUCT": "row", "MAP": "map"}.get(base) or _ATHENA.get(base) or base.lower()


def glue_type(duckdb: str) -> str:
    """The type a table made of a result gets in the catalog."""
    if duckdb.endswith("[]"):
        return f"array<{glue_type(duckdb[:-2])}>"
    if duckdb.startswith("DECIMAL"):
        return duckdb.lower()
    return _GLUE.get(duckdb) or duckdb.lower()


def duckdb_type(glue: str) -> str:
    """The type as which DuckDB reads a table's column."""
    if found := re.fullmatch(r"array<(.*)>", glue):
        return f"{duckdb_type(found.group(1))}[]"
    base = re.sub(r"\(.*", "", glue)
    return _DUCKDB.get(base) or ("VARCHAR" if base == "varchar" else glue.upper())


def column_info(name: str, duckdb: str) -> dict[str, Any]:
    """A column in ResultSetMetadata."""
    kind = athena_type(duckdb)
    precision, scale = _PRECISION.get(kind, 0), 0
    if numbers := re.search(r"\((\d+),\s*(\d+)\)", duckdb):
        precision, scale = int(numbers.group(1)), int(numbers.group(2))
    return {
        "CatalogName": "hive",
        "SchemaName": "",
        "TableName": "",
        "Name": name,
        "Label": name,
        "Type": kind,
        "Precision": precision,
        "Scale": scale,
        "Nullable": "UNKNOWN",
        "CaseSensitive": kind == "varchar",
    }


def text(value: Any) -> str | None:
    """A value as Athena writes it; None for NULL."""
    if value is None or isinstance(value, str):
        return value
    for kind, write in _WRITERS:
        if isinstance(value, kind):
            return write(value)
    return str(value)


def csv_text(names: Sequence[str], rows: Sequence[Sequence[str | None]]) -> bytes:
    """A result object: every value quoted, NULL empty without quotes."""
    lines = [names, *rows]
    return "".join(",".join(map(_quoted, line)) + "\n" for line in lines).encode()


def _quoted(value: str | None) -> str:
    return "" if value is None else '"' + value.replace('"', '""') + '"'


def _inner(value: Any) -> str:
    return "null" if value is None else str(text(value))


def _double(value: float) -> str:
    """As Java writes a double."""
    if math.isnan(value):
        return "NaN"
    if value in (float("inf"), float("-inf")):
        return "Infinity" if value > 0 else "-Infinity"
    if value == 0 or 1e-3 <= abs(value) < 1e7:
        plain = repr(value)
        return plain if "e" not in plain else f"{value:.10f}".rstrip("0")
    digits, _, exponent = repr(float(f"{value!r}")).partition("e")
    number = Decimal(digits if exponent else repr(value)).scaleb(int(exponent or 0))
    sign, figures, place = number.as_tuple()
    mantissa = "".join(map(str, figures)).rstrip("0") or "0"
    power = int(place) + len(figures) - 1
    return f"{'-' if sign else ''}{mantissa[0]}.{mantissa[1:] or '0'}E{power}"


_WRITERS: tuple[tuple[type, Callable[[Any], str]], ...] = (
    (bool, lambda value: "true" if value else "false"),
    (float, _double),
    (datetime, lambda value: value.strftime("%Y-%m-%d %H:%M:%S.") + f"{value.microsecond // 1000:03}"),
    (date, lambda value: value.isoformat()),
    (Decimal, lambda value: f"{value:f}"),
    (list, lambda value: f"[{', '.join(map(_inner, value))}]"),
    (dict, lambda value: f"{{{', '.join(f'{name}={_inner(each)}' for name, each in value.items())}}}"),
    (bytes, lambda value: " ".join(f"{byte:02x}" for byte in value)),
)
