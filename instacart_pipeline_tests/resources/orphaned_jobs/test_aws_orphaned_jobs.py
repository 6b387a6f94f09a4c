"""What a dead run left on AWS: every service is asked, and what still runs is stopped."""

from __future__ import annotations

from importlib import import_module
from pkgutil import walk_packages
from typing import Any

import pytest

from instacart_pipeline import resources
from instacart_pipeline.resources.aws_account.errors import AwsError
from instacart_pipeline.resources.managed_jobs.attempts import JobEntry, Work
from instacart_pipeline.resources.managed_jobs.job_service import JobService
from instacart_pipeline.resources.orphaned_jobs.aws import AwsOrphanedJobs, all_services
from instacart_pipeline_tests.platform import DT
from instacart_pipeline_tests.resources.aws_site import WORKGROUP, Site


def test_no_service_that_starts_jobs_is_left_out(site: Site) -> None:
    for module in walk_packages(resources.__path__, f"{resources.__name__}."):
        if ".aws" in module.name:
            import_module(module.name)
    known = {type(service) for service in all_services(site.session, site.jobs.base)}
    ours = {kind for kind in _kinds_of(JobService) if kind.__module__.startswith(resources.__name__)}
    assert known == ours
    assert len({service.name for service in all_services(site.session, site.jobs.base)}) == len(known)


def _kinds_of(service: Any) -> set[type[JobService]]:
    """The kinds that nothing else is a kind of."""
    below = service.__subclasses__()
    return {kind for each in below for kind in _kinds_of(each)} if below else {service}


@pytest.fixture
def left(site: Site) -> str:
    """A query that the run `dead` started and never ended, by its id."""
    site.aws.pace.running = 60
    started = site.session.call("athena", "start_query_execution", QueryString="SELECT 1", WorkGroup=WORKGROUP)
    records = site.jobs.records
    attempt = records.claim(Work("dead", "reorder_curated.orders", DT, "digest"))
    attempt.jobs["query"] = JobEntry("Athena query", attempt.token("query"), started["QueryExecutionId"])
    records.write(attempt)
    return str(started["QueryExecutionId"])


def test_what_a_dead_run_left_is_stopped_once(site: Site, left: str) -> None:
    orphaned_jobs = AwsOrphanedJobs(jobs=site.jobs)
    assert list(orphaned_jobs.stop("another")) == []
    assert list(orphaned_jobs.stop("dead")) == [left]
    assert list(orphaned_jobs.stop("dead")) == []
    (job,) = site.aws.jobs("athena")
    assert job.state == "CANCELLED"


def test_records_that_can_not_be_read_are_an_error_and_stopping_goes_on_later(site: Site, left: str) -> None:
    orphaned_jobs = AwsOrphanedJobs(jobs=site.jobs)
    site.aws.faults.add("denied", "s3", "ListObjectsV2")
    with pytest.raises(AwsError):
        orphaned_jobs.stop("dead")
    assert list(orphaned_jobs.stop("dead")) == [left]


def test_a_statement_whose_id_nobody_noted_is_found_by_its_name(site: Site) -> None:
    site.aws.outcomes.stuck("redshift-data")
    attempt = site.jobs.records.claim(Work("dead", "shop_warehouse.sales", DT, "digest"))
    token = attempt.token("load")
    attempt.jobs["load"] = JobEntry("Redshift statement", token)
    site.jobs.records.write(attempt)
    place: Any = {"WorkgroupName": "warehouse", "Database": "dev"}
    started = site.session.call(
        "redshift-data", "batch_execute_statement", Sqls=["SELECT 1"], StatementName=token, **place
    )
    assert list(AwsOrphanedJobs(jobs=site.jobs).stop("dead")) == [started["Id"]]
    assert [job.alive for job in site.aws.jobs("redshift-data")] == [False]
