"""The lookup tables on DynamoDB: what is left unprocessed or held back, lost answers, and the limits of requests and items."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from functools import partial

import pytest

from instacart_pipeline.lake.errors import InputInvalid, PipelineError
from instacart_pipeline.resources.aws_account.errors import AwsDenied, AwsUnavailable
from instacart_pipeline.resources.lookup_tables import Item, LookupsBusy, LookupTable, Value
from instacart_pipeline.resources.lookup_tables.aws import DynamoLookupTables
from instacart_pipeline_tests.aws_double.fault_proxy import Fault, FaultProxy, Parameters, Pass, refused
from instacart_pipeline_tests.resources.aws_streams import StreamSite
from instacart_pipeline_tests.resources.streams import LookupsBackend, made_in
from instacart_pipeline_tests.tiers import costs

THROTTLED = "ProvisionedThroughputExceededException"
Opened = Callable[..., DynamoLookupTables]


@pytest.fixture(scope="module", params=["moto_site", "node_site"])
@costs("contract", deep_params=("node_site",))
def site(request: pytest.FixtureRequest) -> StreamSite:
    made: StreamSite = request.getfixturevalue(request.param)
    return made


@pytest.fixture
def aws(site: StreamSite) -> Iterator[FaultProxy]:
    """What the tables under test talk to."""
    with FaultProxy(site.double.endpoint) as fault_proxy:
        yield fault_proxy


@pytest.fixture
def opened(site: StreamSite, aws: FaultProxy) -> Opened:
    """Opens the tables, with settings."""
    made = site.lookups()
    return partial(made.func, aws.endpoint, *made.args[1:])


@pytest.fixture
def lookups(opened: Opened) -> DynamoLookupTables:
    return opened()


@pytest.fixture
def lines(site: StreamSite) -> LookupTable:
    """An empty table of an invoice's lines."""
    return made_in(LookupsBackend(site.lookups(), site.make), LookupTable("lines", "invoice_no", "line_key"))


def items(count: int, invoice: str = "536365", **more: Value) -> list[dict[str, Value]]:
    return [{"invoice_no": invoice, "line_key": f"{n:05}", "number": n, **more} for n in range(count)]


def unprocessed(*places: int) -> Fault:
    """A BatchWriteItem that leaves the items at these places undone; all if no place is named."""

    def answer(parameters: Parameters, passed: Pass) -> Parameters:
        ((table, given),) = parameters["RequestItems"].items()
        left = [each for place, each in enumerate(given) if not places or place in places]
        done = [each for place, each in enumerate(given) if places and place not in places]
        if done:
            passed({"RequestItems": {table: done}})
        return {"UnprocessedItems": {table: left}}

    return answer


def keys_of(request: Parameters) -> list[str]:
    ((_, given),) = request["RequestItems"].items()
    return [next(iter(each.values())).get("Item", {})["line_key"]["S"] for each in given]


def test_items_left_unprocessed_are_put_again_and_only_they(
    aws: FaultProxy, lookups: DynamoLookupTables, lines: LookupTable
) -> None:
    aws.inject("BatchWriteItem", unprocessed(3, 7), unprocessed())
    lookups.put(lines, items(10))
    first, *rest = aws.of("BatchWriteItem")
    assert len(keys_of(first)) == 10
    assert [keys_of(each) for each in rest] == [["00003", "00007"]] * 2
    assert lookups.count(lines) == 10


def test_a_table_that_takes_nothing_is_busy_after_a_while_and_says_what_to_do(
    aws: FaultProxy, opened: Opened, lines: LookupTable
) -> None:
    lookups = opened(patience_seconds=0.3)
    for always in (unprocessed(), refused(THROTTLED), refused("ThrottlingException")):
        aws.inject("BatchWriteItem", always=always)
        began = time.monotonic()
        with pytest.raises(LookupsBusy) as told:
            lookups.put(lines, items(60))
        assert time.monotonic() - began >= 0.3
        for words in (lines.name, "has for 0.3 s", "Do the same again in a moment"):
            assert words in str(told.value)
    assert lookups.count(lines) == 0


@pytest.mark.parametrize("operation", ["PutItem", "GetItem", "Query", "Scan"])
def test_every_call_is_tried_again_and_then_busy(
    aws: FaultProxy, opened: Opened, lines: LookupTable, operation: str
) -> None:
    calls: dict[str, Callable[[DynamoLookupTables], object]] = {
        "PutItem": lambda lookups: lookups.put_if_greater(lines, items(3), "number"),
        "GetItem": lambda lookups: lookups.get(lines, "536365", "00001"),
        "Query": lambda lookups: lookups.query(lines, "536365"),
        "Scan": lambda lookups: lookups.count(lines),
    }
    aws.inject(operation, refused(THROTTLED), refused("InternalServerError", status=500))
    calls[operation](opened())
    assert len(aws.of(operation)) >= 3
    for code, status, error in ((THROTTLED, 400, LookupsBusy), ("InternalServerError", 500, AwsUnavailable)):
        aws.inject(operation, always=refused(code, status=status))
        with pytest.raises(error):
            calls[operation](opened(patience_seconds=0.1))


def test_requests_keep_to_the_limits_of_dynamodb_and_hold_each_key_once(
    aws: FaultProxy, lookups: DynamoLookupTables, lines: LookupTable
) -> None:
    lookups.put(lines, [*items(60, said="first"), *items(60, said="last")])
    assert sorted(len(keys_of(each)) for each in aws.of("BatchWriteItem")) == [10, 25, 25]
    assert {item["said"] for item in lookups.all_of(lines, "536365")} == {"last"}
    aws.asked.clear()
    lookups.delete(lines, [("536365", f"{n:05}") for n in range(60)] * 2)
    assert len(aws.of("BatchWriteItem")) == 3
    assert lookups.count(lines) == 0


def test_a_put_ends_with_the_first_error_and_begins_nothing_more(
    aws: FaultProxy, lookups: DynamoLookupTables, lines: LookupTable
) -> None:
    aws.inject("BatchWriteItem", always=refused("AccessDeniedException"))
    with pytest.raises(AwsDenied, match="dynamodb batch_write_item"):
        lookups.put(lines, items(2500))
    assert len(aws.of("BatchWriteItem")) < 50


def test_an_item_that_is_too_large_is_refused_before_anything_is_put(
    aws: FaultProxy, lookups: DynamoLookupTables, lines: LookupTable
) -> None:
    large: Item = {"invoice_no": "536365", "line_key": "large", "said": "é" * 205_000}
    puts: list[Callable[[], object]] = [
        lambda: lookups.put(lines, [*items(3), large]),
        lambda: lookups.put_if_new(lines, large),
        lambda: lookups.put_if_greater(lines, [{**large, "number": 1}], "number"),
    ]
    for put in puts:
        with pytest.raises(InputInvalid, match=r"536365, large of the lookup table lines_\d+ has 410,\d+ bytes"):
            put()
    assert aws.asked == []


def test_a_new_item_whose_answer_was_lost_is_still_ones_own(
    aws: FaultProxy, lookups: DynamoLookupTables, lines: LookupTable
) -> None:
    def lost(parameters: Parameters, passed: Pass) -> Parameters:
        passed(parameters)
        return refused("InternalServerError", status=500)(parameters, passed)

    (item,) = items(1)
    aws.inject("PutItem", lost)
    assert lookups.put_if_new(lines, item)
    assert not lookups.put_if_new(lines, item)
    aws.inject("PutItem", refused("InternalServerError", status=500))
    assert not lookups.put_if_new(lines, {**item, "number": 5})
    assert lookups.get(lines, "536365", "00000") == item


def test_a_table_larger_than_an_answer_is_read_whole(
    aws: FaultProxy, lookups: DynamoLookupTables, lines: LookupTable
) -> None:
    lookups.put(lines, items(7, said="x" * 390_000))
    aws.asked.clear()
    page = lookups.query(lines, "536365", limit=7)
    assert (len(page.items), page.after) == (7, "")
    assert len(aws.of("Query")) >= 3  # of a megabyte each
    assert lookups.count(lines) == 7
    assert len(lookups.scan(lines).items) == 7
    assert len(aws.of("Scan")) >= 6


def test_reads_see_every_write_that_went_before(
    aws: FaultProxy, lookups: DynamoLookupTables, lines: LookupTable
) -> None:
    lookups.put(lines, items(1))
    lookups.get(lines, "536365", "00000")
    lookups.query(lines, "536365")
    lookups.scan(lines)
    lookups.count(lines)
    reads = [each.parameters for each in aws.asked if each.operation in ("GetItem", "Query", "Scan")]
    assert [each["ConsistentRead"] for each in reads] == [True] * 4


@pytest.mark.parametrize("key", ["", "x" * 2049])
def test_what_can_not_be_a_key_is_not_there(
    aws: FaultProxy, lookups: DynamoLookupTables, lines: LookupTable, key: str
) -> None:
    assert lookups.get(lines, key, "1") is None
    assert lookups.get(lines, "1", key) is None
    assert lookups.query(lines, key).items == []
    assert aws.asked == []


def test_a_table_that_is_not_there_says_how_to_make_it(lookups: DynamoLookupTables) -> None:
    nowhere = LookupTable("nowhere", "id")
    calls: list[Callable[[], object]] = [
        lambda: lookups.get(nowhere, "1"),
        lambda: lookups.put(nowhere, [{"id": "1"}]),
    ]
    for call in calls:
        with pytest.raises(PipelineError, match=r"no DynamoDB table test-nowhere.*instacart-pipeline deploy"):
            call()
