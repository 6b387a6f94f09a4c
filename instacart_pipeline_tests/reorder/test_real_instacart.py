"""The real files of Instacart 2017, as far as they are here: catalogued, ingested, and compared with a plain reading of them."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from pyarrow import csv as arrow_csv

from instacart_pipeline.lake.versions import Version
from instacart_pipeline.reorder import tables as t
from instacart_pipeline.resources.crawler import Crawl
from instacart_pipeline_tests.platform import DT, Platform

PRIOR_LINES, TRAIN_LINES = 199_999, 1_384_617


class Instacart:
    """The real files, uploaded, crawled and ingested in the chain's order."""

    def __init__(self, platform: Platform, files: Path, train: Path) -> None:
        self.platform, self.files, self.train = platform, files, train
        put = platform.storage.put
        for table in ("aisles", "departments", "products"):
            put(t.SYSTEM, table, DT, [files / f"{table}.csv"])
        put(t.SYSTEM, "orders", DT, [files / "orders_first_50k.csv"])
        put(t.SYSTEM, "order_products", DT, [files / "order_products__prior_first_200k.csv", train])
        crawler, ingest = platform.resources.crawler, platform.resources.ingest
        self.crawl: Crawl = crawler.crawl(t.STAGED, DT)
        self.ingested: dict[str, Version] = {
            staged.name: ingest.ingest_table(staged, target, DT).version for staged, target in t.CURATED_TABLES.items()
        }

    def facts(self, table: str) -> dict[str, int]:
        return {name: int(value) for name, value in self.ingested[table].facts.items()}

    def records(self, name: str) -> Iterator[dict[str, str]]:
        """The rows of a file as Python's csv module reads them."""
        with (self.files / name).open(encoding="utf-8-sig", newline="") as file:
            yield from csv.DictReader(file)


@pytest.fixture(scope="module")
def instacart(real_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Instacart:
    """Every line may be rejected, as the files hold lines of many orders that they don't hold."""
    home = tmp_path_factory.mktemp("instacart")
    train = home / "order_products__train.csv"
    arrow_csv.write_csv(pq.read_table(real_data / "instacart" / "order_products__train.parquet"), train)
    return Instacart(Platform(home / "home", max_rejected=1.0), real_data / "instacart", train)


def test_a_crawl_catalogues_the_files_as_they_are(instacart: Instacart) -> None:
    found = instacart.crawl.tables
    assert {table.change for table in found.values()} == {"new"}
    assert not any(table.problem or table.missing_columns or table.extra_columns for table in found.values())
    assert dict(found["products"].columns) == {
        "product_id": "bigint",
        "product_name": "string",
        "aisle_id": "bigint",
        "department_id": "bigint",
    }
    assert set(dict(found["order_products"].columns).values()) == {"bigint"}
    assert dict(found["orders"].columns)["eval_set"] == "string"
    assert len(found["order_products"].files) == 2


def test_aisles_and_departments_are_whole(instacart: Instacart) -> None:
    assert (instacart.ingested["aisles"].rows, instacart.ingested["departments"].rows) == (134, 21)
    assert [row["aisle"] for row in instacart.platform.rows(t.AISLES)] == [
        row["aisle"] for row in instacart.records("aisles.csv")
    ]


def test_every_product_arrives_with_its_name_intact(instacart: Instacart) -> None:
    assert instacart.facts("products") == {"rows_in": 49_688, "rejects": 0, "duplicates": 0}
    written = {
        int(row["product_id"]): (row["product_name"], int(row["aisle_id"]), int(row["department_id"]))
        for row in instacart.records("products.csv")
    }
    arrived = {
        row["product_id"]: (row["product_name"], row["aisle_id"], row["department_id"])
        for row in instacart.platform.rows(t.PRODUCTS)
    }
    assert arrived == written
    assert len(arrived) == 49_688


def test_every_order_arrives_with_its_values(instacart: Instacart) -> None:
    assert instacart.facts("orders") == {"rows_in": 49_999, "rejects": 0, "duplicates": 0}
    written = {
        tuple(float(text) if text and name != "eval_set" else text or None for name, text in row.items())
        for row in instacart.records("orders_first_50k.csv")
    }
    assert {tuple(row.values()) for row in instacart.platform.rows(t.ORDERS)} == written


def test_lines_of_orders_that_are_not_there_are_counted_as_rejects(instacart: Instacart) -> None:
    orders = {row["order_id"] for row in instacart.records("orders_first_50k.csv")}
    prior = sum(row["order_id"] in orders for row in instacart.records("order_products__prior_first_200k.csv"))
    with instacart.train.open(newline="") as file:
        train = sum(row["order_id"] in orders for row in csv.DictReader(file))
    assert 0 < prior < PRIOR_LINES
    assert 0 < train < TRAIN_LINES
    assert instacart.ingested["order_products"].rows == prior + train
    assert instacart.facts("order_products") == {
        "rows_in": PRIOR_LINES + TRAIN_LINES,
        "rejects": PRIOR_LINES + TRAIN_LINES - prior - train,
        "duplicates": 0,
    }


def test_a_rejected_line_is_found_again_in_its_file(instacart: Instacart) -> None:
    (reject,) = instacart.platform.sql(
        f"SELECT line, column_name, reason, raw FROM reorder_curated.order_products_rejects WHERE dt = '{DT}'"
        " AND file LIKE '%prior%' ORDER BY line DESC LIMIT 1"
    )
    with (instacart.files / "order_products__prior_first_200k.csv").open(encoding="utf-8-sig") as file:
        lines = file.read().splitlines()
    assert lines[reject["line"] - 1] == reject["raw"]
    order_id = reject["raw"].split(",")[0]
    assert (reject["column_name"], reject["reason"]) == (
        "order_id",
        f"order_id {order_id} is not in reorder_curated.orders",
    )
