"""CREATE TABLE ... WITH (...) AS SELECT: where and how the table is written, and its entry in the catalog."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

from botocore.exceptions import ClientError
from sqlglot import exp

from instacart_pipeline_tests.aws_double.athena_values import Column, glue_type
from instacart_pipeline_tests.aws_double.catalog import Catalog
from instacart_pipeline_tests.aws_double.jobs import JobFailure
from instacart_pipeline_tests.aws_double.objects import Objects

_HIVE = "org.apache.hadoop.hive.ql.io.parquet"


@dataclass(frozen=True)
class Target:
    """A table to be made. `location` ends with a slash."""

    database: str
    name: str
    location: str
    compression: str
    partitioned_by: tuple[str, ...]

    @property
    def copy_options(self) -> str:
        """The options of DuckDB's COPY."""
        return f"FORMAT parquet, COMPRESSION '{self.compression}'"

    def enter(self, catalog: Catalog, columns: Sequence[Column], folders: Sequence[str]) -> None:
        """Make the table's entry, and its partitions'. Raises JobFailure if somebody else made the table meanwhile."""
        kinds = {name: glue_type(kind) for name, kind in columns}
        storage: dict[str, Any] = {
            "Columns": [
                {"Name": name, "Type": kind} for name, kind in kinds.items() if name not in self.partitioned_by
            ],
            "Location": self.location.rstrip("/"),
            "InputFormat": f"{_HIVE}.MapredParquetInputFormat",
            "OutputFormat": f"{_HIVE}.MapredParquetOutputFormat",
            "SerdeInfo": {"SerializationLibrary": f"{_HIVE}.serde.ParquetHiveSerDe", "Parameters": {}},
        }
        definition = {
            "Name": self.name,
            "TableType": "EXTERNAL_TABLE",
            "StorageDescriptor": storage,
            "PartitionKeys": [{"Name": name, "Type": kinds[name]} for name in self.partitioned_by],
            "Parameters": {
                "EXTERNAL": "TRUE",
                "has_encrypted_data": "false",
                "parquet.compression": self.compression.upper(),
                "transient_lastDdlTime": str(int(time.time())),
            },
        }
        try:
            catalog.create_table(self.database, definition)
        except ClientError as error:
            raise JobFailure(f"{error.response['Error']['Code']}: {error.response['Error']['Message']}") from error
        for folder in folders:
            values = [unquote(folder.partition("=")[2])]
            place = {**storage, "Location": f"{self.location}{folder}"}
            catalog.put_partition(self.database, self.name, {"Values": values, "StorageDescriptor": place})


def target_of(tree: exp.Create, catalog: Catalog, objects: Objects) -> Target:
    """What the statement wants to make. Raises JobFailure if the table is there or its folder holds anything."""
    table = tree.this
    database, name = table.db.lower(), table.name.lower()
    options = _options(tree)
    if not catalog.has_database(database):
        raise JobFailure(f"SCHEMA_NOT_FOUND: line 1:1: Schema '{database}' does not exist")
    if catalog.table(database, name) is not None:
        raise JobFailure(
            f"TABLE_ALREADY_EXISTS: line 1:1: Destination table 'awsdatacatalog.{database}.{name}' already exists"
        )
    if options.get("format", "PARQUET").upper() != "PARQUET":
        raise JobFailure(f"NOT_SUPPORTED: the double writes PARQUET only, not {options['format']}")
    if "external_location" not in options:
        raise JobFailure("NOT_SUPPORTED: the double writes to an external_location only")
    location = options["external_location"].rstrip("/") + "/"
    if objects.below(location):
        raise JobFailure(
            f"HIVE_PATH_ALREADY_EXISTS: Target directory for table '{database}.{name}' already exists: {location}."
            " You may need to manually clean the data at location before retrying."
        )
    compression = options.get("write_compression") or options.get("parquet_compression") or "GZIP"
    keys = tuple(key for key in options.get("partitioned_by", "").split(",") if key)
    return Target(database, name, location, compression.lower(), keys)


def has_external_location(tree: exp.Expr) -> bool:
    """Whether a statement says where it writes to."""
    return isinstance(tree, exp.Create) and "external_location" in _options(tree)


def _options(tree: exp.Create) -> dict[str, str]:
    """The WITH options, by lower-case name; lists joined by commas."""
    properties = tree.args.get("properties")
    found: dict[str, str] = {}
    for each in properties.expressions if properties else ():
        if isinstance(each, exp.FileFormatProperty):
            found["format"] = each.this.name
        elif isinstance(each, exp.PartitionedByProperty):
            found["partitioned_by"] = ",".join(key.name for key in each.this.expressions)
        elif isinstance(each, exp.Property):
            value = each.args.get("value")
            found[each.name.lower()] = value.name if isinstance(value, exp.Expr) else str(value)
    return found
