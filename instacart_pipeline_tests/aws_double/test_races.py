"""Two at once: what one does to a run or a partition while the double is in the middle of it."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from instacart_pipeline_tests.aws_double import AwsDouble
from instacart_pipeline_tests.aws_double.crawl_csv import classify
from instacart_pipeline_tests.aws_double.jobs import JobRun, Jobs, JobTiming
from instacart_pipeline_tests.aws_double.outcomes import Outcomes
from instacart_pipeline_tests.aws_double.support import BUCKET, Lake, eventually

STATES = {"queued": "STARTING", "running": "RUNNING", "stopping": "STOPPING", "succeeded": "SUCCEEDED"}


def test_a_stop_that_meets_the_end_of_a_run_does_not_bring_it_back_to_life() -> None:
    jobs, finish = Jobs(Outcomes(), JobTiming(0, 0, 0)), threading.Event()

    class EndsWhenLookedAt(JobRun):
        looked = False

        @property
        def alive(self) -> bool:
            before = JobRun.alive.fget(self)  # type: ignore[attr-defined]  # a property has it
            if before and not self.looked and self.phase == "running":
                self.looked = True
                finish.set()
                self.done.wait(0.3)  # it ends here, if nothing holds it back
            return bool(before)

    run = EndsWhenLookedAt("glue", "1", "job", STATES)

    def work() -> None:
        finish.wait(5)

    jobs.start(run, work)
    eventually(lambda: run.phase == "running")
    jobs.stop(run)
    assert run.done.wait(5)
    assert run.state == "SUCCEEDED"


def test_what_is_put_on_a_partition_during_a_crawl_stays(
    lake: Lake, aws: AwsDouble, monkeypatch: pytest.MonkeyPatch
) -> None:
    lake.put("raw/orders/dt=2026-11-20/a.csv", "id,name\n1,x\n2,y\n")
    targets = {"S3Targets": [{"Path": f"s3://{BUCKET}/raw/orders/"}]}
    lake.glue.create_crawler(Name="crawler", Role="role", DatabaseName="shop", Targets=targets)
    place: dict[str, Any] = {"DatabaseName": "shop", "TableName": "orders"}

    def crawled() -> dict[str, Any]:
        lake.glue.start_crawler(Name="crawler")
        eventually(lambda: lake.glue.get_crawler(Name="crawler")["Crawler"]["State"] == "READY")
        found: dict[str, Any] = lake.glue.get_partition(**place, PartitionValues=["2026-11-20"])["Partition"]
        return found

    def classified(*arguments: Any) -> Any:
        there = lake.glue.get_partition(**place, PartitionValues=["2026-11-20"])["Partition"]
        entry = {"Values": ["2026-11-20"], "StorageDescriptor": there["StorageDescriptor"]}
        entry["Parameters"] = {**there["Parameters"], "version": "v2"}
        lake.glue.update_partition(**place, PartitionValueList=["2026-11-20"], PartitionInput=entry)
        return classify(*arguments)

    crawled()
    monkeypatch.setattr("instacart_pipeline_tests.aws_double.crawl.classify", classified)
    found = crawled()["Parameters"]
    assert (found["version"], found["classification"]) == ("v2", "csv")
    assert aws.jobs("crawler")[-1].state == "COMPLETED"
