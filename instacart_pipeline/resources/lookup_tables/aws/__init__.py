"""Lookup tables on DynamoDB: batches of 25, several side by side, conditional writes for the rest."""

import base64
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import Any, TypeVar

from dagster import ResourceDependency

from instacart_pipeline.lake.errors import InputInvalid
from instacart_pipeline.resources.aws_account.errors import AwsConflict
from instacart_pipeline.resources.aws_account.patience import RetryPolicy
from instacart_pipeline.resources.aws_account.session import AwsSession
from instacart_pipeline.resources.lookup_tables import Item, LookupsBusy, LookupTable, LookupTables, Page, Value
from instacart_pipeline.resources.lookup_tables.aws.dynamo import (
    MOST_ITEM_BYTES,
    DynamoTable,
    packed,
    size_of,
    unpacked,
)

Work = TypeVar("Work")

_MOST_AT_ONCE = 25
"""Items of one BatchWriteItem."""
_SIDE_BY_SIDE = 8
"""Requests of one put under way at once."""
_MOST_KEY_BYTES = (2048, 1024)
"""The longest partition key and sort key there can be."""


class DynamoLookupTables(LookupTables):
    """The DynamoDB tables whose names are `prefix` and a table's own; `instacart-pipeline deploy` makes them.

    What DynamoDB holds back is tried again for `patience_seconds` before LookupsBusy is raised.
    """

    session: ResourceDependency[AwsSession]
    prefix: str
    patience_seconds: float = 10.0

    def put(self, table: LookupTable, items: Iterable[Item]) -> None:
        """See LookupTables. Raises InputInvalid, nothing being stored, if an item is larger than DynamoDB takes."""
        newest = {table.key_of(item): item for item in items}
        for item in newest.values():
            _require_small(table, item)
        self._write(table, [{"PutRequest": {"Item": packed(item)}} for item in newest.values()])

    def put_if_new(self, table: LookupTable, item: Item) -> bool:
        """See LookupTables. Raises InputInvalid if the item is larger than DynamoDB takes."""
        _require_small(table, item)
        patience = RetryPolicy(self.patience_seconds)
        if self._put_on(table, item, patience, "attribute_not_exists(#k)", names={"#k": table.partition_key}):
            return True
        # A try whose answer was lost may have stored it, and the next one then met it: that was us.
        return patience.unanswered and self.get(table, *table.key_of(item)) == dict(item)

    def put_if_greater(self, table: LookupTable, items: Iterable[Item], attribute: str) -> None:
        """See LookupTables. Raises InputInvalid, nothing being stored, if an item is larger than DynamoDB takes."""
        greatest: dict[tuple[str, str], Item] = {}
        for item in items:
            _require_small(table, item)
            other = greatest.setdefault(table.key_of(item), item)
            if int(other[attribute]) < int(item[attribute]):
                greatest[table.key_of(item)] = item

        def put(item: Item) -> None:
            condition, values = "attribute_not_exists(#a) OR #a < :a", packed({":a": item[attribute]})
            self._put_on(
                table, item, RetryPolicy(self.patience_seconds), condition, names={"#a": attribute}, values=values
            )

        _side_by_side(put, list(greatest.values()))

    def get(self, table: LookupTable, partition: str, sort: str = "") -> dict[str, Value] | None:
        """See LookupTables."""
        if not _can_be_key(partition, 0) or (table.sort_key and not _can_be_key(sort, 1)):
            return None
        found = self._table(table).call("get_item", Key=_key(table, partition, sort), ConsistentRead=True)
        return unpacked(found["Item"]) if "Item" in found else None

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
        key, sort_key = table.indexes[index] if index else (table.partition_key, table.sort_key)
        keys = _names(key, sort_key, table.partition_key, table.sort_key)
        begin = _place(after, keys, {key: partition})
        if not _can_be_key(partition, 0):
            return Page([])
        return self._page(
            table,
            "query",
            keys,
            begin,
            limit,
            KeyConditionExpression="#k = :k",
            ExpressionAttributeNames={"#k": key},
            ExpressionAttributeValues={":k": {"S": partition}},
            ScanIndexForward=not descending,
            **({"IndexName": index} if index else {"ConsistentRead": True}),
        )

    def sizes(self, table: LookupTable, partitions: Sequence[str], limit: int) -> dict[str, int]:
        """See LookupTables. DynamoDB charges for what is counted as if it were read, but doesn't send it."""
        found: dict[str, int] = {}

        def count(partition: str) -> None:
            found[partition] = self._size(table, partition, limit) if _can_be_key(partition, 0) else 0

        _side_by_side(count, list(dict.fromkeys(partitions)))
        return found

    def scan(self, table: LookupTable, *, after: str = "", limit: int = 1000) -> Page:
        """See LookupTables."""
        keys = _names(table.partition_key, table.sort_key)
        return self._page(table, "scan", keys, _place(after, keys, {}), limit, ConsistentRead=True)

    def delete(self, table: LookupTable, keys: Iterable[tuple[str, str]]) -> None:
        """See LookupTables."""
        self._write(table, [{"DeleteRequest": {"Key": _key(table, *key)}} for key in dict.fromkeys(keys)])

    def count(self, table: LookupTable) -> int:
        """See LookupTables. Reads, and pays for, the whole table."""
        there, counted = self._table(table), 0
        going_on: dict[str, Any] = {}
        while True:
            found = there.call("scan", Select="COUNT", ConsistentRead=True, **going_on)
            counted += int(found["Count"])
            if not found.get("LastEvaluatedKey"):
                return counted
            going_on = {"ExclusiveStartKey": found["LastEvaluatedKey"]}

    def _size(self, table: LookupTable, partition: str, limit: int) -> int:
        there, counted = self._table(table), 0
        going_on: dict[str, Any] = {}
        while counted < limit:
            told = there.call(
                "query",
                Select="COUNT",
                ConsistentRead=True,
                Limit=limit - counted,
                KeyConditionExpression="#k = :k",
                ExpressionAttributeNames={"#k": table.partition_key},
                ExpressionAttributeValues={":k": {"S": partition}},
                **going_on,
            )
            counted += int(told["Count"])
            if not told.get("LastEvaluatedKey"):
                break
            going_on = {"ExclusiveStartKey": told["LastEvaluatedKey"]}
        return counted

    def _table(self, table: LookupTable) -> DynamoTable:
        return DynamoTable(self.session, f"{self.prefix}{table.name}", self.patience_seconds, LookupsBusy)

    def _write(self, table: LookupTable, requests: Sequence[dict[str, Any]]) -> None:
        there = self._table(table)
        _side_by_side(lambda batch: _write_batch(there, batch), list(_batches(requests)))

    def _put_on(
        self,
        table: LookupTable,
        item: Item,
        patience: RetryPolicy,
        condition: str,
        *,
        names: dict[str, str],
        values: Any = None,
    ) -> bool:
        """Store an item on a condition; whether it held."""
        given = {"ExpressionAttributeValues": values} if values else {}
        try:
            self._table(table).call(
                "put_item",
                patience,
                Item=packed(item),
                ConditionExpression=condition,
                ExpressionAttributeNames=names,
                **given,
            )
        except AwsConflict:
            return False
        return True

    def _page(
        self, table: LookupTable, operation: str, keys: Sequence[str], begin: Any, limit: int, **parameters: Any
    ) -> Page:
        """A page of at most `limit` items. One more is asked for, since DynamoDB doesn't tell whether a page was the last."""
        there = self._table(table)
        found: list[dict[str, Value]] = []
        while len(found) <= limit:
            going_on = {"ExclusiveStartKey": begin} if begin else {}
            told = there.call(operation, Limit=limit + 1 - len(found), **going_on, **parameters)
            found += [unpacked(item) for item in told["Items"]]
            begin = told.get("LastEvaluatedKey")
            if not begin:
                break
        if len(found) <= limit:
            return Page(found)
        last = {name: found[limit - 1][name] for name in keys}
        return Page(found[:limit], base64.urlsafe_b64encode(json.dumps(last).encode()).decode())


def _write_batch(there: DynamoTable, batch: Sequence[dict[str, Any]]) -> None:
    patience = RetryPolicy(there.patience_seconds)
    left: Any = {there.name: batch}
    while left:
        left = there.ask("batch_write_item", patience, RequestItems=left).get("UnprocessedItems")
        if left and not patience.pause():
            raise there.busy(f"{len(left[there.name])} of {len(batch)} items were left unprocessed")


def _side_by_side(do: Callable[[Work], None], works: Sequence[Work]) -> None:
    """Do several things at once; the first error ends it, and what has not begun is not done."""
    if len(works) <= 1:
        for work in works:
            do(work)
        return
    # A pool of its own each time: one that is kept would not outlive a fork.
    pool = ThreadPoolExecutor(min(_SIDE_BY_SIDE, len(works)))
    try:
        for _ in pool.map(do, works):
            pass
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _batches(requests: Iterable[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    rest = iter(requests)
    while batch := list(islice(rest, _MOST_AT_ONCE)):
        yield batch


def _key(table: LookupTable, partition: str, sort: str) -> dict[str, dict[str, Any]]:
    key: dict[str, Value] = {table.partition_key: partition}
    if table.sort_key:
        key[table.sort_key] = sort
    return packed(key)


def _can_be_key(text: str, place: int) -> bool:
    """Whether an item can have it as its partition key (0) or sort key (1). DynamoDB refuses to look for any other."""
    return 0 < len(text.encode()) <= _MOST_KEY_BYTES[place]


def _names(*names: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(name for name in names if name))


def _place(after: str, keys: Sequence[str], fixed: dict[str, str]) -> Any:
    """The key that a page ended at; None for the first page. Raises InputInvalid."""
    if not after:
        return None
    try:
        place = json.loads(base64.b64decode(after.encode(), altchars=b"-_", validate=True))
    except ValueError:
        place = None
    texts = isinstance(place, dict) and all(isinstance(each, str) and each for each in place.values())
    if not (texts and set(place) == set(keys) and place.items() >= fixed.items()):
        raise InputInvalid(f"{after!r} is no place that a page ended at. Begin again without it.")
    return packed(place)


def _require_small(table: LookupTable, item: Item) -> None:
    if (size := size_of(item)) > MOST_ITEM_BYTES:
        key = ", ".join(part for part in table.key_of(item) if part)
        raise InputInvalid(
            f"The item {key[:200]} of the lookup table {table.name} has {size:,} bytes, more than the {MOST_ITEM_BYTES:,} that DynamoDB takes. "
            "Leave out of it what nobody looks up."
        )
