"""The catalog's promises, held by each backend: one suite over `open_catalog`."""

import os
import signal
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from functools import partial
from multiprocessing.context import ForkServerContext
from pathlib import Path

import pytest
from moto.core.models import DEFAULT_ACCOUNT_ID
from moto.s3.models import s3_backends

from instacart_pipeline.lake.contracts import TableContract
from instacart_pipeline.lake.errors import JobFailed, TableNotFound
from instacart_pipeline.lake.rules import Outcome
from instacart_pipeline.lake.sql import Query
from instacart_pipeline.lake.versions import Version
from instacart_pipeline.reorder import model_tables as m
from instacart_pipeline.reorder import tables as t
from instacart_pipeline.resources.aws_account import locks
from instacart_pipeline.resources.aws_account.session import AwsSession
from instacart_pipeline.resources.catalog import Catalog, CatalogTable
from instacart_pipeline.resources.catalog.aws import GlueCatalog
from instacart_pipeline.resources.catalog.inputs import inputs_of
from instacart_pipeline.resources.catalog.local import SqliteCatalog
from instacart_pipeline_tests.aws_double.server import AwsDouble
from instacart_pipeline_tests.aws_platform import LAKE
from instacart_pipeline_tests.platform import DT
from instacart_pipeline_tests.resources.catalog.catalog_children import (
    PUBLISHES,
    TABLE,
    OpenCatalog,
    die_in_a_transaction,
    publish,
    publish_many,
)
from instacart_pipeline_tests.tiers import costs

WRITERS = 3


@pytest.fixture(params=["sqlite", "glue"])
@costs("contract")
def open_catalog(request: pytest.FixtureRequest, tmp_path: Path) -> OpenCatalog:
    """Opens the same, at first empty, catalog in any process: one a backend."""
    if request.param == "sqlite":
        return partial(SqliteCatalog, home=str(tmp_path / "new"))
    return _glue_of(request.getfixturevalue("aws"))


def _glue_of(aws: AwsDouble) -> OpenCatalog:
    return partial(_glue, aws.endpoint, aws.environment())


def _glue(endpoint: str, environment: Mapping[str, str]) -> Catalog:
    os.environ.update(environment)  # of a child process too
    return GlueCatalog(session=AwsSession(endpoint=endpoint), lake=LAKE)


@pytest.fixture
def catalog(open_catalog: OpenCatalog) -> Catalog:
    return open_catalog()


def current(catalog: Catalog, dt: str = DT) -> Version:
    (partition,) = catalog.partitions("shop_curated", "orders", dt)
    return partition.version


def test_an_empty_catalog_has_nothing_and_says_so(catalog: Catalog) -> None:
    assert list(catalog.tables()) == []
    assert list(catalog.partitions("shop_curated", "orders")) == []
    with pytest.raises(TableNotFound, match=r"no table shop_curated.orders. There is nothing yet."):
        catalog.table("shop_curated", "orders")


def test_a_table_comes_back_as_it_was_put(open_catalog: OpenCatalog) -> None:
    told = CatalogTable(
        "shop_curated", "orders", (("id", "bigint"),), "/lake/o", "Größe; \"quoted\" 'n' \n", ("dt",), {"a.b": "ü'"}
    )
    open_catalog().put_table(told)
    assert open_catalog().table("shop_curated", "orders") == told


def test_a_table_put_again_is_replaced_and_its_partitions_stay(catalog: Catalog) -> None:
    catalog.put_table(TABLE)
    publish(catalog, "v1")
    wider = CatalogTable(TABLE.database, TABLE.name, (*TABLE.columns, ("more", "double")), TABLE.location)
    catalog.put_table(wider)
    assert list(catalog.tables()) == [wider]
    assert current(catalog).name == "v1"


def test_tables_are_sorted_and_those_of_one_database_apart(catalog: Catalog) -> None:
    for database, name in [("b", "z"), ("b", "a"), ("a", "m")]:
        catalog.put_table(CatalogTable(database, name, (), "/"))
    assert [table.qualified_name for table in catalog.tables()] == ["a.m", "b.a", "b.z"]
    assert [table.qualified_name for table in catalog.tables("b")] == ["b.a", "b.z"]
    with pytest.raises(TableNotFound, match=r"There is a.m, b.a, b.z."):
        catalog.table("a", "z")


def test_partitions_are_sorted_by_day_whenever_they_came(catalog: Catalog) -> None:
    for dt in ("2026-11-20", "2026-02-03", "2026-11-19"):
        publish(catalog, f"v-{dt}", dt)
    assert [p.dt for p in catalog.partitions("shop_curated", "orders")] == ["2026-02-03", "2026-11-19", "2026-11-20"]
    assert [p.dt for p in catalog.partitions("shop_curated", "orders", "2026-11-19")] == ["2026-11-19"]
    assert list(catalog.partitions("shop_curated", "orders", "2026-11-18")) == []


def test_a_version_comes_back_as_it_was_published(catalog: Catalog) -> None:
    told = Version(
        "v1",
        "/lake/v1",
        3,
        99,
        {"shop_staging.orders": "v0"},
        (Outcome("in_range", 2, "2 rows."),),
        {"listing": "é'\"\n"},
    )
    assert catalog.publish("shop_curated", "orders", DT, told) == told
    assert current(catalog) == told


def test_the_replaced_version_is_retired_and_the_ones_before_it_stay_so(catalog: Catalog) -> None:
    assert publish(catalog, "v1").retired == ()
    for name in ("v2", "v3"):
        assert publish(catalog, name) == current(catalog)
    assert current(catalog).name == "v3"
    assert [location for location, _ in current(catalog).retired] == ["/lake/v1", "/lake/v2"]


def test_a_version_published_twice_is_not_its_own_predecessor(catalog: Catalog) -> None:
    publish(catalog, "v1")
    assert publish(catalog, "v1").retired == ()


def test_older_inputs_do_not_replace_newer_ones(catalog: Catalog) -> None:
    newer = publish(catalog, "v1", orders="2026-11-20T09")
    assert publish(catalog, "v2", orders="2026-11-20T08") == newer
    assert current(catalog) == newer
    assert publish(catalog, "v3", orders="2026-11-20T09").name == "v3"


def test_one_upload_catalogued_twice_keeps_its_first_version(catalog: Catalog) -> None:
    def crawled(name: str, listing: str) -> Version:
        return catalog.publish(
            "shop_staging", "orders", DT, Version(name, "/raw/orders", -1, 9, facts={"listing": listing})
        )

    assert [crawled("v1", "a").name, crawled("v2", "a").name, crawled("v3", "b").name] == ["v1", "v1", "v3"]


def test_forgotten_locations_are_struck_and_the_rest_stays(catalog: Catalog) -> None:
    for name in ("v1", "v2", "v3"):
        publish(catalog, name)
    catalog.forget_retired("shop_curated", "orders", DT, ["/lake/v1", "/lake/never"])
    assert current(catalog).name == "v3"
    assert [location for location, _ in current(catalog).retired] == ["/lake/v2"]
    catalog.forget_retired("shop_curated", "orders", "2000-01-01", ["/lake/v1"])


def test_a_dropped_partition_is_gone_and_dropping_it_again_is_no_error(catalog: Catalog) -> None:
    publish(catalog, "v1")
    publish(catalog, "w1", "2026-11-21")
    for _ in range(2):
        catalog.drop_partition("shop_curated", "orders", DT)
    assert [p.dt for p in catalog.partitions("shop_curated", "orders")] == ["2026-11-21"]


def test_a_day_that_is_not_built_says_how_to_build_it(catalog: Catalog) -> None:
    assert catalog.find(t.ORDERS, DT) is None
    with pytest.raises(
        TableNotFound, match=r"reorder_curated.orders has no partition dt=2026-11-20. Build it with `instacart-"
    ):
        catalog.current(t.ORDERS, DT)


@pytest.mark.parametrize(("table", "made_by"), [(t.ORDERS, "reorder"), (m.TRAINING_PAIRS, "reorder-model")])
def test_a_query_on_a_day_that_is_not_built_names_the_command_that_builds_that_table(
    catalog: Catalog, table: TableContract, made_by: str
) -> None:
    catalog.put_table(CatalogTable.of(table, f"/lake/{table.name}"))
    query = Query.parse("pairs", f"SELECT count(*) AS n FROM {table.qualified_name}")
    with pytest.raises(TableNotFound, match=f"Build it with `instacart-pipeline run {made_by} --dt {DT}`"):
        inputs_of(catalog, query, DT)


def _require_that_none_is_lost(open_catalog: OpenCatalog, writing: Callable[[], bool]) -> None:
    """While they are `writing`, a reader sees whole versions; in the end it sees every one."""
    reader, read = open_catalog(), 0
    while writing():
        for partition in reader.partitions("shop_curated", "orders"):
            assert partition.location == f"/lake/{partition.version.name}"
            assert len(partition.version.retired) >= read
            read = len(partition.version.retired)
        time.sleep(0.05)
    last = current(open_catalog())
    known = [last.location, *(location for location, _ in last.retired)]
    assert sorted(known) == sorted(
        f"/lake/{writer}-{number}" for writer in range(WRITERS) for number in range(PUBLISHES)
    )


def test_of_several_processes_that_publish_at_once_none_loses_an_update(
    tmp_path: Path, child_processes: ForkServerContext
) -> None:
    open_catalog = partial(SqliteCatalog, home=str(tmp_path / "new"))
    writers = [child_processes.Process(target=publish_many, args=(open_catalog, number)) for number in range(WRITERS)]
    for writer in writers:
        writer.start()
    _require_that_none_is_lost(open_catalog, lambda: any(writer.is_alive() for writer in writers))
    assert [writer.exitcode for writer in writers] == [0] * WRITERS


def test_of_several_that_publish_at_once_on_aws_none_loses_an_update(aws: AwsDouble) -> None:
    open_catalog = _glue_of(aws)
    with ThreadPoolExecutor(WRITERS) as pool:
        writers = [pool.submit(publish_many, open_catalog, number) for number in range(WRITERS)]
        _require_that_none_is_lost(open_catalog, lambda: not all(writer.done() for writer in writers))
    assert [writer.exception() for writer in writers] == [None] * WRITERS


def test_a_writer_killed_in_its_transaction_leaves_the_state_before_it(
    tmp_path: Path, child_processes: ForkServerContext
) -> None:
    open_catalog = partial(SqliteCatalog, home=str(tmp_path))
    before = publish(open_catalog(), "v1")
    writer = child_processes.Process(target=die_in_a_transaction, args=(open_catalog,))
    writer.start()
    writer.join()
    assert writer.exitcode == -signal.SIGKILL
    assert current(open_catalog()) == before
    assert publish(open_catalog(), "v3").name == "v3"


def test_a_lock_whose_holder_died_keeps_others_waiting_for_its_lease_only(
    aws: AwsDouble, monkeypatch: pytest.MonkeyPatch
) -> None:
    catalog = _glue_of(aws)()
    before = publish(catalog, "v1")
    lock = f"work/locks/{TABLE.qualified_name}/dt={DT}"
    aws.client("s3").put_object(Bucket="lake", Key=lock, Body=b'{"holder": "one that died"}')
    with monkeypatch.context() as patch, pytest.raises(JobFailed, match="is locked by others"):
        patch.setattr(locks, "_WAIT_SECONDS", 0)
        publish(catalog, "v2")
    assert current(catalog) == before
    left = s3_backends[DEFAULT_ACCOUNT_ID]["aws"].get_object("lake", lock)
    assert left
    left.last_modified -= timedelta(seconds=locks.LEASE_SECONDS + 60)
    assert publish(catalog, "v3").name == "v3"
    assert [location for location, _ in current(catalog).retired] == ["/lake/v1"]
    assert aws.client("s3").list_objects_v2(Bucket="lake", Prefix="work/locks/")["KeyCount"] == 0


def test_a_publish_whose_answers_are_lost_is_made_once(aws: AwsDouble) -> None:
    catalog = _glue_of(aws)()
    publish(catalog, "v1")
    aws.faults.add(service="s3", operation="PutObject", kind="lost_reply", times=1)
    aws.faults.add(service="glue", operation="UpdatePartition", kind="lost_reply", times=1)
    assert [location for location, _ in publish(catalog, "v2").retired] == ["/lake/v1"]
    assert current(catalog).name == "v2"
