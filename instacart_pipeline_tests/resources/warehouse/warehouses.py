"""A warehouse of either backend as the contract suite drives it: a small fact of its own for each test.

Belongs here: putting days of the lake table it is loaded from, and reading it, by the abstract resources alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from itertools import count
from typing import Any

from instacart_pipeline.lake.contracts import MONEY, Column, TableContract
from instacart_pipeline.lake.sql import Query
from instacart_pipeline.lake.versions import Version
from instacart_pipeline.resources.warehouse import Loaded, Warehouse
from instacart_pipeline_tests.platform import Platform, Row

_NUMBERS = count()
FIRST, SECOND, THIRD = "2010-12-01", "2010-12-02", "2010-12-03"


@dataclass(frozen=True)
class Shop:
    """A fact `sales`, the table `lines` of the lake that it is loaded from, and what is computed from it."""

    backend: Platform
    warehouse: Warehouse
    number: int

    @property
    def lines(self) -> TableContract:
        columns = [
            Column("line_id", "string"),
            Column("sold_at", "timestamp"),
            Column("note", "string"),
            Column("quantity", "int"),
            Column("price", MONEY),
            Column("paid", "boolean"),
            Column("weight", "double"),
        ]
        return TableContract("shop_curated", f"lines_{self.number}", "Lines as they come.", columns)

    @property
    def sales(self) -> TableContract:
        columns = [
            Column("line_id", "string", key=True),
            Column("sold_on", "date", nullable=False),
            Column("sold_at", "timestamp"),
            Column("note", "string", one_of=("it's \\ odd", "plain")),
            Column("quantity", "int", between=(-100, 100)),
            Column("amount", MONEY),
            Column("paid", "boolean"),
            Column("weight", "double"),
        ]
        return TableContract("shop_warehouse", f"sales_{self.number}", "A row a line.", columns)

    @property
    def notes(self) -> TableContract:
        columns = [Column("note", "string", key=True), Column("quantity", "bigint")]
        return TableContract("shop_warehouse", f"notes_{self.number}", "A row a note.", columns)

    @property
    def totals(self) -> TableContract:
        columns = [Column("sold_on", "date", key=True), Column("amount", MONEY, nullable=False), Column("n", "bigint")]
        return TableContract("shop_sandbox", f"totals_{self.number}", "A row a day.", columns, sorted_by=("sold_on",))

    @property
    def fact(self) -> Query:
        return self.parse(
            "SELECT line_id, CAST(sold_at AS date) AS sold_on, sold_at, note, quantity, quantity * price AS amount, paid, weight"
            " FROM {lines} WHERE dt = :dt"
        )

    def parse(self, text: str) -> Query:
        """A query in which {lines}, {sales} and {notes} are the shop's tables."""
        tables = {name: getattr(self, name).qualified_name for name in ("lines", "sales", "notes")}
        return Query.parse("asked", text.format(**tables))

    def put(self, dt: str, rows: Sequence[Row], version: str = "") -> Version:
        """Make `rows` the day of the lake's table."""
        return self.backend.put_rows(self.lines, rows, dt=dt, name=version)

    def load(self, *days: str, query: Query | None = None) -> Loaded:
        return self.warehouse.load(query or self.fact, self.sales, days)

    def ask(self, text: str) -> list[tuple[Any, ...]]:
        """The rows of a query."""
        table = self.warehouse.query(self.parse(text)).table
        return list(zip(*(column.to_pylist() for column in table.columns), strict=True))

    def ids(self) -> list[str]:
        """The lines that are loaded, with their days."""
        return [" ".join(row) for row in self.ask("SELECT dt, line_id FROM {sales} ORDER BY dt, line_id")]


def shop_of(backend: Platform, warehouse: Warehouse) -> Shop:
    """A shop that no other test has."""
    return Shop(backend, warehouse, next(_NUMBERS))


def line(line_id: str | None, dt: str = FIRST, **changes: Any) -> Row:
    """A line sold on a day."""
    told = {"line_id": line_id, "sold_at": datetime.fromisoformat(f"{dt}T08:26:00.123456"), "note": "plain"}
    return {**told, "quantity": 2, "price": Decimal("1.2500"), "paid": True, "weight": 0.5, **changes}


def day_of(dt: str) -> date:
    return date.fromisoformat(dt)
