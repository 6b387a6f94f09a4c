"""The Glue catalog in moto, as the engines read and write it."""

from __future__ import annotations

import threading
from typing import Any

from botocore.exceptions import ClientError

Table = dict[str, Any]
Partition = dict[str, Any]

_TABLE_INPUT = frozenset(
    [
        "Name",
        "Description",
        "Owner",
        "LastAccessTime",
        "LastAnalyzedTime",
        "Retention",
        "StorageDescriptor",
        "PartitionKeys",
        "ViewOriginalText",
        "ViewExpandedText",
        "TableType",
        "Parameters",
        "TargetTable",
        "ViewDefinition",
    ]
)
_PARTITION_INPUT = frozenset(["Values", "LastAccessTime", "StorageDescriptor", "Parameters", "LastAnalyzedTime"])


class Catalog:
    """Databases, tables and partitions. Its requests are not recorded and no fault hits them."""

    def __init__(self, glue: Any) -> None:
        self._glue = glue
        self.lock = threading.Lock()

    def table(self, database: str, name: str) -> Table | None:
        """A table, or None."""
        try:
            found: Table = self._glue.get_table(DatabaseName=database, Name=name)["Table"]
        except self._glue.exceptions.EntityNotFoundException:
            return None
        return found

    def tables(self, database: str) -> list[Table]:
        """All tables of a database."""
        pages = self._glue.get_paginator("get_tables").paginate(DatabaseName=database)
        return [table for page in pages for table in page["TableList"]]

    def has_database(self, name: str) -> bool:
        """Whether there is a database of that name."""
        try:
            self._glue.get_database(Name=name)
        except self._glue.exceptions.EntityNotFoundException:
            return False
        return True

    def put_table(self, database: str, table: Table) -> None:
        """Create or update a table; what get_table adds to a definition is left out."""
        definition = {name: value for name, value in table.items() if name in _TABLE_INPUT}
        if self.table(database, table["Name"]) is None:
            self._glue.create_table(DatabaseName=database, TableInput=definition)
        else:
            self._glue.update_table(DatabaseName=database, TableInput=definition)

    def create_table(self, database: str, table: Table) -> None:
        """Create a table. Raises ClientError AlreadyExistsException if there is one."""
        self._glue.create_table(DatabaseName=database, TableInput=table)

    def create_database(self, name: str) -> None:
        """Create a database."""
        self._glue.create_database(DatabaseInput={"Name": name})

    def delete_table(self, database: str, name: str) -> bool:
        """Delete a table; whether there was one."""
        try:
            self._glue.delete_table(DatabaseName=database, Name=name)
        except self._glue.exceptions.EntityNotFoundException:
            return False
        return True

    def partitions(self, database: str, name: str) -> list[Partition]:
        """All partitions of a table."""
        pages = self._glue.get_paginator("get_partitions").paginate(DatabaseName=database, TableName=name)
        return [partition for page in pages for partition in page["Partitions"]]

    def partition(self, database: str, name: str, values: list[str]) -> Partition | None:
        """A partition as it is right now, or None."""
        try:
            found: Partition = self._glue.get_partition(DatabaseName=database, TableName=name, PartitionValues=values)[
                "Partition"
            ]
        except self._glue.exceptions.EntityNotFoundException:
            return None
        return found

    def put_partition(self, database: str, name: str, partition: Partition) -> None:
        """Create or update a partition."""
        definition = {key: value for key, value in partition.items() if key in _PARTITION_INPUT}
        place = {"DatabaseName": database, "TableName": name}
        try:
            self._glue.create_partition(**place, PartitionInput=definition)
        except ClientError as error:
            if error.response["Error"]["Code"] != "AlreadyExistsException":
                raise
            self._glue.update_partition(**place, PartitionValueList=definition["Values"], PartitionInput=definition)

    def delete_partition(self, database: str, name: str, values: list[str]) -> None:
        """Delete a partition that exists."""
        self._glue.delete_partition(DatabaseName=database, TableName=name, PartitionValues=values)
