"""The scripts of the segments' jobs, called in this process: week after week, and shops of which little can be said."""

from __future__ import annotations

import json
import runpy
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from pyarrow import parquet

from instacart_pipeline.customers import segment_jobs as jobs
from instacart_pipeline.customers.model import fitting, groups, plots
from instacart_pipeline.customers.model.naming import BOUGHT_NOTHING, BOUGHT_SOMETHING
from instacart_pipeline.customers.model.rows import Customers
from instacart_pipeline.customers.model.segmentation import RULE
from instacart_pipeline_tests.customers.model.planted import changed, shop, write
from instacart_pipeline_tests.platform import Row

SCRIPTS = Path(fitting.__file__).parent / "scripts"
MANY = 200


@dataclass(frozen=True)
class Job:
    """What the two jobs of a week left."""

    output: Path
    table: list[Row]

    @property
    def report(self) -> dict[str, Any]:
        read: dict[str, Any] = json.loads((self.output / "report.json").read_text())
        return read

    @property
    def pictures(self) -> set[str]:
        return {path.stem for path in self.output.glob("*.png")}

    @property
    def segments(self) -> dict[int, Row]:
        return {row["user_id"]: row for row in self.table}


def week(folder: Path, customers: Customers, last: Job | None = None, *, drawn: bool = False) -> Job:
    """Run both jobs of a week below `folder`, as SageMaker lays out their files."""
    segmenting, assigning = folder / "segmenting", folder / "assigning"
    against = []
    for base in (segmenting, assigning):
        write(customers, base / "input" / "customers", files=2)
        (base / "output").mkdir()
    if last:
        (segmenting / "input" / "last_week").mkdir()
        (segmenting / "input" / "last_week" / "output").symlink_to(last.output)
        against = ["--against", "2024-01-08"]
    (assigning / "input" / "segmentation").symlink_to(segmenting)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(groups, "DRAWS", 3)
        if not drawn:
            patch.setattr(plots, "draw_all", lambda *_: None)
        for base, script, options in ((segmenting, "segment.py", against), (assigning, "assign.py", [])):
            patch.setenv("SM_PROCESSING_DIR", str(base))
            patch.setattr(sys, "argv", [script, *options])
            runpy.run_path(str(SCRIPTS / script), run_name="__main__")
    return Job(segmenting / "output", parquet.read_table(assigning / "output" / "part-00000.parquet").to_pylist())


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Job]:
    yield week(tmp_path_factory.mktemp("first"), shop(MANY), drawn=True)


def test_every_customer_is_in_one_segment_and_the_report_says_all_of_how(first: Job) -> None:
    customers, report = shop(MANY), first.report
    assert first.segments.keys() == set(customers.user_id.tolist())
    assert len(first.table) == MANY
    idle = {user for user, bought in zip(customers.user_id.tolist(), customers.bought, strict=True) if not bought}
    assert {user for user, row in first.segments.items() if row["segment"] == RULE} == idle
    assert {row["segment_name"] for user, row in first.segments.items() if user in idle} == {BOUGHT_NOTHING}
    assert all((row["distance_to_center"] is None) == (user in idle) for user, row in first.segments.items())
    names = {(row["segment"], row["segment_name"]) for row in first.table}
    assert len(names) == report["k"] + 1 == len({name for _, name in names})
    figures = jobs.figures_of(report)
    assert (figures["customers"], figures["buyers"]) == (MANY, MANY - len(idle))
    assert figures["groups"] == "none"
    assert "slices of a continuum" in report["verdict"]
    assert "How much is bought" in jobs.features_in_words(report)
    assert "no distance for K-means" in jobs.features_in_words(report)
    assert jobs.numbers_in_words(report).count("\n") > 6
    assert BOUGHT_NOTHING in jobs.segments_in_words(report)
    assert first.pictures == {"silhouette_and_elbow", "profiles", "sizes"}


def test_the_first_week_says_there_is_none_to_compare_with(first: Job) -> None:
    steadiness = jobs.steadiness(first.report)
    assert steadiness.steady
    assert steadiness.words == "Nothing to compare with: there are no segments of the week before."
    assert jobs.drift_in_words(first.report) == steadiness.words


def test_a_week_like_the_one_before_is_steady_and_its_model_is_the_same_to_the_byte(first: Job, tmp_path: Path) -> None:
    second = week(tmp_path, shop(MANY), first)
    steadiness = jobs.steadiness(second.report)
    assert steadiness.steady
    figures = steadiness.figures
    assert (figures["psi"], figures["moved"], figures["agreement"]) == (0.0, 0, 1.0)
    assert second.segments == first.segments
    made = [
        {path.name: path.read_bytes() for path in job.output.iterdir() if path.suffix not in (".png", ".json")}
        for job in (first, second)
    ]
    assert made[0]
    assert made[0] == made[1]
    drift = dict.fromkeys(("drift", "drift_unknown"))
    assert first.report | drift == second.report | drift


def test_a_week_whose_customers_spend_another_way_is_not_steady_and_says_who_moved_where(
    first: Job, tmp_path: Path
) -> None:
    before = shop(MANY)
    turned = ("spend", "orders", "items", "days_since_order", "return_rate")
    third = week(tmp_path, changed(before, **{name: before.values[name][::-1].copy() for name in turned}), first)
    steadiness = jobs.steadiness(third.report)
    assert not steadiness.steady
    assert steadiness.figures["moved"] > MANY / 10
    words = jobs.drift_in_words(third.report)
    assert f"{steadiness.figures['moved']:,} of {MANY} customers" in words
    assert "By the segments of 2024-01-08" in words
    assert "| from | to | customers |" in words


def test_few_customers_are_one_segment_beside_those_who_bought_nothing(tmp_path: Path) -> None:
    few = week(tmp_path, shop(30))
    assert {row["segment_name"] for row in few.table} == {BOUGHT_NOTHING, BOUGHT_SOMETHING}
    assert "too few" in few.report["verdict"]


def test_a_week_in_which_nobody_buys_says_so_and_the_next_is_compared_with_it(tmp_path: Path) -> None:
    everyone = shop(60)
    quiet = week(tmp_path / "quiet", everyone.where(~everyone.bought), drawn=True)
    assert "Nobody bought anything" in quiet.report["verdict"]
    assert {row["segment_name"] for row in quiet.table} == {BOUGHT_NOTHING}
    assert quiet.pictures == {"sizes"}
    after = week(tmp_path / "after", everyone, quiet)
    assert jobs.steadiness(after.report).figures["customers_in_both"] == len(quiet.table)
