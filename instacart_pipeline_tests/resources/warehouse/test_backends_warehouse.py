"""The warehouse, whichever backend: what a load replaces and refuses, what is published, what readers see meanwhile."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest

from instacart_pipeline.lake.contracts import Column
from instacart_pipeline.lake.errors import InputInvalid, JobFailed, TableNotFound, UnsupportedSql
from instacart_pipeline.profiles import build_resources
from instacart_pipeline.resources.published import VersionRefused
from instacart_pipeline.resources.warehouse import Warehouse
from instacart_pipeline.resources.warehouse.loads import WarehouseOutdated, loads_of
from instacart_pipeline_tests.platform import Platform
from instacart_pipeline_tests.resources.backends import DEEP_ON_AWS
from instacart_pipeline_tests.resources.warehouse.warehouses import FIRST, SECOND, THIRD, Shop, day_of, line, shop_of

MANY = 11
"""Days of a load that takes a full transaction on Redshift, and a second one."""
ONE, TWO = "20260101T000000000000-000001", "20260102T000000000000-000002"


@pytest.fixture(scope="module")
def warehouse(backend: Platform) -> Warehouse:
    return build_resources(replace(backend.settings, redshift_workgroup="warehouse")).warehouse


@pytest.fixture
def shop(backend: Platform, warehouse: Warehouse) -> Shop:
    return shop_of(backend, warehouse)


def stocked(shop: Shop) -> Shop:
    """Load two days, of two lines and one."""
    shop.put(FIRST, [line("a"), line("b")])
    shop.put(SECOND, [line("c", SECOND)])
    shop.load(FIRST, SECOND)
    return shop


@pytest.fixture
def loaded(shop: Shop) -> Shop:
    """Two days, of two lines and one."""
    return stocked(shop)


@pytest.fixture(scope="module")
def unchanged(backend: Platform, warehouse: Warehouse) -> Shop:
    """The same for all tests that leave what is loaded as it is, whatever they publish or try."""
    return stocked(shop_of(backend, warehouse))


# Loading.


def test_values_of_every_type_come_back_as_they_were(shop: Shop) -> None:
    odd = line("a", note="it's \\ odd", quantity=-3, price=Decimal("0.0001"), paid=False, weight=1e-9)
    empty = line("b", note=None, quantity=None, price=None, paid=None, weight=None)
    shop.put(FIRST, [odd, empty])
    shop.load(FIRST)
    result = shop.warehouse.query(shop.parse("SELECT * FROM {sales} ORDER BY line_id"))
    at = datetime(2010, 12, 1, 8, 26, 0, 123456)
    assert [tuple(row.values()) for row in result.table.to_pylist()] == [
        ("a", day_of(FIRST), at, "it's \\ odd", -3, Decimal("-0.0003"), False, 1e-9, FIRST),
        ("b", day_of(FIRST), at, None, None, None, None, None, FIRST),
    ]
    assert result.table.schema == pa.schema(
        {
            **{"line_id": pa.string(), "sold_on": pa.date32(), "sold_at": pa.timestamp("us"), "note": pa.string()},
            **{"quantity": pa.int32(), "amount": pa.decimal128(18, 4), "paid": pa.bool_(), "weight": pa.float64()},
            "dt": pa.string(),
        }
    )


def test_a_load_replaces_its_days_leaves_the_others_and_says_what_it_brought_in_and_from_what(shop: Shop) -> None:
    shop.put(FIRST, [line("a"), line("b")], ONE)
    shop.put(SECOND, [line("c", SECOND)], TWO)
    brought = shop.load(FIRST, SECOND)
    assert (brought.table, brought.rows, brought.total) == (shop.sales, 3, 3)
    assert brought.lineage == {shop.lines.qualified_name: TWO}
    assert {outcome.rule: outcome.violations for outcome in brought.outcomes} == {
        **{"no_nulls": 0, "in_range": 0, "allowed_values": 0, "unique_line_id": 0}
    }
    assert shop.warehouse.days(shop.sales) == {FIRST: brought.version, SECOND: brought.version}
    shop.put(FIRST, [line("d")], TWO)
    again = shop.load(FIRST)
    assert shop.ids() == [f"{FIRST} d", f"{SECOND} c"]
    assert (again.rows, again.total) == (1, 2)
    assert shop.warehouse.days(shop.sales) == {FIRST: again.version, SECOND: brought.version}
    assert again.version > brought.version


def test_a_day_that_the_lake_lacks_ends_with_no_rows(loaded: Shop) -> None:
    loaded.backend.catalog.drop_partition(loaded.lines.database, loaded.lines.name, FIRST)
    brought = loaded.load(FIRST, THIRD)
    assert (brought.rows, brought.total) == (0, 1)
    assert loaded.ids() == [f"{SECOND} c"]
    assert list(loaded.warehouse.days(loaded.sales)) == [SECOND]


def test_a_day_without_rows_is_a_loaded_day(shop: Shop) -> None:
    shop.put(FIRST, [])
    assert shop.load(FIRST).rows == 0
    assert list(shop.warehouse.days(shop.sales)) == [FIRST]


def test_a_query_whose_rows_depend_on_each_other_is_asked_day_by_day(shop: Shop) -> None:
    shop.put(FIRST, [line("a"), line("b", quantity=5)])
    shop.put(SECOND, [line("a", SECOND)])
    query = shop.parse(
        "SELECT :dt || max(line_id) AS line_id, max(CAST(sold_at AS date)) AS sold_on, max(sold_at) AS sold_at, min(note) AS note,"
        " CAST(sum(quantity) AS integer) AS quantity, sum(quantity * price) AS amount, true AS paid, avg(quantity) AS weight"
        " FROM {lines} WHERE dt = :dt"
    )
    shop.load(FIRST, SECOND, query=query)
    assert shop.ask("SELECT line_id, quantity, amount, weight FROM {sales} ORDER BY dt") == [
        (f"{FIRST}b", 7, Decimal("8.7500"), 3.5),
        (f"{SECOND}a", 2, Decimal("2.5000"), 2.0),
    ]


@DEEP_ON_AWS
def test_many_days_come_in_one_load(shop: Shop) -> None:
    days = [(day_of(FIRST) + timedelta(days=number)).isoformat() for number in range(MANY)]
    for dt in days:
        shop.put(dt, [line(dt, dt)])
    brought = shop.load(*days)
    assert (brought.rows, shop.ids()) == (len(days), [f"{dt} {dt}" for dt in days])
    assert set(shop.warehouse.days(shop.sales).values()) == {brought.version}


# What is refused.


@pytest.mark.parametrize(
    ("bad", "rules"),
    [
        (
            [line(None), line("x", quantity=101), line("y", note="else"), line("z"), line("z")],
            ["no_nulls", "in_range", "allowed_values", "unique_line_id"],
        ),
        ([line("x"), line("c")], ["unique_line_id"]),
    ],
    ids=["within the day", "alike in a day that stays"],
)
def test_rows_that_break_the_contract_are_refused_and_the_old_ones_stay(
    unchanged: Shop, bad: list[dict[str, Any]], rules: list[str]
) -> None:
    before, days, tables = unchanged.ids(), unchanged.warehouse.days(unchanged.sales), _tables(unchanged)
    unchanged.put(FIRST, bad, ONE)
    with pytest.raises(VersionRefused, match=f"{unchanged.sales.name} dt={FIRST}") as refused:
        unchanged.load(FIRST)
    broken = {outcome.rule: outcome.violations for outcome in refused.value.outcomes if not outcome.passed}
    assert broken == dict.fromkeys(rules, 1)
    assert (unchanged.ids(), unchanged.warehouse.days(unchanged.sales), _tables(unchanged)) == (before, days, tables)


@DEEP_ON_AWS
def test_a_row_may_move_to_another_day_if_both_are_loaded(loaded: Shop) -> None:
    loaded.put(FIRST, [line("b")], ONE)
    loaded.put(SECOND, [line("a", SECOND)], ONE)
    loaded.load(FIRST, SECOND)
    assert loaded.ids() == [f"{FIRST} b", f"{SECOND} a"]


def test_a_statement_that_fails_leaves_the_old_rows(unchanged: Shop) -> None:
    unchanged.put(FIRST, [line("not a number")], ONE)
    query = unchanged.parse(
        "SELECT line_id, sold_at AS sold_on, sold_at, note, CAST(line_id AS integer) AS quantity, price AS amount, paid, weight"
        " FROM {lines} WHERE dt = :dt"
    )
    before = unchanged.ids(), _tables(unchanged)
    with pytest.raises(JobFailed, match=r"(?i)could not convert"):
        unchanged.load(FIRST, query=query)
    assert (unchanged.ids(), _tables(unchanged)) == before


def test_what_can_not_be_loaded_is_refused_before_anything_runs(unchanged: Shop) -> None:
    def load(text: str) -> None:
        unchanged.load(FIRST, query=unchanged.parse(text))

    with pytest.raises(UnsupportedSql, match="reads one table of the lake"):
        load("SELECT a.line_id FROM {lines} AS a JOIN {sales} AS b ON a.line_id = b.line_id WHERE a.dt = :dt")
    with pytest.raises(UnsupportedSql, match="takes parameters"):
        load("SELECT line_id FROM {lines} WHERE dt = :day")
    with pytest.raises(InputInvalid, match="not a day"):
        unchanged.load("2010-12-1")
    with pytest.raises(InputInvalid, match="at least one day"):
        unchanged.load()
    with pytest.raises(TableNotFound, match="no table shop_curated"):
        unchanged.load(FIRST, query=replace(unchanged, number=999_999).fact)
    with pytest.raises(TableNotFound, match=r"the warehouse does not have[\s\S]*Load it with"):
        replace(unchanged, number=999_999).ask("SELECT * FROM {notes}")
    with pytest.raises(TableNotFound, match="the warehouse does not have"):
        unchanged.ask("SELECT * FROM {lines}")


# A contract that changed.


def test_a_table_whose_contract_changed_is_made_anew_when_all_its_days_are_loaded(loaded: Shop) -> None:
    wider = replace(loaded.sales, columns=[*loaded.sales.columns, Column("more", "int")])
    query = loaded.parse(loaded.fact.expression.sql("athena").replace("weight", "weight, 7 AS more"))
    before = loaded.ids()
    with pytest.raises(WarehouseOutdated, match=r"other columns than its contract \(more differ\)"):
        loaded.warehouse.load(query, wider, [FIRST])
    assert loaded.ids() == before
    loaded.warehouse.load(query, wider, [FIRST, SECOND, THIRD])
    assert loaded.ids() == before
    assert loaded.ask("SELECT DISTINCT more FROM {sales}") == [(7,)]


# Rebuilding and publishing.


NOTES = "SELECT note, sum(quantity) AS quantity FROM {sales} GROUP BY note"


def test_a_rebuild_replaces_all_rows_and_names_what_it_was_made_from(unchanged: Shop) -> None:
    warehouse, table = unchanged.warehouse, replace(unchanged.notes, name=f"{unchanged.notes.name}_rebuilt")
    first = warehouse.rebuild(unchanged.parse(NOTES), table, FIRST)
    assert unchanged.ask(f"SELECT note, quantity, dt FROM {table.qualified_name}") == [("plain", 6, FIRST)]
    assert first.lineage == {unchanged.sales.qualified_name: warehouse.days(unchanged.sales)[FIRST]}
    without_key = unchanged.parse("SELECT CAST(NULL AS varchar) AS note, sum(quantity) AS quantity FROM {sales}")
    with pytest.raises(VersionRefused, match="no_nulls"):
        warehouse.rebuild(without_key, table, SECOND)
    assert warehouse.days(table) == {FIRST: first.version}
    by_line = unchanged.parse("SELECT line_id AS note, CAST(quantity AS bigint) AS quantity FROM {sales}")
    second = warehouse.rebuild(by_line, table, SECOND)
    assert (second.rows, second.total) == (3, 3)
    assert warehouse.days(table) == {SECOND: second.version}
    assert unchanged.ask(f"SELECT DISTINCT dt FROM {table.qualified_name}") == [(SECOND,)]


TOTALS = "SELECT sold_on, sum(amount) AS amount, count(*) AS n FROM {sales} WHERE dt <= :dt GROUP BY sold_on"


def test_a_result_is_published_into_the_lake_as_of_its_day_and_again_in_place_of_itself(unchanged: Shop) -> None:
    published = unchanged.warehouse.publish(unchanged.parse(TOTALS), unchanged.totals, SECOND)
    assert [tuple(row.values()) for row in unchanged.backend.rows(unchanged.totals, SECOND)] == [
        (day_of(FIRST), Decimal("5.0000"), 2),
        (day_of(SECOND), Decimal("2.5000"), 1),
    ]
    earlier = unchanged.warehouse.publish(unchanged.parse(TOTALS), unchanged.totals, FIRST)
    assert len(unchanged.backend.rows(unchanged.totals, FIRST)) == earlier.version.rows == 1
    assert published.version.lineage == {
        unchanged.sales.qualified_name: unchanged.warehouse.days(unchanged.sales)[SECOND]
    }
    assert [outcome.rule for outcome in published.version.outcomes] == ["no_nulls", "unique_sold_on"]
    again = unchanged.warehouse.publish(unchanged.parse(TOTALS), unchanged.totals, SECOND)
    assert not again.superseded
    assert again.version.name > published.version.name
    assert unchanged.backend.unpublished(unchanged.totals, SECOND) == []


def test_the_lineage_of_a_result_goes_on_to_what_a_rebuilt_table_was_made_from(unchanged: Shop) -> None:
    brought = unchanged.warehouse.days(unchanged.sales)[FIRST]
    notes = unchanged.warehouse.rebuild(unchanged.parse(NOTES), unchanged.notes, SECOND)
    query = unchanged.parse(
        f"SELECT DATE '{FIRST}' AS sold_on, CAST(1 AS decimal(18,4)) AS amount, quantity AS n FROM {{notes}}"
    )
    published = unchanged.warehouse.publish(query, unchanged.totals, THIRD)
    assert published.version.lineage == {
        unchanged.notes.qualified_name: notes.version,
        unchanged.sales.qualified_name: brought,
    }


@DEEP_ON_AWS
def test_a_result_that_breaks_its_contract_is_not_published(unchanged: Shop) -> None:
    before = unchanged.warehouse.publish(unchanged.parse(TOTALS), unchanged.totals, SECOND).version
    doubled = unchanged.parse("SELECT sold_on, amount, CAST(1 AS bigint) AS n FROM {sales}")
    with pytest.raises(VersionRefused, match="unique_sold_on: 1 rows"):
        unchanged.warehouse.publish(doubled, unchanged.totals, SECOND)
    assert unchanged.backend.catalog.current(unchanged.totals, SECOND) == before
    assert unchanged.backend.unpublished(unchanged.totals, SECOND) == []


# Asking.


def test_amounts_are_exact_whatever_the_order_they_are_added_in(shop: Shop) -> None:
    shop.put(
        FIRST,
        [line(f"{n}", quantity=1, price=Decimal("0.1000")) for n in range(99)]
        + [line("z", price=Decimal("99999999999999.9999"), quantity=-1)],
    )
    shop.load(FIRST)
    ((total, lines),) = shop.ask("SELECT sum(amount), sum(quantity) FROM {sales}")
    assert (total, lines) == (Decimal("-99999999999990.0999"), 98)


def test_whole_numbers_are_added_up_as_whole_numbers_and_rows_are_cut_off_at_the_limit(unchanged: Shop) -> None:
    result = unchanged.warehouse.query(
        unchanged.parse("SELECT sum(quantity) AS s, count(*) AS n FROM {sales} GROUP BY line_id"), 2
    )
    assert (result.truncated, result.table.num_rows) == (True, 2)
    assert result.table.schema == pa.schema({"s": pa.int64(), "n": pa.int64()})
    whole = unchanged.warehouse.query(unchanged.parse("SELECT line_id FROM {sales} ORDER BY line_id DESC"), 3)
    assert (whole.truncated, whole.table.column(0).to_pylist()) == (False, ["c", "b", "a"])


def test_functions_mean_what_they_mean_on_athena(unchanged: Shop) -> None:
    (row,) = unchanged.ask(
        "SELECT quantity / 4 AS a, CAST(quantity AS double) / 4 AS b, greatest(quantity, CAST(NULL AS integer)) AS c,"
        " CAST(date_trunc('month', sold_on) AS date) AS d, substr(note, 2, 3) AS e, CAST(sold_on AS varchar) AS f, month(sold_on) AS g,"
        " upper(note) || '!' AS h, coalesce(nullif(note, 'plain'), 'none') AS i FROM {sales} WHERE line_id = 'a'"
    )
    assert row == (0, 0.5, None, date(2010, 12, 1), "lai", FIRST, 12, "PLAIN!", "none")


def test_no_table_has_no_days(shop: Shop) -> None:
    assert shop.warehouse.days(shop.sales) == {}


# Several at once.


def test_two_loads_of_one_table_follow_each_other(shop: Shop) -> None:
    shop.put(FIRST, [line("a")])
    shop.put(SECOND, [line("b", SECOND)])
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(shop.load, [FIRST, SECOND]))
    assert shop.ids() == [f"{FIRST} a", f"{SECOND} b"]
    assert sorted(shop.warehouse.days(shop.sales)) == [FIRST, SECOND]


@DEEP_ON_AWS
def test_readers_see_the_rows_before_or_those_after_and_never_a_mixture(shop: Shop) -> None:
    def sold(quantity: int) -> list[dict[str, Any]]:
        return [line(f"{number}", quantity=quantity) for number in range(quantity)]

    shop.put(FIRST, sold(3))
    shop.load(FIRST)
    seen: list[tuple[int, int]] = []
    with _meanwhile(lambda: seen.extend(shop.ask("SELECT count(*), sum(quantity) FROM {sales}"))):
        for quantity in (5, 2):
            shop.put(FIRST, sold(quantity), f"2026010{quantity}T000000000000-000000")
            shop.load(FIRST)
    assert seen[-1] == (2, 4)
    assert set(seen) <= {(3, 9), (5, 25), (2, 4)}


@contextmanager
def _meanwhile(look: Any) -> Iterator[None]:
    """Look again and again, in a thread, until the block ends; and once more."""
    over = threading.Event()

    def on() -> None:
        while not over.wait(0.05):
            look()
        look()

    with ThreadPoolExecutor(1) as pool:
        looking = pool.submit(on)
        try:
            yield
        finally:
            over.set()
        looking.result()


def _tables(shop: Shop) -> set[str]:
    """The tables of this shop in the warehouse, by what its loads and its schema say."""
    with pytest.raises(TableNotFound) as there:
        shop.ask(f"SELECT * FROM {shop.sales.database}.nothing_there")
    listed = str(there.value).split("There is ", maxsplit=1)[1].split(". Load", maxsplit=1)[0].split(", ")
    names = {name.partition(".")[2] for name in listed} - {loads_of(shop.sales.database).name}
    return {name for name in names if f"_{shop.number}_" in f"{name}_"}
