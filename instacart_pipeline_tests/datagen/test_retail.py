"""Generated files of invoices: the same for a seed, of the size asked for, and with the quirks of the real ones."""

from __future__ import annotations

import csv
from collections import Counter
from datetime import date
from pathlib import Path

import pytest

from instacart_pipeline.datagen.retail import HEADER, generate_retail
from instacart_pipeline.retail.lines import Line, counted, folded, read_line

FIRST = date(2010, 11, 29)


def generate(out: Path, *, seed: int = 7, days: int = 3, lines: int = 4000) -> dict[str, bytes]:
    """The files of some days, by name."""
    made = list(generate_retail(out, days=days, lines_a_day=lines, seed=seed, first_day=FIRST))
    assert [file.lines for file in made] == [lines] * days
    return {path.name: path.read_bytes() for path in sorted(out.iterdir())}


def rows_of(content: bytes) -> list[dict[str, str]]:
    return list(csv.DictReader(content.decode().splitlines()))


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    return generate(tmp_path_factory.mktemp("retail"))


@pytest.fixture(scope="module")
def rows(files: dict[str, bytes]) -> list[dict[str, str]]:
    return [row for content in files.values() for row in rows_of(content)]


def test_the_same_seed_gives_the_same_bytes_and_another_one_others(files: dict[str, bytes], tmp_path: Path) -> None:
    assert generate(tmp_path / "again") == files
    assert generate(tmp_path / "other", seed=8) != files


def test_a_longer_run_starts_with_the_same_days(files: dict[str, bytes], tmp_path: Path) -> None:
    assert generate(tmp_path, days=1) == {"2010-11-29.csv": files["2010-11-29.csv"]}


def test_every_line_is_accepted_and_dated_on_the_day_its_file_is_named_by(files: dict[str, bytes]) -> None:
    for name, content in files.items():
        assert content.decode().splitlines()[0] == ",".join(HEADER)
        lines = [read_line({folded(key): value for key, value in row.items()}) for row in rows_of(content)]
        assert {line.day for line in lines} == {name.removesuffix(".csv")}
        assert lines == sorted(lines, key=lambda line: line.invoice_time)


def test_the_quirks_of_the_real_files_are_there(rows: list[dict[str, str]]) -> None:
    share = 1 / len(rows)
    lines: list[Line] = list(counted(read_line({folded(k): v for k, v in row.items()}) for row in rows))
    assert 0.15 < sum(not row["CustomerID"] for row in rows) * share < 0.45
    assert all(row["CustomerID"].endswith(".0") for row in rows if row["CustomerID"])
    assert 0.05 < sum(row["Description"] != row["Description"].strip() for row in rows) * share < 0.35
    assert 0.003 < sum(line.repeat > 1 for line in lines) * share < 0.05
    assert 0.005 < sum(line.is_cancellation for line in lines) * share < 0.1
    assert {line.stock_code for line in lines if not line.is_product} >= {"POST", "DOT", "M"}
    assert any(not row["Description"] and row["UnitPrice"] == "0.0" for row in rows)
    assert len({row["Country"] for row in rows}) > 5
    assert rows[0]["Country"] == Counter(row["Country"] for row in rows).most_common(1)[0][0] == "United Kingdom"


def test_what_is_cancelled_was_sold_to_that_customer_at_that_price_before(rows: list[dict[str, str]]) -> None:
    sold = set[tuple[str, str, str]]()
    for row in rows:
        key = (row["StockCode"].upper(), row["CustomerID"], row["UnitPrice"])
        if row["InvoiceNo"].startswith("C") and row["StockCode"] != "D":
            assert int(row["Quantity"]) < 0
            assert key in sold
        sold.add(key)


def test_some_products_sell_far_more_than_others_and_in_their_season(tmp_path: Path) -> None:
    def sold(first: date) -> Counter[str]:
        (file,) = generate_retail(tmp_path / str(first), days=1, lines_a_day=20_000, seed=7, first_day=first)
        return Counter(row["StockCode"].upper() for row in rows_of(file.path.read_bytes()))

    winter, summer = sold(date(2011, 1, 10)), sold(date(2011, 7, 10))
    top = [count for _, count in winter.most_common(len(winter) // 10)]
    assert sum(top) > 0.25 * winter.total()
    assert len({code for code, _ in winter.most_common(50)} - {code for code, _ in summer.most_common(200)}) > 3
