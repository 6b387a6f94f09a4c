"""The Glue Data Catalog.

Belongs here: a table and a partition as Glue takes them, and moving a partition's pointer safely: Glue itself has no
conditional update of a partition, so writers take turns by a lock in S3 (aws_account/locks.py).
"""

import random
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, suppress
from typing import Any

from dagster import ResourceDependency

from instacart_pipeline.lake.versions import Version, supersedes
from instacart_pipeline.lake.zones import Zones
from instacart_pipeline.resources.aws_account.errors import AwsConflict, AwsNotFound
from instacart_pipeline.resources.aws_account.locks import Lease, locked
from instacart_pipeline.resources.aws_account.objects import Objects
from instacart_pipeline.resources.aws_account.session import AwsSession
from instacart_pipeline.resources.catalog import Catalog, CatalogTable, Partition

OURS = {"created_by": "instacart_pipeline"}
"""Parameters of a database that tell it from those of others."""
_PARQUET = {
    "InputFormat": "org.apache.hadoop.hive.ql.io.parquet.MapredParquetInputFormat",
    "OutputFormat": "org.apache.hadoop.hive.ql.io.parquet.MapredParquetOutputFormat",
    "SerdeInfo": {"SerializationLibrary": "org.apache.hadoop.hive.ql.io.parquet.serde.ParquetHiveSerDe"},
}
_CSV = {
    "InputFormat": "org.apache.hadoop.mapred.TextInputFormat",
    "OutputFormat": "org.apache.hadoop.hive.ql.io.HiveIgnoreKeyTextOutputFormat",
    "SerdeInfo": {
        "SerializationLibrary": "org.apache.hadoop.hive.serde2.OpenCSVSerde",
        "Parameters": {"separatorChar": ",", "quoteChar": '"', "escapeChar": "\\"},
    },
}
_UPDATES = 5
_PAUSE_SECONDS = 0.5
"""How often a table's definition is updated against others who do the same, and the longest pause in between."""
_ADDED = {"EXTERNAL": "TRUE", "classification": "parquet"}
"""Parameters that Athena wants of a table. They are not the table's own, and are left out when it is read back."""
_ADDED_TO_CSV = {"use.null.for.invalid.data": "true"}
"""Likewise, of a table of CSV files. An empty text in a column of numbers would fail every query; on all engines it is NULL."""


class GlueCatalog(Catalog):
    """Databases made by this project in the Glue Data Catalog of the session's account and region.

    `lake` is the lake's base; locks lie in its work zone.
    """

    session: ResourceDependency[AwsSession]
    lake: str

    def tables(self, database: str | None = None) -> Sequence[CatalogTable]:
        """See Catalog."""
        return [table for name in self._databases(database) for table in self._tables(name)]

    def table(self, database: str, name: str) -> CatalogTable:
        """See Catalog. One call, where there is such a table."""
        try:
            return _table(self.session.call("glue", "get_table", DatabaseName=database, Name=name)["Table"])
        except AwsNotFound:
            return super().table(database, name)

    def put_table(self, table: CatalogTable) -> None:
        """See Catalog. A definition that is there already, as it is, is left alone."""
        for _ in range(_UPDATES - 1):
            with suppress(AwsConflict):  # another run is changing the table, most likely to the same
                return self._put_table(table)
            time.sleep(random.uniform(0, _PAUSE_SECONDS))  # noqa: S311  # spreads calls, guards nothing
        return self._put_table(table)

    def partitions(self, database: str, table: str, dt: str | None = None) -> Sequence[Partition]:
        """See Catalog."""
        if dt is not None:
            found = self._partition(database, table, dt)
            return [_partition(found)] if found and "version" in found.get("Parameters", {}) else []
        try:
            pages = list(self.session.pages("glue", "get_partitions", DatabaseName=database, TableName=table))
        except AwsNotFound:
            return []
        known = (found for page in pages for found in page["Partitions"] if "version" in found.get("Parameters", {}))
        return sorted((_partition(found) for found in known), key=lambda partition: partition.dt)

    def drop_partition(self, database: str, table: str, dt: str) -> None:
        """See Catalog."""
        names: dict[str, Any] = {"DatabaseName": database, "TableName": table}
        with self._locked(database, table, dt) as lease, suppress(AwsNotFound):
            lease.write(lambda: self.session.call("glue", "delete_partition", once=True, **names, PartitionValues=[dt]))

    def publish(self, database: str, table: str, dt: str, version: Version) -> Version:
        """See Catalog."""
        with self._locked(database, table, dt) as lease:
            found = self._partition(database, table, dt)
            held = _partition(found).version if found and "version" in found.get("Parameters", {}) else None
            if held is not None and supersedes(held, version):
                return held
            published = version.after(held)
            self._store(lease, database, table, dt, published, found)
            return published

    def forget_retired(self, database: str, table: str, dt: str, locations: Sequence[str]) -> None:
        """See Catalog."""
        with self._locked(database, table, dt) as lease:
            found = self._partition(database, table, dt)
            if found and "version" in found.get("Parameters", {}):
                held = _partition(found).version
                self._store(lease, database, table, dt, held.without_retired(locations), found)

    def _put_table(self, table: CatalogTable) -> None:
        wanted = _table_input(table)
        try:
            there = self.session.call("glue", "get_table", DatabaseName=table.database, Name=table.name)["Table"]
        except AwsNotFound:
            _enter(self.session, table.database, wanted)
            return
        if _table(there) != table or not wanted["Parameters"].items() <= there.get("Parameters", {}).items():
            self.session.call("glue", "update_table", DatabaseName=table.database, TableInput=wanted)

    def _store(
        self, lease: Lease, database: str, table: str, dt: str, version: Version, there: Mapping[str, Any] | None
    ) -> None:
        definition = self._definition(database, table)
        storage = {**definition["StorageDescriptor"], "Location": version.location}
        parameters = {**(there or {}).get("Parameters", {}), **version.parameters()}
        entry = {"Values": [dt], "StorageDescriptor": storage, "Parameters": parameters}
        names: dict[str, Any] = {"DatabaseName": database, "TableName": table, "PartitionInput": entry}

        def create() -> None:
            self.session.call("glue", "create_partition", once=True, **names)

        def update() -> None:
            self.session.call("glue", "update_partition", once=True, **names, PartitionValueList=[dt])

        if there is None:
            try:
                lease.write(create)
            except AwsConflict:
                # A crawler takes no lock; or this is our own, whose answer was lost.
                lease.write(update)
        else:
            lease.write(update)

    def _definition(self, database: str, table: str) -> dict[str, Any]:
        """A table as Glue has it. One that is published before its definition is put gets an empty one: a partition needs a table."""
        try:
            found: dict[str, Any] = self.session.call("glue", "get_table", DatabaseName=database, Name=table)["Table"]
        except AwsNotFound:
            _enter(self.session, database, _table_input(CatalogTable(database, table, (), "")))
            return self._definition(database, table)
        return found

    def _partition(self, database: str, table: str, dt: str) -> dict[str, Any] | None:
        try:
            answer = self.session.call(
                "glue", "get_partition", DatabaseName=database, TableName=table, PartitionValues=[dt]
            )
        except AwsNotFound:
            return None
        found: dict[str, Any] = answer["Partition"]
        return found

    def _databases(self, only: str | None) -> list[str]:
        if only is not None:
            return [only]
        pages = self.session.pages("glue", "get_databases")
        return sorted(
            database["Name"]
            for page in pages
            for database in page["DatabaseList"]
            if database.get("Parameters", {}).get("created_by") == OURS["created_by"]
            and not database["Name"].endswith(UNPUBLISHED)
        )

    def _tables(self, database: str) -> Iterator[CatalogTable]:
        try:
            pages = list(self.session.pages("glue", "get_tables", DatabaseName=database))
        except AwsNotFound:
            return
        yield from sorted(
            (_table(found) for page in pages for found in page["TableList"]), key=lambda table: table.name
        )

    def _locked(self, database: str, table: str, dt: str) -> AbstractContextManager[Lease]:
        lock = f"{Zones(self.lake).zone('work')}/locks/{database}.{table}/dt={dt}"
        return locked(Objects(self.session), lock)


UNPUBLISHED = "_unpublished"
"""End of the name of a system's database of tables over versions that are not published, for Athena to judge them."""


def unpublished_table(session: AwsSession, table: CatalogTable) -> None:
    """Enter a table without partitions, over one version that is not published, in its database. It may be there already."""
    _enter(session, table.database, {**_table_input(table), "PartitionKeys": []})


def tables_of(session: AwsSession, database: str, pattern: str) -> list[str]:
    """The names of a database's tables that match a pattern, `*` standing for anything."""
    try:
        pages = list(session.pages("glue", "get_tables", DatabaseName=database, Expression=pattern))
    except AwsNotFound:
        return []
    return [found["Name"] for page in pages for found in page["TableList"]]


def drop_table(session: AwsSession, database: str, name: str) -> None:
    """Remove a table from the catalog, if it is there. Its objects stay."""
    try:
        session.call("glue", "delete_table", DatabaseName=database, Name=name)
    except AwsNotFound:
        return


def enter_database(session: AwsSession, name: str) -> None:
    """Create a database of this project's, unless it is there."""
    with suppress(AwsConflict):
        session.call("glue", "create_database", DatabaseInput={"Name": name, "Parameters": OURS})


def _enter(session: AwsSession, database: str, definition: dict[str, Any]) -> None:
    """Create a table, and its database, unless somebody else was faster, with the same."""
    enter_database(session, database)
    with suppress(AwsConflict):
        session.call("glue", "create_table", DatabaseName=database, TableInput=definition)


def _table_input(table: CatalogTable) -> dict[str, Any]:
    is_csv = table.parameters.get("classification") == "csv"
    storage, added = (_CSV, {**_ADDED, **_ADDED_TO_CSV}) if is_csv else (_PARQUET, _ADDED)
    return {
        "Name": table.name,
        "Description": table.description,
        "TableType": "EXTERNAL_TABLE",
        "PartitionKeys": [{"Name": key, "Type": "string"} for key in table.partition_keys],
        "Parameters": {**added, **table.parameters},
        "StorageDescriptor": {
            **storage,
            "Columns": [{"Name": name, "Type": kind} for name, kind in table.columns],
            "Location": table.location,
        },
    }


def _table(found: Mapping[str, Any]) -> CatalogTable:
    storage = found["StorageDescriptor"]
    added = {**_ADDED, **_ADDED_TO_CSV}
    parameters = {name: value for name, value in found.get("Parameters", {}).items() if added.get(name) != value}
    return CatalogTable(
        database=found["DatabaseName"],
        name=found["Name"],
        columns=tuple((column["Name"], column.get("Type", "string")) for column in storage.get("Columns", [])),
        location=storage.get("Location", "").rstrip("/"),
        description=found.get("Description", ""),
        partition_keys=tuple(key["Name"] for key in found.get("PartitionKeys", [])),
        parameters=parameters,
    )


def _partition(found: Mapping[str, Any]) -> Partition:
    return Partition(found["Values"][0], found["StorageDescriptor"]["Location"].rstrip("/"), found["Parameters"])
