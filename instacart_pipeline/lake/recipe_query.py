"""A SELECT that grows step by step: the typed columns there are now, and the CTEs they come from.

Belongs here: when a step may be merged into the SELECT under way and when that has to become a CTE first, and dropping
columns nobody reads. Doesn't: what the steps compute (recipe_sql.py).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from sqlglot import exp

from instacart_pipeline.lake.contracts import ColumnType
from instacart_pipeline.lake.recipe_types import Refused

LEFT, RIGHT = "t", "r"
"""The names every SELECT gives what it reads, and the table it joins: each column says where it comes from."""


@dataclass(frozen=True)
class Item:
    """A column of the SELECT under way. `integer` is the integer column this one is the plain text of, if it is one."""

    sql: exp.Expr
    type: ColumnType
    integer: exp.Column | None = None

    @property
    def repeatable(self) -> bool:
        """Whether a further expression may hold it again, at no cost to the reader or the engine."""
        return isinstance(self.sql, exp.Column) or self.integer is not None


@dataclass
class _Block:
    """One SELECT. `sealed` once it groups or removes duplicates: nothing more can be computed or filtered in it."""

    table: exp.Table
    items: dict[str, Item]
    filters: list[exp.Expr] = field(default_factory=list)
    groups: list[exp.Expr] = field(default_factory=list)
    join: exp.Join | None = None
    distinct: bool = False
    windowed: bool = False

    @property
    def sealed(self) -> bool:
        return bool(self.groups) or self.distinct

    @property
    def untouched(self) -> bool:
        return not (self.filters or self.sealed or self.windowed or self.join) and all(
            isinstance(item.sql, exp.Column) and item.sql.name == name for name, item in self.items.items()
        )

    def reads(self) -> set[str]:
        """The columns it needs of what it selects from."""
        return {column.name for column in self.select().find_all(exp.Column) if column.table == LEFT}

    def keep(self, names: set[str]) -> None:
        """Drop what nobody reads. Rows are only equal in all their columns, so DISTINCT keeps every one."""
        if not self.distinct:
            kept = {name: item for name, item in self.items.items() if name in names}
            self.items = kept or dict([next(iter(self.items.items()))])

    def select(self) -> exp.Select:
        columns = [
            item.sql.copy()
            if isinstance(item.sql, exp.Column) and item.sql.name == name
            else exp.alias_(item.sql.copy(), name, quoted=True)
            for name, item in self.items.items()
        ]
        query = exp.select(*columns).from_(self.table.copy())
        if self.join is not None:
            query.append("joins", self.join.copy())
        if self.filters:
            query = query.where(*(condition.copy() for condition in self.filters))
        if self.groups:
            query = query.group_by(*(group.copy() for group in self.groups))
        return query.distinct() if self.distinct else query


class Query:
    """A SELECT under construction. Every method raises Refused for columns that don't exist or names that do."""

    def __init__(self, table: str, columns: Sequence[tuple[str, ColumnType]], where: exp.Expr | None) -> None:
        self._block = _Block(named_table(table, LEFT), _plain(columns))
        self._done: list[tuple[str, _Block]] = []
        self._label = self._next = "source"
        if where is not None:
            self._block.filters.append(where)

    @property
    def columns(self) -> tuple[tuple[str, ColumnType], ...]:
        """The columns there are now, with their types."""
        return tuple((name, item.type) for name, item in self._block.items.items())

    def type_of(self, name: str) -> ColumnType:
        """The type of a column."""
        self._known([name])
        return self._block.items[name].type

    def begin(self, label: str) -> None:
        """Say which step comes next; a SELECT that ends is named after the last step merged into it."""
        self._next = label

    def read(self, *names: str, rows: bool = False) -> list[Item]:
        """The columns `names`, to be used in new expressions of the same SELECT.

        With `rows` the expressions will decide on rows (a filter, a grouping), which a window must not see.
        """
        self._known(names)
        block = self._block
        if block.sealed or (rows and block.windowed) or not all(block.items[name].repeatable for name in names):
            self._close()
        self._label = self._next
        return [self._block.items[name] for name in names]

    def add(self, name: str, item: Item, *, windowed: bool = False) -> None:
        """Append a column, made of what `read` returned."""
        self._new([name])
        self._block.items[name] = item
        self._block.windowed |= windowed

    def replace(self, name: str, item: Item) -> None:
        """Change a column in its place."""
        self._block.items[name] = item

    def keep_rows(self, condition: exp.Expr) -> None:
        """Drop the rows for which `condition`, made of what `read(rows=True)` returned, doesn't hold."""
        self._block.filters.append(condition)

    def group(self, groups: Mapping[str, Item], aggregates: Mapping[str, Item]) -> None:
        """Make it one row a group, of the columns given."""
        self._block.items = {**groups, **aggregates}
        self._block.groups = [item.sql for item in groups.values()]

    def distinct(self) -> None:
        """Drop all but one of equal rows."""
        self._label = self._next
        self._block.distinct = True

    def rename(self, source: str, target: str) -> None:
        """Give a column another name, in its place."""
        self._known([source])
        self._new([target])
        self._label = self._next
        items = self._block.items
        self._block.items = {target if name == source else name: item for name, item in items.items()}

    def delete(self, names: Iterable[str]) -> None:
        """Drop columns. Raises Refused, besides, if none would be left."""
        gone = set(names)
        self._known(gone)
        if not set(self._block.items) - gone:
            raise Refused("would leave no column")
        if self._block.distinct:
            self._close()
        self._label = self._next
        self._block.items = {name: item for name, item in self._block.items.items() if name not in gone}

    def join(self, join: exp.Join, items: Mapping[str, Item], filters: Sequence[exp.Expr]) -> None:
        """Join a table called RIGHT; `items` and `filters` are made of its columns, and of those here, called LEFT."""
        if not self._block.untouched:
            self._close()
        self._label = self._next
        self._block.join, self._block.items = join, dict(items)
        self._block.filters = list(filters)

    def select(self) -> exp.Select:
        """The whole statement: a CTE for every SELECT but the last, each with the columns the next one reads."""
        blocks = [*self._done, (self._label, self._block)]
        for (_, earlier), (_, later) in zip(blocks[-2::-1], blocks[:0:-1], strict=True):
            earlier.keep(later.reads())
        query = self._block.select()
        for label, block in self._done:
            query = query.with_(exp.to_identifier(label), as_=block.select(), copy=False)
        return query

    def _known(self, names: Iterable[str]) -> None:
        for name in names:
            if name not in self._block.items:
                raise Refused(f"there is no column {name!r} at this step; there are {', '.join(self._block.items)}")

    def _new(self, names: Iterable[str]) -> None:
        # Catalogs and engines fold case, so two names that differ only in it are one.
        taken = {name.lower() for name in self._block.items}
        for name in names:
            if name.lower() in taken:
                raise Refused(f"there is already a column {name!r}")

    def _close(self) -> None:
        self._done.append((self._label, self._block))
        self._block = _Block(exp.table_(self._label, alias=LEFT), _plain(self.columns))


def named_table(name: str, alias: str) -> exp.Table:
    """`database.table` under an alias, quoted as it has to be."""
    *database, table = name.split(".")
    parts = dict(zip(("db", "catalog"), reversed(database), strict=False))
    return exp.table_(table, quoted=True, alias=alias, **parts)


def column_of(table: str, name: str) -> exp.Column:
    """A column of LEFT or RIGHT."""
    return exp.column(exp.to_identifier(name, quoted=True), table=table)


def _plain(columns: Sequence[tuple[str, ColumnType]]) -> dict[str, Item]:
    return {name: Item(column_of(LEFT, name), kind) for name, kind in columns}


def distinct_names(names: Iterable[str]) -> None:
    """Raises Refused if two of `names` are one to a catalog, which folds case."""
    seen: set[str] = set()
    for name in names:
        if name.lower() in seen:
            raise Refused(f"two columns would be called {name!r}")
        seen.add(name.lower())
