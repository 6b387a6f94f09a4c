"""What AWS refuses, fails at or leaves unsaid: told apart by what can be done about it, and never taken for the whole answer."""

from __future__ import annotations

from typing import Any

import pytest
from botocore.exceptions import ClientError, IncompleteReadError, ReadTimeoutError, UnauthorizedSSOTokenError

from instacart_pipeline.resources.aws_account.errors import (
    AwsBusy,
    AwsConflict,
    AwsDenied,
    AwsError,
    AwsExpired,
    AwsRefused,
    AwsThrottled,
    AwsUnavailable,
    translated,
)
from instacart_pipeline.resources.aws_account.objects import Objects
from instacart_pipeline.resources.aws_account.session import AwsSession
from instacart_pipeline.resources.catalog import CatalogTable
from instacart_pipeline_tests.resources.aws_site import LAKE, Site
from instacart_pipeline_tests.resources.raw_zones import fill


def answer(code: str, status: int = 400, **more: str) -> ClientError:
    told: Any = {"Error": {"Code": code, "Message": "so"}, "ResponseMetadata": {"HTTPStatusCode": status}, **more}
    return ClientError(told, "Any")


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        # Glue's word for having given up in the middle: a job may run all the same, and has to be looked for.
        (answer("OperationTimeoutException"), AwsUnavailable),
        (answer("TooManyRequestsException"), AwsThrottled),
        (answer("TooManyRequestsException", Reason="CONCURRENT_QUERY_LIMIT_EXCEEDED"), AwsBusy),
        (IncompleteReadError(actual_bytes=1, expected_bytes=2), AwsUnavailable),
        (UnauthorizedSSOTokenError(), AwsDenied),
        (ReadTimeoutError(endpoint_url="https://glue"), AwsUnavailable),
    ],
    ids=[
        *("an operation timed out", "too many calls", "too many queries", "half an answer", "the sign-on is over"),
        "no answer",
    ],
)
def test_errors_are_told_apart_by_what_can_be_done(error: Any, kind: type[AwsError]) -> None:
    assert type(translated("any", "call", error)) is kind


@pytest.mark.parametrize(
    ("kind", "codes"),
    {
        AwsThrottled: ["athena ThrottlingException", "s3 SlowDown", "sagemaker ThrottlingException"],
        AwsBusy: [
            *("glue ConcurrentRunsExceededException", "glue CrawlerRunningException"),
            *("databrew ServiceQuotaExceededException", "sagemaker ResourceLimitExceeded"),
            "redshift-data ActiveStatementsExceededException",
        ],
        AwsDenied: ["glue AccessDeniedException", "s3 AccessDenied"],
        AwsExpired: ["athena ExpiredTokenException", "s3 ExpiredToken"],
        AwsRefused: [
            *("athena InvalidRequestException", "glue InvalidInputException", "databrew ValidationException"),
            *("sagemaker ValidationException", "redshift-data ValidationException", "any NeverHeardOf"),
        ],
    }.items(),
)
def test_each_service_s_words_are_understood(kind: type[AwsError], codes: list[str]) -> None:
    for service, code in (each.split() for each in codes):
        assert type(translated(service, "call", answer(code))) is kind, code
    assert type(translated("any", "call", answer("NeverHeardOf", status=500))) is AwsUnavailable


def test_credentials_that_expired_are_read_anew_once(site: Site) -> None:
    site.aws.faults.add("expired", "glue", "GetDatabases")
    assert "DatabaseList" in site.session.call("glue", "get_databases", once=True)
    expired = site.aws.faults.add("expired", "glue", "GetDatabases", times=None)
    with pytest.raises(AwsExpired, match="Renew the credentials"):
        site.session.call("glue", "get_databases")
    assert expired.hits == 2


def test_a_call_that_is_held_back_is_tried_again_unless_it_is_to_be_tried_once(site: Site) -> None:
    site.aws.faults.add("throttled", "s3", "PutObject")
    site.session.call("s3", "put_object", Bucket="lake", Key="work/a", Body=b"")
    held_back = site.aws.faults.add("throttled", "s3", "PutObject", times=9)
    with pytest.raises(AwsThrottled):
        site.session.call("s3", "put_object", once=True, Bucket="lake", Key="work/a", Body=b"")
    assert held_back.hits == 1


@pytest.mark.parametrize("pages_before", [0, 1, 2])
def test_a_listing_in_whose_middle_credentials_expire_is_never_taken_for_a_whole_one(
    site: Site, pages_before: int
) -> None:
    fill("lake", (f"raw/shop/lines/{number}" for number in range(5)))
    site.aws.faults.add("expired", "s3", "ListObjectsV2", after=pages_before)

    def listed() -> int:
        pages = site.session.pages(
            "s3", "list_objects_v2", Bucket="lake", Prefix="raw/", PaginationConfig={"PageSize": 2}
        )
        return sum(len(page["Contents"]) for page in pages)

    if pages_before:
        with pytest.raises(AwsExpired):
            listed()
    assert listed() == 5


def test_objects_that_s3_keeps_although_they_were_to_be_removed_are_an_error(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.put(f"{LAKE}/curated/kept", "x")
    call = AwsSession.call

    def kept(self: AwsSession, service: str, operation: str, **parameters: Any) -> dict[str, Any]:
        if operation != "delete_objects":
            return call(self, service, operation, **parameters)
        return {"Errors": [{"Key": "curated/kept", "Code": "AccessDenied", "Message": "Access Denied"}]}

    monkeypatch.setattr(AwsSession, "call", kept)
    with pytest.raises(AwsDenied, match="curated/kept"):
        Objects(site.session).remove_below(f"{LAKE}/curated")


@pytest.mark.parametrize("times", [1, 3])
def test_a_table_that_others_change_at_the_same_time_is_defined_in_the_end(
    site: Site, monkeypatch: pytest.MonkeyPatch, times: int
) -> None:
    table = CatalogTable("shop_curated", "lines", (("line_id", "bigint"),), f"{LAKE}/curated/shop/lines")
    site.catalog.put_table(table)
    call, refused = (
        AwsSession.call,
        [AwsConflict("glue", "update_table", "ConcurrentModificationException", "")] * times,
    )

    def contended(self: AwsSession, service: str, operation: str, **parameters: Any) -> dict[str, Any]:
        if operation == "update_table" and refused:
            raise refused.pop()
        return call(self, service, operation, **parameters)

    monkeypatch.setattr(AwsSession, "call", contended)
    wider = CatalogTable(table.database, table.name, (*table.columns, ("user_id", "bigint")), table.location)
    site.catalog.put_table(wider)
    assert site.catalog.table("shop_curated", "lines") == wider
