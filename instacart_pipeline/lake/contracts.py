"""Table contracts: the one statement of what a table is.

Belongs here: columns, types, keys, ranges and what follows from them alone. From a contract come the DDL, the
crawler's comparison, the quality checks, Dagster's column schema and the data dictionary. Doesn't: how they are carried out.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, get_args

ColumnType = Literal["bigint", "int", "double", "decimal(18,4)", "string", "boolean", "date", "timestamp"]
"""The column types of the lake, by their names in the Glue catalog and in Hive DDL."""

MONEY: ColumnType = "decimal(18,4)"
"""The one type of amounts: exact, so that sums don't depend on the order they are taken in."""

PARTITION = "dt"
"""Every table of the lake is partitioned by the day of the upload it comes from, as text: 2026-11-20."""

_NAME = re.compile(r"[a-z][a-z0-9_]*")


@dataclass(frozen=True)
class Column:
    """A column and everything its values must meet.

    `key` columns together name a row: never NULL, unique as a tuple. `between` is inclusive at both ends. `references`
    names the column, of a table of the same day, that must hold every value of this one. `longest` is how many characters
    a text may have, blanks at its ends apart; ingest holds such a text to be free of control characters too, but for
    tabs and line ends.
    """

    name: str
    type: ColumnType
    description: str = ""
    key: bool = False
    nullable: bool = True
    between: tuple[float, float] | None = None
    one_of: tuple[str, ...] | None = None
    references: ColumnRef | None = None
    longest: int | None = None

    def __post_init__(self) -> None:
        """Refuse what could never be checked, where the contract is written rather than where it is used."""
        if not _NAME.fullmatch(self.name):
            raise ValueError(f"column name {self.name!r} is not lower_snake_case")
        if self.type not in get_args(ColumnType):
            raise ValueError(f"column {self.name} has the unknown type {self.type!r}")
        if self.one_of is not None and self.type != "string":
            raise ValueError(f"column {self.name} lists allowed texts but is {self.type}")
        if self.longest is not None and self.type != "string":
            raise ValueError(f"column {self.name} bounds the characters of a text but is {self.type}")
        if self.between is not None and self.type not in ("bigint", "int", "double", MONEY):
            raise ValueError(f"column {self.name} has a numeric range but is {self.type}")

    @property
    def required(self) -> bool:
        """Whether NULL is refused."""
        return self.key or not self.nullable

    def as_json(self) -> dict[str, object]:
        """See TableContract.as_json."""
        told = {name: value for name, value in vars(self).items() if name != "references"}
        if self.references:
            told["references"] = {"table": self.references.table.as_json(), "column": self.references.column}
        return told

    @classmethod
    def from_json(cls, told: Mapping[str, Any]) -> Column:
        """See TableContract.from_json."""
        given = dict(told)
        for name in ("between", "one_of"):
            given[name] = tuple(given[name]) if given[name] is not None else None
        if pointed := given.get("references"):
            given["references"] = ColumnRef(TableContract.from_json(pointed["table"]), pointed["column"])
        return cls(**given)


@dataclass(frozen=True)
class ColumnRef:
    """A column of a table, as a foreign key points to it."""

    table: TableContract
    column: str


@dataclass(frozen=True)
class TableContract:
    """A table of the lake: where it lives, what its rows are, and the layout its files are written in.

    `unique` lists further column sets, besides the key, that no two rows share. `sorted_by` is the order of rows in the
    files: what is read together lies together. `parts` are the files that a whole upload of the table comes in, <name>__<part>.csv each.
    `made_by` is what `instacart-pipeline run` is told to make it, where that isn't the system.
    """

    database: str
    name: str
    description: str
    columns: Sequence[Column]
    unique: tuple[tuple[str, ...], ...] = ()
    sorted_by: tuple[str, ...] = ()
    made_by: str = field(default="", compare=False)
    parts: tuple[str, ...] = field(default=(), compare=False)
    _by_name: dict[str, Column] = field(init=False, repr=False, compare=False, hash=False)

    def __post_init__(self) -> None:
        """Index the columns and refuse names that no catalog could hold."""
        object.__setattr__(self, "columns", tuple(self.columns))
        object.__setattr__(self, "_by_name", {column.name: column for column in self.columns})
        if len(self._by_name) != len(self.columns):
            raise ValueError(f"{self.qualified_name} names a column twice")
        if not _NAME.fullmatch(self.database) or "_" not in self.database or not _NAME.fullmatch(self.name):
            raise ValueError(f"{self.qualified_name} is not <system>_<zone>.<table> in lower_snake_case")
        for columns in (*self.unique, self.sorted_by):
            for name in columns:
                self.column(name)

    @property
    def system(self) -> str:
        """The system the table belongs to: `reorder` of `reorder_staging`."""
        return self.database.rsplit("_", 1)[0]

    @property
    def zone(self) -> str:
        """The zone the table lives in: `staging` of `reorder_staging`."""
        return self.database.rsplit("_", 1)[1]

    @property
    def qualified_name(self) -> str:
        """`database.table`, as SQL names it."""
        return f"{self.database}.{self.name}"

    def remedy(self, dt: str) -> str:
        """The command that makes a day of the table."""
        return f"`instacart-pipeline run {self.made_by or self.system} --dt {dt}`"

    def missing_of(self, files: Sequence[str]) -> list[str]:
        """What a day's files, named by path, lack of a whole upload: the table, or parts of it. A file of no known part may hold all."""
        if not files:
            return [self.name]
        of_part = re.compile(rf"{self.name}__({'|'.join(self.parts)})(?![a-z0-9])", re.IGNORECASE)
        found = [of_part.match(path.rsplit("/", 1)[-1]) for path in files] if self.parts else [None]
        there = {match[1].lower() for match in found if match}
        return [f"{self.name}__{part}" for part in self.parts if part not in there] if all(found) else []

    @property
    def asset_key(self) -> list[str]:
        """[system, zone, table]: the key of the table's Dagster asset."""
        return [self.system, self.zone, self.name]

    @property
    def column_names(self) -> tuple[str, ...]:
        """The names of the columns, in the table's order, without the partition."""
        return tuple(self._by_name)

    @property
    def key(self) -> tuple[str, ...]:
        """The names of the key columns."""
        return tuple(column.name for column in self.columns if column.key)

    @property
    def unique_sets(self) -> tuple[tuple[str, ...], ...]:
        """Every set of columns that no two rows share: the key, if there is one, and `unique`."""
        return ((self.key,) if self.key else ()) + self.unique

    def column(self, name: str) -> Column:
        """The column called `name`. Raises KeyError with the table's name if there is none."""
        try:
            return self._by_name[name]
        except KeyError:
            raise KeyError(f"{self.qualified_name} has no column {name}") from None

    def __getitem__(self, column: str) -> ColumnRef:
        """A reference to one of the columns, for a foreign key: `AISLES["aisle_id"]`."""
        return ColumnRef(self, self.column(column).name)

    def as_json(self) -> dict[str, object]:
        """The contract as JSON takes it, for a job that runs elsewhere. `from_json` reads it back."""
        told: dict[str, object] = {
            "database": self.database,
            "name": self.name,
            "description": self.description,
            "unique": self.unique,
            "sorted_by": self.sorted_by,
        }
        return {**told, "columns": [column.as_json() for column in self.columns]}

    @classmethod
    def from_json(cls, told: Mapping[str, Any]) -> TableContract:
        """The contract that `as_json` told."""
        return cls(
            told["database"],
            told["name"],
            told["description"],
            [Column.from_json(column) for column in told["columns"]],
            tuple(tuple(names) for names in told["unique"]),
            tuple(told["sorted_by"]),
        )

    def moved_to(self, database: str, **changes: object) -> TableContract:
        """The same table in another database, with `changes` to its other fields."""
        return replace(self, database=database, **changes)  # type: ignore[arg-type]  # replace checks the names itself


def rejects_of(table: TableContract) -> TableContract:
    """The contract of the table that keeps the rows `table` refused, as they stood in the file."""
    return TableContract(
        database=table.database,
        name=f"{table.name}_rejects",
        description=f"Rows of the upload that {table.qualified_name} refused, with the reason.",
        columns=[
            Column("file", "string", "Path of the file below the raw zone.", nullable=False),
            Column(
                "line",
                "bigint",
                "Line in the file where the row starts; the header is line 1.",
            ),
            Column("column_name", "string", "The column at fault; several are joined by a comma."),
            Column("reason", "string", "What is wrong, in words.", nullable=False),
            Column("raw", "string", "The row as it stood in the file."),
        ],
    )
