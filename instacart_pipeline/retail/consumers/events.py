"""Records of the stream as Lambda gives them to a function: the event, and the answer to it.

Belongs here: the shapes, which are AWS's own, both ways. Doesn't: what is made of the records (raw_zone.py, lookups.py).
"""

from __future__ import annotations

from binascii import a2b_base64, b2a_base64
from collections.abc import Sequence
from typing import TypedDict

from instacart_pipeline.lake.errors import InputInvalid
from instacart_pipeline.resources.stream import Record


class EventInvalid(InputInvalid):
    """What a function was called with is no event of a Kinesis stream."""


class Kinesis(TypedDict):
    """A record's own part of an event."""

    kinesisSchemaVersion: str
    partitionKey: str
    sequenceNumber: str
    data: str
    approximateArrivalTimestamp: float


class EventRecord(TypedDict):
    """A record of an event."""

    kinesis: Kinesis
    eventSource: str
    eventVersion: str
    eventID: str
    eventName: str
    invokeIdentityArn: str
    awsRegion: str
    eventSourceARN: str


class Event(TypedDict):
    """What Lambda calls a function with: records of one shard, in order."""

    Records: list[EventRecord]


class Failure(TypedDict):
    """The sequence of a record that could not be dealt with just now."""

    itemIdentifier: str


class Answer(TypedDict):
    """What a function answers: the lowest of the failures is where its records are given to it again from; none: all are dealt with."""

    batchItemFailures: list[Failure]


ALL_DONE = Answer(batchItemFailures=[])


def failed_from(sequence: str) -> Answer:
    """The answer that the record of this sequence and those after it are to come again."""
    return Answer(batchItemFailures=[Failure(itemIdentifier=sequence)])


def kinesis_event(stream: str, records: Sequence[Record]) -> Event:
    """Records of one shard as the event that Lambda would make of them."""
    arn = f"arn:aws:kinesis:local:000000000000:stream/{stream}"
    return Event(
        Records=[
            {
                "kinesis": {
                    "kinesisSchemaVersion": "1.0",
                    "partitionKey": record.key,
                    "sequenceNumber": record.sequence,
                    "data": b2a_base64(record.data, newline=False).decode(),
                    "approximateArrivalTimestamp": record.arrived,
                },
                "eventSource": "aws:kinesis",
                "eventVersion": "1.0",
                "eventID": f"{record.shard}:{record.sequence}",
                "eventName": "aws:kinesis:record",
                "invokeIdentityArn": "arn:aws:iam::000000000000:role/local",
                "awsRegion": "local",
                "eventSourceARN": arn,
            }
            for record in records
        ]
    )


def records_of(event: Event) -> list[Record]:
    """The records of an event. Raises EventInvalid."""
    try:
        return [_record_of(each["eventID"], each["kinesis"]) for each in event["Records"]]
    except (KeyError, TypeError, ValueError) as error:
        raise EventInvalid(
            f"The function takes events of a Kinesis stream; this is none: {str(event)[:200]} ({type(error).__name__}: {error}). "
            f"Look at the function's event source mapping."
        ) from error


def _record_of(event_id: str, held: Kinesis) -> Record:
    return Record(
        event_id.rpartition(":")[0],
        held["sequenceNumber"],
        held["partitionKey"],
        a2b_base64(held["data"]),
        held["approximateArrivalTimestamp"],
    )
