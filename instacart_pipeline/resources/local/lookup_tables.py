"""Lookup tables on this machine: a SQLite file a table, items as JSON under their key."""

from __future__ import annotations

import base64
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import orjson

from instacart_pipeline.lake.errors import InputInvalid
from instacart_pipeline.resources.local.sqlite_file import transaction, translated
from instacart_pipeline.resources.lookup_tables import Item, LookupsBusy, LookupTable, LookupTables, Page, Value

_BY_KEY = "pk = ? AND sk = ?"


class SqliteLookupTables(LookupTables):
    """The tables below the folder `home`."""

    home: str

    def put(self, table: LookupTable, items: Iterable[Item]) -> None:
        """See LookupTables."""
        with self._file(table, write=True) as db:
            db.executemany("INSERT OR REPLACE INTO items (pk, sk, item) VALUES (?, ?, ?)", _rows(table, items))

    def put_if_new(self, table: LookupTable, item: Item) -> bool:
        """See LookupTables."""
        with self._file(table, write=True) as db:
            return (
                db.execute(
                    "INSERT OR IGNORE INTO items (pk, sk, item) VALUES (?, ?, ?)", *_rows(table, [item])
                ).rowcount
                == 1
            )

    def put_if_greater(self, table: LookupTable, items: Iterable[Item], attribute: str) -> None:
        """See LookupTables."""
        grows = f"coalesce(json_extract(item, '$.{attribute}'), -1e300) < json_extract(excluded.item, '$.{attribute}')"
        with self._file(table, write=True) as db:
            db.executemany(
                "INSERT INTO items (pk, sk, item) VALUES (?, ?, ?)"
                f" ON CONFLICT (pk, sk) DO UPDATE SET item = excluded.item WHERE {grows}",
                _rows(table, items),
            )

    def get(self, table: LookupTable, partition: str, sort: str = "") -> dict[str, Value] | None:
        """See LookupTables."""
        with self._file(table) as db:
            row = db.execute(f"SELECT item FROM items WHERE {_BY_KEY}", (partition, sort)).fetchone()
        return orjson.loads(row[0]) if row else None

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
        pk, sk = (f"{index}_pk", f"{index}_sk") if index else ("pk", "sk")
        way, beyond = ("DESC", "<") if descending else ("ASC", ">")
        # Two items of an index may share its keys, so their own keys break the tie.
        going_on, given = ("", ()) if not after else (f" AND ({sk}, pk, sk) {beyond} (?, ?, ?)", _after(after, 3))
        with self._file(table) as db:
            rows = db.execute(
                f"SELECT {sk}, pk, sk, item FROM items WHERE {pk} = ?{going_on} ORDER BY {sk} {way}, pk {way}, sk {way} LIMIT ?",
                (partition, *given, limit + 1),
            ).fetchall()
        return _page(rows, limit)

    def scan(self, table: LookupTable, *, after: str = "", limit: int = 1000) -> Page:
        """See LookupTables."""
        going_on, given = ("", ()) if not after else (" WHERE (pk, sk) > (?, ?)", _after(after, 2))
        with self._file(table) as db:
            rows = db.execute(
                f"SELECT pk, sk, item FROM items{going_on} ORDER BY pk, sk LIMIT ?", (*given, limit + 1)
            ).fetchall()
        return _page(rows, limit)

    def delete(self, table: LookupTable, keys: Iterable[tuple[str, str]]) -> None:
        """See LookupTables."""
        with self._file(table, write=True) as db:
            db.executemany(f"DELETE FROM items WHERE {_BY_KEY}", keys)

    def count(self, table: LookupTable) -> int:
        """See LookupTables."""
        with self._file(table) as db:
            return int(db.execute("SELECT count(*) FROM items").fetchone()[0])

    @contextmanager
    def _file(self, table: LookupTable, *, write: bool = False) -> Iterator[sqlite3.Connection]:
        path = Path(self.home) / "lookups" / f"{table.name}.sqlite"
        with translated(path, LookupsBusy, LookupsBusy), transaction(path, _schema(table), write=write) as db:
            yield db


def _schema(table: LookupTable) -> str:
    columns, indexes = "", ""
    for name, attributes in table.indexes.items():
        for part, attribute in zip(("pk", "sk"), attributes, strict=True):
            columns += f", {name}_{part} TEXT GENERATED ALWAYS AS (json_extract(item, '$.{attribute}')) VIRTUAL"
        indexes += (
            f"CREATE INDEX IF NOT EXISTS {name} ON items ({name}_pk, {name}_sk, pk, sk) WHERE {name}_pk IS NOT NULL; "
        )
    return f"CREATE TABLE IF NOT EXISTS items (pk TEXT NOT NULL, sk TEXT NOT NULL, item TEXT NOT NULL{columns}, PRIMARY KEY (pk, sk)) WITHOUT ROWID; {indexes}"


def _rows(table: LookupTable, items: Iterable[Item]) -> list[tuple[str, str, str]]:
    return [(*table.key_of(item), orjson.dumps(item).decode()) for item in items]


def _page(rows: Sequence[Sequence[Any]], limit: int) -> Page:
    """A page of rows (..., item) of which one more than `limit` was asked for; what goes on after it is the place of its last row."""
    shown = rows[:limit]
    after = base64.urlsafe_b64encode(orjson.dumps(shown[-1][:-1])).decode() if len(rows) > limit else ""
    return Page([orjson.loads(row[-1]) for row in shown], after)


def _after(text: str, parts: int) -> tuple[str, ...]:
    try:
        place = orjson.loads(base64.urlsafe_b64decode(text.encode()))
    except ValueError:
        place = None
    if not (isinstance(place, list) and len(place) == parts and all(isinstance(part, str) for part in place)):
        raise InputInvalid(f"{text!r} is no place that a page ended at. Begin again without it.")
    return tuple(place)
