"""Lookup tables: single items found by their key in milliseconds.

Belongs here: what putting and finding items promise, in the terms of DynamoDB. Doesn't: which tables there are (retail/lookups.py).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from dagster import ConfigurableResource

from instacart_pipeline.lake.errors import PipelineError

Value = str | int | bool
"""What an attribute of an item may be. Amounts are kept as text, so that they stay exact; what is not known is left out."""
Item = Mapping[str, Value]


class LookupsBusy(PipelineError):
    """The tables take no more just now, though it was tried for a while. Some items may be stored: put all of them again."""


@dataclass(frozen=True)
class LookupTable:
    """A table's key: items of one partition key lie together, in the order of the sort key. Keys are texts, never empty.

    `indexes` are further (partition key, sort key) pairs that items can be found by; an item without these attributes is not in
    the index. `expires` names an attribute, in seconds since 1970, after which an item may be gone.
    """

    name: str
    partition_key: str
    sort_key: str = ""
    indexes: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    expires: str = ""

    def key_of(self, item: Item) -> tuple[str, str]:
        """The key of an item; the second part is empty without a sort key."""
        return str(item[self.partition_key]), str(item[self.sort_key]) if self.sort_key else ""


@dataclass(frozen=True)
class Page:
    """Items of one partition key in the order of the sort key. `after` goes on where this page ends; empty at the end."""

    items: Sequence[dict[str, Value]]
    after: str = ""


class LookupTables(ConfigurableResource[Any], ABC):
    """Tables of items. A put that returned is durable, and seen by every read that begins afterwards (an index: a moment later)."""

    @abstractmethod
    def put(self, table: LookupTable, items: Iterable[Item]) -> None:
        """Store items, each in place of the one with its key. Of several with one key the last stays. Raises LookupsBusy."""

    @abstractmethod
    def put_if_new(self, table: LookupTable, item: Item) -> bool:
        """Store an item unless there is one with its key; returns whether it was stored."""

    @abstractmethod
    def put_if_greater(self, table: LookupTable, items: Iterable[Item], attribute: str) -> None:
        """Store each item unless there is one with its key whose `attribute`, a number, is as large or larger."""

    @abstractmethod
    def get(self, table: LookupTable, partition: str, sort: str = "") -> dict[str, Value] | None:
        """The item of a key, or None."""

    @abstractmethod
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
        """The next items of one partition key, of the table or of one of its indexes, at most `limit`. `after` is a page's `after`.

        Raises InputInvalid if `after` is none that a page of this query gave.
        """

    @abstractmethod
    def sizes(self, table: LookupTable, partitions: Sequence[str], limit: int) -> Mapping[str, int]:
        """How many items each of these partition keys has; nothing is counted beyond `limit`. Quicker than to read the items."""

    @abstractmethod
    def scan(self, table: LookupTable, *, after: str = "", limit: int = 1000) -> Page:
        """The next items of the whole table, at most `limit`, in no particular order."""

    @abstractmethod
    def delete(self, table: LookupTable, keys: Iterable[tuple[str, str]]) -> None:
        """Remove the items of these keys; ones that are gone are no error."""

    @abstractmethod
    def count(self, table: LookupTable) -> int:
        """How many items there are. DynamoDB's own count is up to six hours old; this one counts."""

    def all_of(
        self, table: LookupTable, partition: str, *, index: str = "", limit: int = 1000
    ) -> list[dict[str, Value]]:
        """All items of one partition key, `limit` to a page."""
        found: list[dict[str, Value]] = []
        page = self.query(table, partition, limit=limit, index=index)
        found += page.items
        while page.after:
            page = self.query(table, partition, after=page.after, limit=limit, index=index)
            found += page.items
        return found
