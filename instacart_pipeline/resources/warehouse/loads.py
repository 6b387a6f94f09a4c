"""What both backends of the warehouse make of a query and its target before any engine is asked.

Belongs here: the table of loads that a warehouse keeps of itself, what a load reads, and what its errors say.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

from sqlglot import exp

from instacart_pipeline.lake.contracts import PARTITION, Column, TableContract
from instacart_pipeline.lake.errors import InputInvalid, PipelineError, TableNotFound, UnsupportedSql
from instacart_pipeline.lake.sql import Query
from instacart_pipeline.lake.zones import parse_day
from instacart_pipeline.resources.catalog import Catalog, CatalogTable, Partition

DAY = "day_of_the_row"
"""The column that `over_days` adds to a query."""
_OF_SEVERAL_ROWS = (
    *(exp.AggFunc, exp.Window, exp.Group, exp.Having, exp.Distinct, exp.Join, exp.Lateral, exp.Unnest),
    *(exp.Limit, exp.Offset, exp.Fetch, exp.TableSample),
)
Columns = Mapping[str, str]
"""Column -> type by its Glue name, dt included."""


class WarehouseOutdated(PipelineError):
    """A table of the warehouse has other columns than its contract by now."""


@dataclass(frozen=True)
class Load:
    """The record of one day of a table: which load brought it, and what it was computed from (table name -> version)."""

    dt: str
    version: str
    rows: int
    lineage: Mapping[str, str]

    @classmethod
    def of(cls, dt: str, version: str, rows: int, lineage: str) -> Load:
        """The record as the table of loads keeps it."""
        return cls(dt, version, rows, json.loads(lineage))

    @property
    def loaded_at(self) -> datetime:
        """When the load began, in UTC: its name says so."""
        return datetime.strptime(self.version.split("-", maxsplit=1)[0], "%Y%m%dT%H%M%S%f")

    @property
    def within_warehouse(self) -> dict[str, str]:
        """The part of the lineage that names tables of the warehouse."""
        return {
            name: version
            for name, version in self.lineage.items()
            if name.split(".", maxsplit=1)[0].endswith("_warehouse")
        }

    @property
    def lineage_json(self) -> str:
        """The lineage as the table of loads keeps it."""
        return json.dumps(dict(self.lineage), sort_keys=True)


def loads_of(database: str) -> TableContract:
    """The table in which the warehouse keeps what is loaded, a row a table and day."""
    return TableContract(
        database=database,
        name="loads",
        description="Which load brought each day of each table, and from what.",
        columns=[
            Column("table_name", "string", key=True),
            Column("version", "string", "Of the load; grows with time.", nullable=False),
            Column("loaded_at", "timestamp", "UTC.", nullable=False),
            Column("row_count", "bigint", nullable=False),
            Column("lineage", "string", "Version of each table it was computed from, as JSON.", nullable=False),
        ],
    )


def at_day(query: Query, dt: str) -> Query:
    """The query with its parameter `:dt` bound, if it takes it. Raises UnsupportedSql if it takes others."""
    takes_day = any(placeholder.name == "dt" for placeholder in query.expression.find_all(exp.Placeholder))
    return query.bind(**({"dt": dt} if takes_day else {}))


def over_days(query: Query) -> Query | None:
    """The query over any number of days at once, each row's day beside it as DAY; None if it must be asked day by day.

    It need not be if every row comes from one row: then the parameter `:dt` is that row's own day.
    """
    select = query.expression
    if not isinstance(select, exp.Select) or len(list(select.find_all(exp.Select, exp.Table))) > 2:
        return None
    if select.find(*_OF_SEVERAL_ROWS):
        return None
    (table,) = select.find_all(exp.Table)
    own_day = exp.column(PARTITION, table=table.alias_or_name)
    made = select.copy()
    for placeholder in list(made.find_all(exp.Placeholder)):
        placeholder.replace(own_day.copy())
    return Query(query.name, made.select(exp.alias_(own_day, DAY)))


def sources_of(catalog: Catalog, query: Query, days: Iterable[str]) -> tuple[CatalogTable, list[Partition]]:
    """The one table of the lake that a load reads, and of these days those that it has, as they are now.

    Raises UnsupportedSql if the query reads none or several; TableNotFound; InputInvalid on what is no day.
    """
    asked = {parse_day(dt) for dt in days}
    if not asked:
        raise InputInvalid(f"{query.name}: name at least one day to load.")
    at_day(query, "2000-01-01")  # raises before anything is asked if the query can't be bound
    tables = query.tables()
    if len(tables) != 1:
        named = ", ".join(".".join(table) for table in tables) or "none"
        raise UnsupportedSql(f"{query.name}: a load reads one table of the lake; this query reads {named}.")
    table = catalog.table(*tables[0])
    return table, [found for found in catalog.partitions(table.database, table.name) if found.dt in asked]


def lineages(table: CatalogTable, partitions: Iterable[Partition]) -> dict[str, dict[str, str]]:
    """The lineage of each day of a load."""
    versions = {partition.dt: partition.version for partition in partitions}
    return {dt: {**version.lineage, table.qualified_name: version.name} for dt, version in versions.items()}


def newest(several: Iterable[Mapping[str, str]]) -> dict[str, str]:
    """One lineage of several: of each name its newest version."""
    made: dict[str, str] = {}
    for lineage in several:
        for name, version in lineage.items():
            made[name] = max(version, made.get(name, version))
    return made


def format_days(days: Collection[str]) -> str:
    """Days in words: 2010-12-01 to 2011-12-09 (305 days)."""
    ordered = sorted(days)
    return ordered[0] if len(ordered) == 1 else f"{ordered[0]} to {ordered[-1]} ({len(ordered)} days)"


def table_not_found_error(query: Query, table: str, there_is: Collection[str]) -> TableNotFound:
    """The error of a query over a table that the warehouse lacks."""
    system = table.split("_", maxsplit=1)[0]
    return TableNotFound(
        f"{query.name} reads {table}, which the warehouse does not have. There is {', '.join(sorted(there_is)) or 'nothing yet'}. "
        f"Load it with `instacart-pipeline run {system}`."
    )


def require_columns(target: TableContract, has: Columns, wants: Columns) -> None:
    """Raise WarehouseOutdated unless a table of the warehouse has the columns that its contract wants."""
    if dict(has) == dict(wants):
        return
    differing = sorted({name for name, _ in {*has.items()} ^ {*wants.items()}})
    raise WarehouseOutdated(
        f"{target.qualified_name} in the warehouse has other columns than its contract ({', '.join(differing)} differ). "
        f"Load all of its days in one run: then the table is made anew."
    )


def columns_of(target: TableContract) -> dict[str, str]:
    """The columns that a contract makes in the warehouse."""
    return {**{column.name: str(column.type) for column in target.columns}, PARTITION: "string"}
