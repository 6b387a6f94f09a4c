"""Lookup tables on this machine: a SQLite file a table, items as JSON under their key.

What an index needs of an item stands in columns beside the JSON, filled when it is put: SQLite can index into JSON, but more slowly.
"""

from __future__ import annotations

import base64
import os
import time
from collections.abc import Iterable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import orjson

from instacart_pipeline.lake.errors import InputInvalid
from instacart_pipeline.resources.local_machine.sqlite_file import SqliteFile
from instacart_pipeline.resources.lookup_tables import Item, LookupsBusy, LookupTable, LookupTables, Page, Value

_WAIT_SECONDS = 10.0
"""How long a put waits for other processes to write to its table before the tables count as busy."""
_EXPIRED_AT_ONCE = 100
"""How many expired items a put removes: more than it adds in the tables that have any."""


class SqliteLookupTables(LookupTables):
    """The tables below the folder `home`."""

    home: str

    def put(self, table: LookupTable, items: Iterable[Item]) -> None:
        """See LookupTables. What stands there already is not written again, so going over the same records twice is cheap."""
        self._put(table, items, "item IS NOT excluded.item")

    def put_if_new(self, table: LookupTable, item: Item) -> bool:
        """See LookupTables."""
        return self._put(table, [item], "false") == 1

    def put_if_greater(self, table: LookupTable, items: Iterable[Item], attribute: str) -> None:
        """See LookupTables."""
        there, given = (f"json_extract({item}, '$.{attribute}')" for item in ("item", "excluded.item"))
        self._put(table, items, f"coalesce({there}, -9e999) < {given}")

    def get(self, table: LookupTable, partition: str, sort: str = "") -> dict[str, Value] | None:
        """See LookupTables."""
        found = self._rows(table, "SELECT item FROM items WHERE pk = ? AND sk = ?", (partition, sort))
        return orjson.loads(found[0][0]) if found else None

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
        pk, sk = (_column(table, attribute) for attribute in table.indexes[index]) if index else ("pk", "sk")
        way, beyond = ("DESC", "<") if descending else ("ASC", ">")
        asked = [index, partition]
        # Two items of an index may share its keys, so their own keys break the tie.
        going_on, place = (f" AND ({sk}, pk, sk) {beyond} (?, ?, ?)", _place(after, asked, 3)) if after else ("", ())
        rows = self._rows(
            table,
            f"SELECT {sk}, pk, sk, item FROM items WHERE {pk} = ? AND {sk} IS NOT NULL{going_on}"
            f" ORDER BY {sk} {way}, pk {way}, sk {way} LIMIT ?",
            (partition, *place, limit + 1),
        )
        return _page(rows, limit, asked)

    def sizes(self, table: LookupTable, partitions: Sequence[str], limit: int) -> dict[str, int]:
        """See LookupTables."""
        counted = "SELECT count(*) FROM (SELECT 1 FROM items WHERE pk = ? LIMIT ?)"
        with self._file(table).reading() as db:
            return {partition: db.execute(counted, (partition, limit)).fetchone()[0] for partition in partitions}

    def scan(self, table: LookupTable, *, after: str = "", limit: int = 1000) -> Page:
        """See LookupTables."""
        going_on, place = (" WHERE (pk, sk) > (?, ?)", _place(after, [], 2)) if after else ("", ())
        rows = self._rows(
            table, f"SELECT pk, sk, item FROM items{going_on} ORDER BY pk, sk LIMIT ?", (*place, limit + 1)
        )
        return _page(rows, limit, [])

    def delete(self, table: LookupTable, keys: Iterable[tuple[str, str]]) -> None:
        """See LookupTables."""
        with self._file(table).writing() as db:
            db.executemany("DELETE FROM items WHERE pk = ? AND sk = ?", keys)

    def count(self, table: LookupTable) -> int:
        """See LookupTables."""
        return int(self._rows(table, "SELECT count(*) FROM items", ())[0][0])

    def _put(self, table: LookupTable, items: Iterable[Item], replaces: str) -> int:
        """Insert items; one whose key is there takes its place if `replaces` holds of the two. Returns how many were written."""
        beside = _beside(table)
        columns = ["item", *beside.values()]
        insert = (
            f"INSERT INTO items (pk, sk, {', '.join(columns)}) VALUES (?, ?{', ?' * len(columns)})"
            f" ON CONFLICT (pk, sk) DO UPDATE SET {', '.join(f'{name} = excluded.{name}' for name in columns)} WHERE {replaces}"
        )
        rows = [(*table.key_of(item), orjson.dumps(item).decode(), *map(item.get, beside)) for item in items]
        with self._file(table).writing() as db:
            if table.expires:
                expired = f"SELECT pk, sk FROM items WHERE {beside[table.expires]} < ? LIMIT ?"
                db.execute(f"DELETE FROM items WHERE (pk, sk) IN ({expired})", (time.time(), _EXPIRED_AT_ONCE))
            return db.executemany(insert, rows).rowcount

    def _rows(self, table: LookupTable, query: str, given: Sequence[Any]) -> list[Any]:
        with self._file(table).reading() as db:
            return db.execute(query, given).fetchall()

    def _file(self, table: LookupTable) -> SqliteFile:
        return _file_of(f"{self.home}/lookups/{table.name}.sqlite", _schema(table), os.getpid())


# Dagster copies a resource for each one that depends on it; the open files are shared by all copies. A forked process opens its own.
@lru_cache(maxsize=256)
def _file_of(path: str, schema: str, _process: int) -> SqliteFile:
    return SqliteFile(Path(path), schema, busy=LookupsBusy, full=LookupsBusy, wait_seconds=_WAIT_SECONDS)


def _beside(table: LookupTable) -> dict[str, str]:
    """The columns beside the JSON, by attribute."""
    attributes = [attribute for pair in table.indexes.values() for attribute in pair]
    attributes += [table.expires] * bool(table.expires)
    own = {table.partition_key, table.sort_key}
    return {attribute: f"its_{attribute}" for attribute in attributes if attribute not in own}


def _column(table: LookupTable, attribute: str) -> str:
    """The column that holds an attribute which is part of a key."""
    return {table.partition_key: "pk", table.sort_key: "sk"}.get(attribute) or _beside(table)[attribute]


def _schema(table: LookupTable) -> str:
    columns = "".join(f", {column}" for column in _beside(table).values())
    made = f"CREATE TABLE IF NOT EXISTS items (pk TEXT NOT NULL, sk TEXT NOT NULL, item TEXT NOT NULL{columns}, PRIMARY KEY (pk, sk)) WITHOUT ROWID; "
    for name, attributes in table.indexes.items():
        pk, sk = (_column(table, attribute) for attribute in attributes)
        key = ", ".join(dict.fromkeys([pk, sk, "pk", "sk"]))
        made += f"CREATE INDEX IF NOT EXISTS {name} ON items ({key}) WHERE {pk} IS NOT NULL AND {sk} IS NOT NULL; "
    if table.expires:
        made += f"CREATE INDEX IF NOT EXISTS by_expiry ON items ({_beside(table)[table.expires]}); "
    return made


def _page(rows: Sequence[Sequence[Any]], limit: int, asked: list[str]) -> Page:
    """A page of rows (..., item), of which one more than `limit` was looked for. What follows is found by what was asked and the last row's place."""
    shown = rows[:limit]
    after = ""
    if len(rows) > limit:
        after = base64.urlsafe_b64encode(orjson.dumps([*asked, *shown[-1][:-1]])).decode()
    return Page([orjson.loads(row[-1]) for row in shown], after)


def _place(after: str, asked: list[str], parts: int) -> tuple[str, ...]:
    """The place of the last row of a page of the same query. Raises InputInvalid."""
    try:
        said = orjson.loads(base64.urlsafe_b64decode(after.encode()))
    except ValueError:
        said = None
    if (
        not isinstance(said, list)
        or len(said) != len(asked) + parts
        or said[: len(asked)] != asked
        or not all(isinstance(part, str) for part in said)
    ):
        raise InputInvalid(f"{after!r} is no place where a page of this query ended. Begin again without it.")
    return tuple(said[len(asked) :])
