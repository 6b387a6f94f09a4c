"""JOIN: the one operation that reads a second table.

Belongs here: which rows and columns each kind of join gives. Doesn't: what a dataset is outside the recipe.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from sqlglot import exp

from instacart_pipeline.lake.contracts import ColumnType
from instacart_pipeline.lake.recipe_query import LEFT, RIGHT, Item, Query, column_of, distinct_names, named_table
from instacart_pipeline.lake.recipe_steps import Join
from instacart_pipeline.lake.recipe_types import NUMBERS, Refused, cast


@dataclass(frozen=True)
class Frame:
    """A table a recipe reads: its name, `database.table`, and its columns with their types, without the partition."""

    table: str
    columns: tuple[tuple[str, ColumnType], ...]


def join(step: Join, query: Query, datasets: Mapping[str, Frame]) -> None:
    """Apply the step to the query. Raises Refused for unknown datasets and columns, and for keys of unlike types."""
    if step.dataset not in datasets:
        known = ", ".join(sorted(datasets)) or "none"
        raise Refused(f"there is no dataset {step.dataset!r}; known here: {known}")
    frame = datasets[step.dataset]
    left, right = dict(query.columns), dict(frame.columns)
    _need_columns((*step.left, *(key for key, _ in step.keys)), left, "the current frame")
    _need_columns((*step.right, *(key for _, key in step.keys)), right, f"the dataset {step.dataset}")
    for here, there in step.keys:
        if left[here] != right[there] and not {left[here], right[there]} <= set(NUMBERS):
            raise Refused(f"the keys {here} and {there} can't be compared: {left[here]} and {right[there]}")

    shared = {here for here, there in step.keys if here == there} & set(step.left) & set(step.right)
    distinct_names([*step.left, *(name for name in step.right if name not in shared)])
    items = {name: Item(column_of(LEFT, name), left[name]) for name in step.left}
    items |= {name: Item(column_of(RIGHT, name), right[name]) for name in step.right if name not in shared}
    items |= {name: _shared_key(name, step.type, left[name], right[name]) for name in shared}

    side, excluding = _JOINS[step.type]
    pairs = [column_of(LEFT, here).eq(column_of(RIGHT, there)) for here, there in step.keys]
    joined = exp.Join(this=named_table(frame.table, RIGHT), on=exp.and_(*pairs), **side)
    # A partner has the key, and a key that is NULL has no partner: so a NULL key says there is none.
    key_here, key_there = step.keys[0]
    exclusive_run = {
        LEFT: column_of(LEFT, key_here).is_(exp.null()),
        RIGHT: column_of(RIGHT, key_there).is_(exp.null()),
    }
    query.join(joined, items, [exp.or_(*(exclusive_run[table] for table in excluding))] if excluding else [])


_JOINS: dict[str, tuple[dict[str, str], tuple[str, ...]]] = {
    "INNER_JOIN": ({"kind": "INNER"}, ()),
    "LEFT_JOIN": ({"side": "LEFT"}, ()),
    "RIGHT_JOIN": ({"side": "RIGHT"}, ()),
    "OUTER_JOIN": ({"side": "FULL"}, ()),
    "LEFT_EXCLUDING_JOIN": ({"side": "LEFT"}, (RIGHT,)),
    "RIGHT_EXCLUDING_JOIN": ({"side": "RIGHT"}, (LEFT,)),
    "OUTER_EXCLUDING_JOIN": ({"side": "FULL"}, (LEFT, RIGHT)),
}


def _shared_key(name: str, join: str, left: ColumnType, right: ColumnType) -> Item:
    here: exp.Expr = column_of(LEFT, name)
    there: exp.Expr = column_of(RIGHT, name)
    if left == right:
        kind = left
    else:
        kind = "double" if "double" in (left, right) else "bigint"
        here, there = cast(here, kind), cast(there, kind)
    if join in ("RIGHT_JOIN", "OUTER_JOIN", "RIGHT_EXCLUDING_JOIN", "OUTER_EXCLUDING_JOIN"):
        return Item(exp.Coalesce(this=here, expressions=[there]), kind)
    return Item(here, kind)


def _need_columns(names: Iterable[str], known: Mapping[str, ColumnType], where: str) -> None:
    for name in names:
        if name not in known:
            raise Refused(f"there is no column {name!r} in {where}; there are {', '.join(known)}")
