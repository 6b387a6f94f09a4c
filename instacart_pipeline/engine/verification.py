"""Holding a written version to its contract, on DuckDB, before anybody reads it.

Belongs here: counting the rows that break each rule of lake/rules.py. Every count is exact.
"""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from instacart_pipeline.engine.connection import one_row, quoted
from instacart_pipeline.lake.contracts import TableContract
from instacart_pipeline.lake.rules import Outcome, Rule, outcome_of, rules_of

if TYPE_CHECKING:
    import numpy as np
    from duckdb import DuckDBPyConnection
    from numpy.typing import NDArray

_INTEGERS = ("int", "bigint")
_INT64 = 1 << 63
_SORTED_AT_ONCE = 17_500_000
"""Rows, of 8 bytes each, in one slice of the search for doubled keys. Two slices are in memory at a time."""


def verify(
    connection: DuckDBPyConnection, table: TableContract, folder: Path, references: Mapping[str, str]
) -> tuple[int, tuple[Outcome, ...]]:
    """The number of rows in the Parquet files of `folder`, and what comes of each rule of `table`.

    `references` gives the folder of each table, by its qualified name, that a foreign key points to.
    """
    source = f"read_parquet({quoted(f'{folder}/*.parquet')})"
    (rows,) = one_row(connection, f"SELECT count(*) FROM {source}")
    # Least, greatest and count of most number columns stand in the Parquet footers. Asked for one column at a time, so
    # that a column for which they don't (it may hold NaN) costs the reading of that column alone.
    extremes = {
        column.name: one_row(
            connection, f'SELECT min("{column.name}"), max("{column.name}"), count("{column.name}") FROM {source}'
        )
        for column in table.columns
        if column.type != "string"
    }

    def outcome(rule: Rule) -> Outcome:
        with connection.cursor() as own:
            return _Judge(own, table, references, source, rows, extremes).outcome(rule)

    # Sorting for doubled keys takes one core, looking up foreign keys the others.
    with ThreadPoolExecutor(max_workers=2) as pool:
        return rows, tuple(pool.map(outcome, rules_of(table)))


class _Judge:
    """One version under examination. `extremes`: (least, greatest, number of non-NULL values) of each number column."""

    def __init__(
        self,
        connection: DuckDBPyConnection,
        table: TableContract,
        references: Mapping[str, str],
        source: str,
        rows: int,
        extremes: Mapping[str, tuple[Any, ...]],
    ) -> None:
        self.connection, self.table, self.references = connection, table, references
        self.source, self.rows, self.extremes = source, rows, extremes

    def outcome(self, rule: Rule) -> Outcome:
        """What comes of one rule, with each column that breaks it named."""
        if rule.kind == "unique":
            return outcome_of(rule, {"": self._doubled(rule.columns)})
        count = {
            "not_null": self._nulls,
            "in_range": self._out_of_range,
            "allowed_values": self._not_allowed,
            "references": self._unknown,
        }[rule.kind]
        return outcome_of(rule, {name: count(name) for name in rule.columns})

    def _count(self, predicate: str) -> int:
        return int(one_row(self.connection, f"SELECT count(*) FROM {self.source} WHERE {predicate}")[0])

    def _nulls(self, name: str) -> int:
        if name in self.extremes:
            return int(self.rows - self.extremes[name][2])
        return self._count(f'"{name}" IS NULL')

    def _out_of_range(self, name: str) -> int:
        low, high = self.table.column(name).between or (0, 0)
        least, greatest, filled = self.extremes[name]
        if not filled or (low <= least and greatest <= high):
            return 0
        return self._count(f'NOT ("{name}" BETWEEN {low} AND {high})')

    def _not_allowed(self, name: str) -> int:
        allowed = ", ".join(quoted(value) for value in self.table.column(name).one_of or ())
        return self._count(f'"{name}" NOT IN ({allowed})')

    def _unknown(self, name: str) -> int:
        target = self.table.column(name).references
        assert target is not None  # noqa: S101  # a references rule comes from a column that has one
        known = self.references[target.table.qualified_name]
        return int(
            one_row(
                self.connection,
                f"SELECT count(*) FROM {self.source} AS own ANTI JOIN read_parquet({quoted(f'{known}/*.parquet')}) AS other"
                f' ON own."{name}" = other."{target.column}" WHERE own."{name}" IS NOT NULL',
            )[0]
        )

    def _doubled(self, columns: tuple[str, ...]) -> int:
        packed = self._packed(columns)
        if packed is not None:
            select = f"SELECT {packed} AS packed FROM {self.source}"
            with ThreadPoolExecutor(max_workers=2) as pool:
                return sum(
                    pool.map(lambda part: self._neighbours_alike(f"{select} WHERE {part}"), self._slices(columns))
                )
        names = ", ".join(f'"{name}"' for name in columns)
        known = " AND ".join(f'"{name}" IS NOT NULL' for name in columns)  # NULL is like nothing else
        grouped = f"SELECT count(*) AS n FROM {self.source} WHERE {known} GROUP BY {names} HAVING count(*) > 1"
        return int(one_row(self.connection, f"SELECT coalesce(sum(n - 1), 0) FROM ({grouped})")[0])

    def _packed(self, columns: tuple[str, ...]) -> str | None:
        """The columns as one 64-bit integer, if they are whole numbers without NULLs whose ranges fit; else None."""
        expression, span = "", 1
        for name in columns:
            if self.table.column(name).type not in _INTEGERS or self.extremes[name][2] < self.rows or not self.rows:
                return None
            least, greatest, _ = (int(value) for value in self.extremes[name])
            width = greatest - least + 1
            span *= width
            value = f'("{name}"::BIGINT - {least})'
            expression = f"({expression} * {width} + {value})" if expression else value
        return expression if span < _INT64 else None

    def _slices(self, columns: tuple[str, ...]) -> list[str]:
        """Predicates that part the rows by ranges of the column with the widest one, as whole files often lie in its order."""

        def width(name: str) -> int:
            return int(self.extremes[name][1]) - int(self.extremes[name][0]) + 1

        widest = max(columns, key=width)
        count = min(max(2, -(-self.rows // _SORTED_AT_ONCE)), width(widest))
        step = -(-width(widest) // count)
        least = int(self.extremes[widest][0])
        bounds = range(least, least + width(widest), step)
        return [f'"{widest}" BETWEEN {start} AND {start + step - 1}' for start in bounds]

    def _neighbours_alike(self, select: str) -> int:
        """How many values of a one-column BIGINT select equal another before them.

        Sorting 8-byte integers in place takes a quarter of the time and memory of a hash table over the same rows.
        """
        with self.connection.cursor() as own:
            values = cast("NDArray[np.int64]", own.execute(select).fetchnumpy()["packed"])
        values.sort()
        return int((values[1:] == values[:-1]).sum())
