"""Lookup tables on DynamoDB."""

from collections.abc import Iterable

from dagster import ResourceDependency

from instacart_pipeline.lake.errors import PipelineError
from instacart_pipeline.resources.aws.session import AwsSession
from instacart_pipeline.resources.lookup_tables import Item, LookupTable, LookupTables, Page, Value


class DynamoLookupTables(LookupTables):
    """The DynamoDB tables whose names are `prefix` and a table's own."""

    session: ResourceDependency[AwsSession]
    prefix: str

    def put(self, table: LookupTable, items: Iterable[Item]) -> None:
        """See LookupTables."""
        raise PipelineError(f"{table.name} can't be written yet: {items}.")

    def put_if_new(self, table: LookupTable, item: Item) -> bool:
        """See LookupTables."""
        raise PipelineError(f"{table.name} can't be written yet: {item}.")

    def put_if_greater(self, table: LookupTable, items: Iterable[Item], attribute: str) -> None:
        """See LookupTables."""
        raise PipelineError(f"{table.name} can't be written yet: {items} by {attribute}.")

    def get(self, table: LookupTable, partition: str, sort: str = "") -> dict[str, Value] | None:
        """See LookupTables."""
        raise PipelineError(f"{table.name} can't be read yet: {partition} {sort}.")

    def query(
        self,
        table: LookupTable,
        partition: str,
        *,
        after: str = "",
        limit: int = 100,
        index: str = "",
        descending: bool = False,
    ) -> Page:
        """See LookupTables."""
        raise PipelineError(f"{table.name} can't be read yet: {partition} {after} {limit} {index} {descending}.")

    def scan(self, table: LookupTable, *, after: str = "", limit: int = 1000) -> Page:
        """See LookupTables."""
        raise PipelineError(f"{table.name} can't be read yet: {after} {limit}.")

    def delete(self, table: LookupTable, keys: Iterable[tuple[str, str]]) -> None:
        """See LookupTables."""
        raise PipelineError(f"{table.name} can't be written yet: {keys}.")

    def count(self, table: LookupTable) -> int:
        """See LookupTables."""
        raise PipelineError(f"{table.name} can't be read yet.")
