"""Tables of the catalog as Athena reads them: partitions by their own location, Parquet by name and type, CSV by serde.

Belongs here: from a Glue table to rows in DuckDB, with the errors Athena gives for data that doesn't fit. Doesn't: SQL.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from duckdb import DuckDBPyConnection

from instacart_pipeline_tests.aws_double.athena_csv import csv_serde, read_rows
from instacart_pipeline_tests.aws_double.athena_values import duckdb_type
from instacart_pipeline_tests.aws_double.catalog import Catalog, Partition, Table
from instacart_pipeline_tests.aws_double.jobs import JobFailure
from instacart_pipeline_tests.aws_double.objects import Objects, S3Object

PATH = "$path"
_PARQUET = "parquet.serde.ParquetHiveSerDe"
_INTEGERS = ("tinyint", "smallint", "int", "bigint")
_STRINGS = ("string", "varchar", "char")


@dataclass
class TableRead:
    """A table a statement reads: its definition, its partitions that are wanted, and the columns that are read of it."""

    database: str
    name: str
    definition: Table
    partitions: list[Partition] | None
    columns: set[str] = field(default_factory=set)
    scanned: int = 0

    @property
    def types(self) -> dict[str, str]:
        """The columns in the table's order, without the partition keys."""
        return {
            each["Name"].lower(): each.get("Type", "string") for each in self.definition["StorageDescriptor"]["Columns"]
        }

    @property
    def keys(self) -> dict[str, str]:
        """The partition keys."""
        return {each["Name"].lower(): each.get("Type", "string") for each in self.definition.get("PartitionKeys") or []}


def open_table(catalog: Catalog, database: str, name: str) -> TableRead:
    """A table by name. Raises JobFailure if there is none."""
    table = catalog.table(database, name)
    if table is None:
        if not catalog.has_database(database):
            raise JobFailure(f"SCHEMA_NOT_FOUND: line 1:15: Schema '{database}' does not exist")
        raise JobFailure(f"TABLE_NOT_FOUND: line 1:15: Table 'awsdatacatalog.{database}.{name}' does not exist")
    partitions = catalog.partitions(database, name) if table.get("PartitionKeys") else None
    return TableRead(database, name, table, partitions)


class Tables:
    """Puts tables into a DuckDB connection as views, counting the bytes that Athena would bill."""

    def __init__(self, connection: DuckDBPyConnection, objects: Objects) -> None:
        self._connection, self._objects = connection, objects
        self._views = 0

    def register(self, table: TableRead) -> None:
        """Make `database.name` known. Raises JobFailure where Athena's query would fail on the data."""
        places: list[tuple[dict[str, Any], dict[str, str]]] = [(table.definition["StorageDescriptor"], {})]
        if table.partitions is not None:
            places = [
                (each["StorageDescriptor"], dict(zip(table.keys, each["Values"], strict=True)))
                for each in table.partitions
            ]
        selects = [select for storage, values in places for select in self._place(table, storage, values)]
        if not selects:
            selects = [f"{self._select(table, {}, {}, None)} WHERE false"]
        self._connection.execute(f'CREATE SCHEMA IF NOT EXISTS "{table.database}"')
        view = " UNION ALL ".join(selects)
        self._connection.execute(f'CREATE OR REPLACE TEMP VIEW "{_plain_name(table)}" AS {view}')
        self._connection.execute(
            f'CREATE OR REPLACE VIEW "{table.database}"."{table.name}" AS SELECT * FROM temp.main."{_plain_name(table)}"'
        )

    def _place(self, table: TableRead, storage: dict[str, Any], values: dict[str, str]) -> Iterator[str]:
        """A SELECT for each object of a table's or partition's location."""
        _check_schemas(table, storage, values)
        library = storage.get("SerdeInfo", {}).get("SerializationLibrary", "")
        for item in self._objects.data_below(storage["Location"]):
            if library.endswith(_PARQUET):
                yield self._parquet(table, item, values)
            else:
                yield self._csv(table, item, storage, values)

    def _parquet(self, table: TableRead, item: S3Object, values: dict[str, str]) -> str:
        path = self._objects.fetch(item)
        try:
            file = pq.ParquetFile(path)
        except pa.ArrowInvalid as error:
            raise JobFailure(f"HIVE_CANNOT_OPEN_SPLIT: Error opening Hive split {item.uri}: {error}") from error
        with file:
            schema, metadata = file.schema_arrow, file.metadata
        found = {name.lower(): name for name in schema.names}
        for name in table.columns & set(table.types) & set(found):
            kind, wanted = schema.field(found[name]).type, table.types[name]
            if not _readable(kind, wanted):
                raise JobFailure(
                    f"HIVE_BAD_DATA: Field {name}'s type {_parquet_name(kind)} in parquet file {item.uri}"
                    f" is incompatible with type {'varchar' if wanted == 'string' else wanted} defined in table schema"
                )
        read = {found[name] for name in table.columns if name in found}
        for group in range(metadata.num_row_groups):
            chunks = metadata.row_group(group)
            parts = [chunks.column(index) for index in range(chunks.num_columns)]
            table.scanned += sum(
                part.total_compressed_size for part in parts if part.path_in_schema.split(".")[0] in read
            )
        source = f"read_parquet({_literal(str(path))}, hive_partitioning = false)"
        expressions = {
            name: f'CAST("{found[name]}" AS {duckdb_type(kind)})' for name, kind in table.types.items() if name in found
        }
        return f"{self._select(table, expressions, values, item)} FROM {source}"

    def _csv(self, table: TableRead, item: S3Object, storage: dict[str, Any], values: dict[str, str]) -> str:
        path = self._objects.fetch(item)
        table.scanned += item.size
        serde = csv_serde(storage, table.definition)
        columns = read_rows(path, item.uri, serde, len(table.types))
        self._views += 1
        source = f"csv_{self._views}"
        arrow = pa.table(
            [pa.array(each, pa.string()) for each in columns], names=[f"c{i}" for i in range(len(columns))]
        )
        self._connection.register(source, arrow)
        expressions = {}
        for place, (name, kind) in enumerate(table.types.items()):
            if name in table.columns and serde.strict:
                serde.hold(self._connection, source, place, kind)
            expressions[name] = serde.expression(f"c{place}", kind)
        return f"{self._select(table, expressions, values, item)} FROM {source}"

    def _select(
        self, table: TableRead, expressions: dict[str, str], values: dict[str, str], item: S3Object | None
    ) -> str:
        """The table's columns, its keys and the object they come from; NULL for what a file lacks."""
        columns = [
            f'{expressions.get(name, f"CAST(NULL AS {duckdb_type(kind)})")} AS "{name}"'
            for name, kind in table.types.items()
        ]
        columns += [
            f'CAST({_literal(values[name]) if name in values else "NULL"} AS {duckdb_type(kind)}) AS "{name}"'
            for name, kind in table.keys.items()
        ]
        columns.append(f'{_literal(item.uri) if item else "CAST(NULL AS VARCHAR)"} AS "{PATH}"')
        return f"SELECT {', '.join(columns)}"


def _plain_name(table: TableRead) -> str:
    return f"{table.database}.{table.name}"


def _check_schemas(table: TableRead, storage: dict[str, Any], values: dict[str, str]) -> None:
    declared = {each["Name"].lower(): each.get("Type", "string") for each in storage.get("Columns") or []}
    for name, kind in table.types.items():
        other = declared.get(name, kind)
        if not _coercible(other, kind):
            partition = "/".join(f"{key}={value}" for key, value in values.items())
            raise JobFailure(
                "HIVE_PARTITION_SCHEMA_MISMATCH: There is a mismatch between the table and partition schemas. The types are"
                f" incompatible and cannot be coerced. The column '{name}' in table '{table.database}.{table.name}' is declared"
                f" as type '{kind}', but partition '{partition}' declared column '{name}' as type '{other}'."
            )


def _coercible(of: str, to: str) -> bool:
    if of == to or (of in _STRINGS and to in _STRINGS) or (of, to) == ("float", "double"):
        return True
    if of in _INTEGERS and to in _INTEGERS:
        return _INTEGERS.index(of) <= _INTEGERS.index(to)
    return (of in _INTEGERS and to in _STRINGS) or (of in _STRINGS and to in _INTEGERS)


def _readable(kind: Any, wanted: str) -> bool:
    """Whether Athena reads a Parquet column of this type as the table's type."""
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    base = wanted.partition("(")[0].partition("<")[0]
    allowed: dict[str, Sequence[Any]] = {
        "bigint": (pa.types.is_int64, pa.types.is_int32, pa.types.is_int16, pa.types.is_int8),
        "int": (pa.types.is_int32, pa.types.is_int16, pa.types.is_int8),
        "smallint": (pa.types.is_int16, pa.types.is_int8, pa.types.is_int32),
        "tinyint": (pa.types.is_int8, pa.types.is_int32),
        "double": (pa.types.is_float64, pa.types.is_float32),
        "float": (pa.types.is_float32,),
        "boolean": (pa.types.is_boolean,),
        "date": (pa.types.is_date32,),
        "timestamp": (pa.types.is_timestamp,),
        "decimal": (pa.types.is_decimal,),
        "binary": (pa.types.is_binary,),
        "array": (pa.types.is_list, pa.types.is_large_list),
        "map": (pa.types.is_map,),
        "struct": (pa.types.is_struct,),
    }
    texts = (pa.types.is_string, pa.types.is_large_string, pa.types.is_binary)
    checks = allowed.get(base, texts if base in _STRINGS else ())
    return pa.types.is_null(kind) or any(check(kind) for check in checks)


def _parquet_name(kind: Any) -> str:
    names = {
        "int64": "INT64",
        "int32": "INT32",
        "double": "DOUBLE",
        "float": "FLOAT",
        "bool": "BOOLEAN",
        "string": "BINARY",
    }
    return names.get(str(kind), str(kind).upper())


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def local(path: Path) -> str:
    """A path as a literal."""
    return _literal(str(path))
