"""The stream on Kinesis: what fails in part, what is held back, iterators, leases, and shards that are split and merged."""

from __future__ import annotations

import base64
import time
from collections.abc import Callable, Iterator
from functools import partial

import pytest

from instacart_pipeline.lake.errors import InputInvalid, PipelineError
from instacart_pipeline.resources.aws_account.errors import AwsDenied, AwsUnavailable
from instacart_pipeline.resources.stream import START, ClaimLost, Entry, Record, Shard, StreamBusy
from instacart_pipeline.resources.stream.aws import KinesisStream, checkpoints
from instacart_pipeline_tests.aws_double.fault_proxy import Fault, FaultProxy, Parameters, Pass, refused
from instacart_pipeline_tests.resources.aws_streams import StreamSite
from instacart_pipeline_tests.resources.streams import eventually, position_of, read_all, the
from instacart_pipeline_tests.tiers import costs

WORKER = "lookups"
LONG = 300
"""Seconds of a lease that no test lasts."""
MIB = 1024 * 1024
Opened = Callable[..., KinesisStream]


@pytest.fixture(scope="module", params=["moto_site", "node_site"])
@costs("contract", deep_params=("node_site",))
def site(request: pytest.FixtureRequest) -> StreamSite:
    made: StreamSite = request.getfixturevalue(request.param)
    return made


@pytest.fixture
def aws(site: StreamSite) -> Iterator[FaultProxy]:
    """What the stream under test talks to."""
    with FaultProxy(site.double.endpoint) as fault_proxy:
        yield fault_proxy


@pytest.fixture
def opened(site: StreamSite, aws: FaultProxy) -> Opened:
    """Opens the test's own stream of two shards, with settings."""
    made = site.stream(2)
    return partial(made.func, aws.endpoint, *made.args[1:])


@pytest.fixture
def stream(opened: Opened) -> KinesisStream:
    return opened()


def numbered(count: int, key: str = "") -> list[Entry]:
    return [Entry(key or f"key-{n}", str(n).encode()) for n in range(count)]


def failing(code: str, *places: int) -> Fault:
    """A PutRecords that does not store the records at these places; none at all if no place is named."""

    def answer(parameters: Parameters, passed: Pass) -> Parameters:
        given = parameters["Records"]
        failed = set(places or range(len(given))) & set(range(len(given)))
        stored = [record for place, record in enumerate(given) if place not in failed]
        told = iter(passed({**parameters, "Records": stored})["Records"] if stored else [])
        error = {"ErrorCode": code, "ErrorMessage": "Rate exceeded for shard shardId-000000000001"}
        records = [error if place in failed else next(told) for place in range(len(given))]
        return {"FailedRecordCount": len(failed), "Records": records}

    return answer


THROTTLED = "ProvisionedThroughputExceededException"


def data_of(request: Parameters) -> list[str]:
    return [base64.b64decode(record["Data"]).decode() for record in request["Records"]]


# Putting.


def test_of_a_request_that_fails_in_part_only_what_failed_is_put_again_and_first(
    aws: FaultProxy, stream: KinesisStream
) -> None:
    aws.inject("PutRecords", failing(THROTTLED, 1, 4, 499), failing("InternalFailure", 0))
    stream.put(numbered(502))
    first, second, third = aws.of("PutRecords")
    assert data_of(first) == [str(n) for n in range(500)]
    assert data_of(second) == ["1", "4", "499", "500", "501"]
    assert data_of(third) == ["1"]
    assert sorted(int(record.data) for record in read_all(stream, 502)) == list(range(502))


def test_a_stream_that_takes_nothing_is_busy_after_a_while_and_says_what_to_do(aws: FaultProxy, opened: Opened) -> None:
    for always in (failing(THROTTLED), refused(THROTTLED), refused("LimitExceededException")):
        aws.inject("PutRecords", always=always)
        began = time.monotonic()
        with pytest.raises(StreamBusy) as told:
            opened(patience_seconds=0.3).put(numbered(10))
        assert time.monotonic() - began >= 0.3
        for words in ("takes no more just now", "10 of 10 records", "Put all of them again", "more shards"):
            assert words in str(told.value)
    assert len(aws.of("PutRecords")) > 3


def test_records_that_the_service_fails_on_inside_are_its_fault_and_not_a_busy_stream(
    aws: FaultProxy, opened: Opened
) -> None:
    for always in (failing("InternalFailure"), refused("InternalFailure", status=500)):
        aws.inject("PutRecords", always=always)
        with pytest.raises(AwsUnavailable, match="InternalFailure"):
            opened(patience_seconds=0.2).put(numbered(3))


def test_a_put_that_is_denied_is_not_tried_again(aws: FaultProxy, stream: KinesisStream) -> None:
    aws.inject("PutRecords", always=refused("AccessDeniedException"))
    with pytest.raises(AwsDenied, match="kinesis put_records"):
        stream.put(numbered(3))
    assert len(aws.of("PutRecords")) == 1


def test_putting_slows_down_when_held_back_and_speeds_up_again(aws: FaultProxy, stream: KinesisStream) -> None:
    pace = stream._shared.pace
    assert pace.gap == 0
    aws.inject("PutRecords", *[refused(THROTTLED)] * 3)
    stream.put(numbered(1))
    slow = pace.gap
    assert slow > 0
    for _ in range(20):
        stream.put(numbered(1))
    assert pace.gap == 0
    assert sum(1 for _ in aws.of("PutRecords")) == 3 + 1 + 20


def test_requests_keep_to_the_limits_of_kinesis(aws: FaultProxy, stream: KinesisStream) -> None:
    large = [Entry("k" * 10, bytes([n]) * (MIB - 10)) for n in range(7)]
    stream.put([*numbered(1100), *large])
    sizes = [
        sum(len(record["PartitionKey"]) + len(base64.b64decode(record["Data"])) for record in request["Records"])
        for request in aws.of("PutRecords")
    ]
    assert [len(request["Records"]) for request in aws.of("PutRecords")] == [500, 500, 104, 3]
    assert max(sizes) <= 5 * MIB
    assert len(read_all(stream, 1107)) == 1107


def test_a_record_that_is_too_large_is_refused_before_anything_is_put(aws: FaultProxy, stream: KinesisStream) -> None:
    with pytest.raises(InputInvalid, match="1,048,577 bytes, more than the 1,048,576"):
        stream.put([*numbered(3), Entry("k", b"x" * MIB)])
    assert aws.of("PutRecords") == []


# Reading.


def test_going_on_where_a_read_ended_costs_one_call(aws: FaultProxy, opened: Opened) -> None:
    stream = opened()
    stream.put(numbered(6, key="one"))
    (shard,) = {record.shard for record in read_all(stream, 6)}
    aws.asked.clear()
    position = START
    for copy in (stream, opened(), stream, opened()):
        batch = copy.read(shard, position, 2)
        position = batch.records[-1].sequence if batch.records else position
    assert [each.operation for each in aws.asked] == ["GetShardIterator"] + ["GetRecords"] * 4


def test_an_expired_iterator_is_renewed_and_nothing_is_left_out(aws: FaultProxy, stream: KinesisStream) -> None:
    stream.put(numbered(4, key="one"))
    held = read_all(stream, 4)
    assert list(stream.read(held[0].shard, START, 1).records) == held[:1]
    for code in ("ExpiredIteratorException", "InvalidArgumentException"):
        aws.inject("GetRecords", refused(code, "Iterator expired."))
        batch = stream.read(held[0].shard, held[0].sequence, 10)
        assert list(batch.records) == held[1:]


def test_a_shard_that_is_read_too_often_is_busy_at_once(aws: FaultProxy, stream: KinesisStream) -> None:
    shard = stream.state().shards[0].id
    for operation in ("GetShardIterator", "GetRecords"):
        aws.asked.clear()
        aws.inject(operation, refused(THROTTLED, "Rate exceeded for shard"))
        with pytest.raises(StreamBusy, match="five reads a second"):
            stream.read(shard, START, 10)
        assert len(aws.of(operation)) == 1
    assert list(stream.read(shard, START, 10).records) == []


def test_an_empty_answer_that_is_not_the_end_is_followed(aws: FaultProxy, stream: KinesisStream) -> None:
    stream.put(numbered(1, key="one"))
    (record,) = read_all(stream, 1)

    def empty(parameters: Parameters, _passed: Pass) -> Parameters:
        return {"Records": [], "NextShardIterator": parameters["ShardIterator"], "MillisBehindLatest": 1000}

    aws.inject("GetRecords", empty, empty)
    assert list(stream.read(record.shard, START, 10).records) == [record]


def test_a_position_that_is_no_more_goes_on_at_the_oldest_record(aws: FaultProxy, stream: KinesisStream) -> None:
    stream.put(numbered(3, key="one"))
    held = read_all(stream, 3)
    aws.inject("GetShardIterator", refused("InvalidArgumentException", "is invalid because it did not come from this"))
    batch = stream.read(held[0].shard, "49500000000000000000000000000000000000000000000000000002", 10)
    assert list(batch.records) == held


def test_lag_is_the_age_of_the_oldest_record_not_read(stream: KinesisStream) -> None:
    stream.put(numbered(1, key="one"))
    (record,) = read_all(stream, 1)
    time.sleep(0.2)
    behind = {lag.shard: lag.seconds for lag in stream.lag(WORKER)}
    assert behind[record.shard] > 0.1
    assert sorted(behind.values())[0] == 0


def test_a_stream_that_is_not_there_says_how_to_make_it(stream: KinesisStream) -> None:
    missing = KinesisStream(session=stream.session, name="nowhere", prefix=stream.prefix)
    shard = stream.state().shards[0]
    for call in (missing.state, lambda: missing.put(numbered(1)), lambda: missing.read(shard.id, START, 1)):
        with pytest.raises(PipelineError, match=r"no Kinesis stream nowhere.*instacart-pipeline deploy"):
            call()
    untabled = KinesisStream(session=stream.session, name=stream.name, prefix="nowhere-")
    with pytest.raises(PipelineError, match="no DynamoDB table nowhere-checkpoints"), untabled.claim(WORKER, shard):
        pass


# Leases.


@pytest.fixture
def renewing(monkeypatch: pytest.MonkeyPatch, aws: FaultProxy) -> Callable[[int], list[int]]:
    """Leases are renewed every tenth of a second, however long they are. Waits for so many renewals; until when each was."""
    monkeypatch.setattr(checkpoints, "_RENEWALS", 10 * LONG)

    def renewed(times: int) -> list[int]:
        def until() -> list[int]:
            asked = [request["ExpressionAttributeValues"] for request in aws.of("UpdateItem")]
            return [int(values[":until"]["N"]) for values in asked if ":until" in values]

        eventually(lambda: len(until()) > times)
        return until()

    return renewed


def test_a_lease_is_renewed_for_as_long_as_the_block_is_open(
    opened: Opened, renewing: Callable[[int], list[int]]
) -> None:
    mine, other = opened(lease_seconds=LONG), opened(lease_seconds=LONG)
    shard = mine.state().shards[0]
    with mine.claim(WORKER, shard) as claim:
        until = renewing(3)
        assert until == sorted(set(until))
        with other.claim(WORKER, shard) as second:
            assert second is None
        the(claim).finish()
    with other.claim(WORKER, shard) as finished:
        assert finished is None


def test_a_worker_that_stood_still_loses_its_claim_and_learns_so_by_its_commit(opened: Opened) -> None:
    stood_still, stream = opened(lease_seconds=0.1), opened(lease_seconds=LONG)
    stream.put(numbered(2, key="one"))
    first, second = read_all(stream, 2)
    shard = Shard(first.shard)
    lost = stood_still._checkpoints.take(WORKER, shard)  # and nobody renews it
    assert lost
    claim = eventually(lambda: stream._checkpoints.take(WORKER, shard))
    with claim.kept():
        claim.commit(first.sequence)
        with pytest.raises(ClaimLost, match="has lost its claim"), lost.kept():
            lost.commit(second.sequence)
        claim.commit(first.sequence)  # the end of the other one's block took nothing away
    assert position_of(stream, WORKER, shard) == first.sequence


def test_renewals_that_fail_for_a_moment_lose_nothing(
    aws: FaultProxy, opened: Opened, renewing: Callable[[int], list[int]]
) -> None:
    mine, other = opened(lease_seconds=LONG, patience_seconds=0.1), opened()
    shard = mine.state().shards[0]
    with mine.claim(WORKER, shard) as claim:
        aws.inject("UpdateItem", *[refused("InternalServerError", status=500)] * 2)
        renewing(4)
        the(claim).commit("1")
        with other.claim(WORKER, shard) as second:
            assert second is None


def test_a_claim_whose_answer_was_lost_is_still_ones_own(aws: FaultProxy, stream: KinesisStream) -> None:
    def lost(parameters: Parameters, passed: Pass) -> Parameters:
        passed(parameters)
        return refused("InternalServerError", status=500)(parameters, passed)

    aws.inject("UpdateItem", lost)
    with stream.claim(WORKER, stream.state().shards[0]) as claim:
        the(claim).commit("1")


def test_a_table_of_checkpoints_that_takes_nothing_is_a_busy_stream(aws: FaultProxy, opened: Opened) -> None:
    stream = opened(patience_seconds=0.2)
    shard = stream.state().shards[0]
    aws.inject("UpdateItem", always=refused(THROTTLED))
    with pytest.raises(StreamBusy, match=r"checkpoints back, and has for 0\.2 s"), stream.claim(WORKER, shard):
        pass


def test_streams_that_share_a_table_have_positions_of_their_own(stream: KinesisStream) -> None:
    other = KinesisStream(session=stream.session, name="other", prefix=stream.prefix)
    shard = stream.state().shards[0]
    with stream.claim(WORKER, shard) as claim:
        the(claim).commit("5")
    assert (position_of(stream, WORKER, shard), position_of(other, WORKER, shard)) == ("5", START)


# Shards that become others.


def worked(stream: KinesisStream, into: list[Record]) -> list[str]:
    """One round of a worker over all shards: what can be claimed is read to its end for now. The shards claimed."""
    claimed = []
    for shard in stream.state().shards:
        with stream.claim(WORKER, shard) as claim:
            if claim is None:
                continue
            claimed.append(shard.id)
            batch = stream.read(shard.id, claim.position, 40)
            into += batch.records
            if batch.records:
                claim.commit(batch.records[-1].sequence)
            if batch.ended:
                claim.finish()
    return claimed


def test_shards_made_of_others_are_read_after_them_and_nothing_is_lost(node_site: StreamSite) -> None:
    """On kinesalite alone: moto goes on putting into closed shards, and never ends them."""
    stream, kinesis = node_site.stream(2)(), node_site.double.client("kinesis")

    def settled() -> bool:
        status: str = kinesis.describe_stream_summary(StreamName=stream.name)["StreamDescriptionSummary"][
            "StreamStatus"
        ]
        return status == "ACTIVE"

    stream.put([Entry(f"{n % 9}", f"{n}".encode()) for n in range(100)])
    first, second = stream.state().shards
    middle = str(2**126)
    kinesis.split_shard(StreamName=stream.name, ShardToSplit=first.id, NewStartingHashKey=middle)
    eventually(settled)
    stream.put([Entry(f"{n % 9}", f"{n}".encode()) for n in range(100, 200)])
    children = [shard for shard in stream.state().shards if shard.parents == (first.id,)]
    assert len(children) == 2
    kinesis.merge_shards(StreamName=stream.name, ShardToMerge=children[1].id, AdjacentShardToMerge=second.id)
    eventually(settled)
    (merged,) = [shard for shard in stream.state().shards if len(shard.parents) == 2]
    assert set(merged.parents) == {children[1].id, second.id}
    stream.put([Entry(f"{n % 9}", f"{n}".encode()) for n in range(200, 300)])

    seen: list[Record] = []
    assert sorted(worked(stream, seen)) == sorted([first.id, second.id])
    eventually(lambda: worked(stream, seen) and len(seen) >= 300)
    eventually(lambda: sorted(worked(stream, seen)) == sorted([children[0].id, merged.id]))
    for key in range(9):
        assert [int(record.data) for record in seen if record.key == str(key)] == list(range(key, 300, 9))
    assert len(seen) == 300
    assert {lag.shard: lag.seconds for lag in stream.lag(WORKER)} == dict.fromkeys(
        [shard.id for shard in stream.state().shards], 0.0
    )


def test_a_shard_whose_parent_is_past_its_retention_can_be_read(stream: KinesisStream) -> None:
    shard = stream.state().shards[0]
    with stream.claim(WORKER, Shard(shard.id, ("shardId-000000000999",))) as claim:
        assert claim is not None
    with stream.claim(WORKER, Shard(shard.id, (stream.state().shards[1].id, "shardId-000000000999"))) as claim:
        assert claim is None


def test_a_shard_that_is_gone_has_ended(stream: KinesisStream) -> None:
    batch = stream.read("shardId-000000000999", START, 10)
    assert (list(batch.records), batch.ended) == ([], True)
