"""The raw zone in S3: files in parts, uploads that break off, what others upload, and what a look costs."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import pytest

from instacart_pipeline.lake.errors import UploadChanged
from instacart_pipeline.resources.aws_account.errors import AwsDenied, AwsError, AwsUnavailable
from instacart_pipeline.resources.storage import aws as aws_storage
from instacart_pipeline.resources.storage.aws import DIGESTS_ASKED
from instacart_pipeline_tests.aws_double.server import AwsDouble
from instacart_pipeline_tests.platform import DT
from instacart_pipeline_tests.resources.raw_zones import DAY, S3Zone

PART = 5 * 1024 * 1024
BIG = {"a.csv": "0123456789" * (PART // 5)}
"""Two parts of the least size that S3 takes."""


@pytest.fixture
def zone(tmp_path: Path, aws: AwsDouble) -> S3Zone:
    return S3Zone(tmp_path, aws)


@pytest.fixture
def in_parts(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    return lambda: monkeypatch.setattr(aws_storage, "PART_BYTES", PART)


def test_the_same_bytes_have_the_same_etag_in_one_piece_and_in_parts(
    zone: S3Zone, in_parts: Callable[[], None]
) -> None:
    zone.put(BIG)
    whole, etag = zone.objects()[0], zone.etags()
    zone.s3.delete_object(Bucket="lake", Key=zone.key("a.csv"))
    in_parts()
    zone.put(BIG)
    assert zone.aws.requests.count("s3", "UploadPart") == 2
    assert zone.objects()[0].tag.endswith("-2") != whole.tag.endswith("-2")
    assert zone.etags() == etag == [hashlib.sha256(BIG["a.csv"].encode()).hexdigest()]
    assert zone.put(BIG) == {"a.csv": False}


@pytest.mark.parametrize("after", [0, 1])
def test_an_upload_that_breaks_off_leaves_the_file_as_it_was(
    zone: S3Zone, in_parts: Callable[[], None], after: int
) -> None:
    zone.put({"a.csv": "before"})
    listed = zone.objects()
    in_parts()
    zone.aws.faults.add("denied", "s3", "UploadPart", times=None, after=after)
    with pytest.raises(AwsDenied, match="s3 upload_fileobj: AccessDenied"):
        zone.put(BIG)
    assert (zone.objects(), zone.read("a.csv")) == (listed, "before")
    assert zone.s3.list_multipart_uploads(Bucket="lake").get("Uploads", []) == []

    zone.aws.faults.clear()
    assert zone.put(BIG) == {"a.csv": True}


def test_the_old_files_of_a_day_stay_until_all_new_ones_are_there(zone: S3Zone) -> None:
    zone.put({"old.csv": "old"})
    zone.aws.faults.add("denied", "s3", "PutObject", containing="new2")
    with pytest.raises(AwsError):
        zone.put({"new1.csv": "1", "new2.csv": "2"})
    assert zone.listed() == ["new1.csv", "old.csv"]
    zone.put({"new1.csv": "1", "new2.csv": "2"})
    assert zone.listed() == ["new1.csv", "new2.csv"]


def test_credentials_that_expire_during_an_upload_are_renewed_and_the_file_is_sent_whole(zone: S3Zone) -> None:
    zone.aws.faults.add("expired", "s3", "PutObject")
    zone.put({"a.csv": "every byte of it"})
    assert zone.read("a.csv") == "every byte of it"


def test_a_file_that_grows_while_it_is_sent_is_told_of_and_put_again_later(
    zone: S3Zone, monkeypatch: pytest.MonkeyPatch
) -> None:
    (path,) = zone.sources({"a.csv": "begun"})
    digests = aws_storage._digests

    def grows(of: Path) -> tuple[str, str]:
        found = digests(of)
        of.write_text("begun, and gone on with")
        return found

    with monkeypatch.context() as patched, pytest.raises(UploadChanged, match="written to while"):
        patched.setattr(aws_storage, "_digests", grows)
        zone.storage.put("reorder", "orders", DT, [path])
    assert zone.listed() == []
    assert zone.storage.put("reorder", "orders", DT, [path]) == {"a.csv": True}
    assert zone.read("a.csv") == "begun, and gone on with"


def test_a_file_that_changed_while_it_was_sent_never_passes_for_what_it_was(
    zone: S3Zone, monkeypatch: pytest.MonkeyPatch
) -> None:
    (path,) = zone.sources({"a.csv": "as meant"})
    digests = aws_storage._digests

    def changes(of: Path) -> tuple[str, str]:
        found = digests(of)
        of.write_text("by mistake")
        return found

    with monkeypatch.context() as patched, pytest.raises(UploadChanged):
        patched.setattr(aws_storage, "_digests", changes)
        zone.storage.put("reorder", "orders", DT, [path])
    path.write_text("as meant")
    assert zone.storage.put("reorder", "orders", DT, [path]) == {"a.csv": True}
    assert zone.read("a.csv") == "as meant"


def test_what_something_else_uploaded_has_the_etag_of_s3(zone: S3Zone) -> None:
    zone.write("a.csv", "one")
    assert zone.etags() == [hashlib.md5(b"one", usedforsecurity=False).hexdigest()]


def test_s3_that_fails_is_an_error_of_ours(zone: S3Zone) -> None:
    zone.aws.faults.add("server_error", "s3", "ListObjectsV2", times=None)
    with pytest.raises(AwsUnavailable, match="run again later"):
        zone.objects()


# What a look costs.


def test_days_cost_one_call_however_much_lies_in_them(zone: S3Zone) -> None:
    zone.fill(f"/reorder/orders/dt=2026-11-{day:02}/{number}.csv" for day in (1, 2, 3) for number in range(400))
    zone.aws.requests.clear()
    assert len(zone.storage.days("reorder", "orders")) == 3
    assert zone.aws.requests.counts() == {("s3", "ListObjectsV2"): 1}


def test_a_day_costs_a_call_for_each_thousand_files_and_no_more_than_its_limit(zone: S3Zone) -> None:
    zone.fill(f"{number:04}.csv" for number in range(1001))
    zone.fill(f"below/{number}.csv" for number in range(30))
    for limit, calls in ((10_000, 2), (1000, 1), (1, 1)):
        zone.aws.requests.clear()
        assert len(zone.storage.objects("reorder", "orders", DT, limit=limit)) == min(limit, 1001)
        assert zone.aws.requests.counts() == {("s3", "ListObjectsV2"): calls}


def test_the_digests_of_a_few_files_are_asked_for_and_s3s_own_stand_for_many(zone: S3Zone) -> None:
    zone.fill(f"{number:04}.csv" for number in range(DIGESTS_ASKED))
    few = zone.objects()
    zone.aws.requests.clear()
    assert len(zone.storage.etags(few)) == DIGESTS_ASKED
    assert zone.aws.requests.counts() == {("s3", "HeadObject"): DIGESTS_ASKED}

    zone.write("one more.csv", "x")
    many = zone.objects()
    zone.aws.requests.clear()
    assert list(zone.storage.etags(many)) == [found.tag for found in many]
    assert len(zone.aws.requests) == 0


def test_the_raw_zone_may_have_a_bucket_of_its_own_or_lie_below_a_prefix(tmp_path: Path, aws: AwsDouble) -> None:
    for lake, where in (("s3://{zone}ed", ("rawed", "")), ("s3://lake/below", ("lake", "below/raw/"))):
        zone = S3Zone(tmp_path, aws)
        bucket, prefix = where
        if bucket != "lake":
            aws.client("s3").create_bucket(
                Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": "eu-central-1"}
            )
        zone.storage = zone.storage.model_copy(update={"lake": lake})
        zone.put({"a.csv": "x"})
        assert zone.objects()[0].path == f"{DAY}/a.csv"
        found = zone.s3.list_objects_v2(Bucket=bucket)["Contents"]
        assert [each["Key"] for each in found] == [f"{prefix}{DAY}/a.csv"]
        assert zone.storage.days("reorder", "orders") == [DT]
        assert len(zone.etags()) == 1
