"""The warehouse on AWS alone: what is not set, what another load did meanwhile, and what killed ones left."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from instacart_pipeline.lake.errors import JobFailed, SettingsInvalid, UploadChanged
from instacart_pipeline.profiles import build_resources
from instacart_pipeline.resources.warehouse.aws import sql
from instacart_pipeline.resources.warehouse.aws.loading import Loading
from instacart_pipeline_tests.aws_double.snapshot import Snapshot
from instacart_pipeline_tests.aws_platform import AwsPlatform
from instacart_pipeline_tests.resources.aws_site import Opened, Site
from instacart_pipeline_tests.resources.managed_jobs.fault_stages import warehoused
from instacart_pipeline_tests.resources.warehouse.warehouses import FIRST, SECOND, Shop, line

NEW, LATE = "20260102T000000000000-000000", "29990101T000000000000-000000"


def _shop(site: Site, home: Path) -> Shop:
    platform = AwsPlatform(home, site.aws.endpoint)
    return Shop(platform, platform.resources.warehouse, 0)


@pytest.fixture(scope="module")
def loaded(opened_double: Opened, tmp_path_factory: pytest.TempPathFactory) -> Snapshot:
    """One day of a shop, in the lake and in the warehouse."""

    def prepare(site: Site) -> None:
        shop = _shop(site, tmp_path_factory.mktemp("home"))
        shop.put(FIRST, [line("a")])
        shop.load(FIRST)

    return opened_double.kept(prepare)


@pytest.fixture
def shop(opened_double: Opened, loaded: Snapshot, tmp_path: Path) -> Shop:
    return _shop(Site(opened_double.holding(loaded)), tmp_path)


def test_a_warehouse_that_is_not_set_says_what_to_set(shop: Shop) -> None:
    for unset, named in (
        (replace(shop.backend.settings, redshift_workgroup=""), "REDSHIFT_WORKGROUP"),
        (replace(shop.backend.settings, service_role=""), "SERVICE_ROLE"),
    ):
        with pytest.raises(SettingsInvalid, match=f"Set INSTACART_{named}"):
            build_resources(unset).warehouse.load(shop.fact, shop.sales, [FIRST])


@pytest.fixture
def just_before_the_swap(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[], object]], None]:
    """Have something happen between staging and swapping."""

    def given(happens: Callable[[], object]) -> None:
        stage = Loading._stage

        def staged(*given: object, **named: object) -> object:
            made = stage(*given, **named)  # type: ignore[arg-type]  # passed through
            happens()
            return made

        monkeypatch.setattr(Loading, "_stage", staged)

    return given


def test_a_load_does_not_take_the_place_of_a_later_one(shop: Shop, just_before_the_swap: Callable[..., None]) -> None:
    record = (
        f"INSERT INTO shop_warehouse.loads VALUES ('{shop.sales.name}', '{LATE}', '2999-01-01', 1, '{{}}', '{FIRST}')"
    )
    just_before_the_swap(lambda: warehoused(_platform(shop), record))
    shop.put(FIRST, [line("b")], NEW)
    with pytest.raises(JobFailed, match="a later load of these days came first"):
        shop.load(FIRST)
    assert (shop.ids(), _staged(shop)) == ([f"{FIRST} a"], [])


def test_a_row_that_another_load_brought_meanwhile_is_not_doubled(
    shop: Shop, just_before_the_swap: Callable[..., None]
) -> None:
    other = f"INSERT INTO {shop.sales.qualified_name} (line_id, dt) VALUES ('b', '2010-12-09')"
    just_before_the_swap(lambda: warehoused(_platform(shop), other))
    shop.put(SECOND, [line("b", SECOND)])
    with pytest.raises(JobFailed, match="a row is like one of another load that came first"):
        shop.load(SECOND)
    assert shop.ids() == [f"{FIRST} a", "2010-12-09 b"]


def test_a_day_that_is_published_anew_while_it_is_loaded_is_not_swapped_in(
    shop: Shop, just_before_the_swap: Callable[..., None]
) -> None:
    just_before_the_swap(lambda: shop.put(FIRST, [line("b")], NEW))
    with pytest.raises(UploadChanged, match="published anew"):
        shop.load(FIRST)
    assert (shop.ids(), _staged(shop)) == ([f"{FIRST} a"], [])


def test_a_table_that_is_loaded_while_a_result_is_computed_from_it_refuses_the_result(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    query = shop.parse("SELECT sold_on, sum(amount) AS amount, count(*) AS n FROM {sales} GROUP BY sold_on")
    unloaded = sql.unloaded

    def loaded_first(*given: str) -> str:
        shop.load(FIRST)
        return unloaded(*given)  # type: ignore[arg-type]  # passed through

    monkeypatch.setattr(sql, "unloaded", loaded_first)
    with pytest.raises(UploadChanged, match="loaded anew meanwhile"):
        shop.warehouse.publish(query, shop.totals, FIRST)
    assert shop.backend.unpublished(shop.totals, FIRST) == []


def test_what_killed_loads_staged_long_ago_is_swept_by_the_next_load(shop: Shop) -> None:
    abandoned, young = sql.staged(shop.sales, "20200101T000000000000-abcdef"), sql.staged(shop.sales, LATE)
    warehoused(_platform(shop), sql.made(abandoned), sql.made(young))
    shop.load(FIRST)
    assert _staged(shop) == [young.name]


def _platform(shop: Shop) -> AwsPlatform:
    assert isinstance(shop.backend, AwsPlatform)
    return shop.backend


def _staged(shop: Shop) -> list[str]:
    rows = warehoused(_platform(shop), sql.columns_there([shop.sales.database]))
    return sorted({str(row["table_name"]) for row in rows if sql.version_of_staged(str(row["table_name"]))})
