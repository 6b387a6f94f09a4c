"""What all consumers have in common: reading records, dead letters, and which failures are worth another try.

Belongs here: a consumer as a function of an event. Doesn't: what one makes of lines (raw_zone.py, lookups.py), when it is called (event_source_mapping.py).
"""

from __future__ import annotations

import hashlib
import logging
from base64 import b64decode, b64encode
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import NamedTuple

from instacart_pipeline.lake.errors import InputInvalid, PipelineError
from instacart_pipeline.resources.lookup_tables import LookupTables, Value
from instacart_pipeline.resources.stream import Record
from instacart_pipeline.retail.consumers.events import ALL_DONE, Answer, Event, failed_from, records_of
from instacart_pipeline.retail.lines import Line
from instacart_pipeline.retail.lookups import DEAD_LETTERS

logger = logging.getLogger(__name__)
_DIGITS = 60
"""Digits that a sequence is padded to in a dead letter's position, so that positions of a shard lie in its order. Kinesis's have 56."""

_MOST_KEPT = 196_608
"""Bytes of a record that are kept in a dead letter, as 256 KB of base64: an item of DynamoDB has 400 KB at most, a record of Kinesis 10 MB."""
_CUT = b"\n(cut off)"
"""What a record's kept part ends with where the rest is gone. No line ends so, so it never passes for one."""


class RecordLine(NamedTuple):
    """A record, and the line it holds."""

    record: Record
    line: Line


DeadLetter = dict[str, Value]
"""An item of lookups.DEAD_LETTERS."""


@dataclass(frozen=True)
class Consumer:
    """One of the stream's consumers. Giving it the same records twice changes nothing.

    `store` keeps lines for good before it returns. It raises InputInvalid if one of them is refused for good, and any other PipelineError
    if it may take them another time; in both cases some may be stored already. `batch_size` and `window_seconds` are how many records it is
    given at once, at most, and how long they are gathered for that.
    """

    name: str
    batch_size: int
    window_seconds: float
    tables: LookupTables
    store: Callable[[Sequence[RecordLine]], None]
    on_dead_letters: Callable[[int], None] = lambda _: None
    """Told how many dead letters were just written."""

    def handle(self, event: Event, context: object = None) -> Answer:
        """Deal with an event as Lambda gives it. Raises EventInvalid alone: what fails for now is in the answer, and in the log."""
        del context
        records = records_of(event)
        try:
            if letters := self.deal_with(records):
                self.tables.put(DEAD_LETTERS, letters)
                self.on_dead_letters(len(letters))
                logger.warning("%s: %d records became dead letters; the first: %s", self.name, len(letters), letters[0])
        except PipelineError as error:
            # Which of the records are stored isn't known; all of them may come again.
            logger.warning(
                "%s: %d records will come again: %s: %s", self.name, len(records), type(error).__name__, error
            )
            return failed_from(records[0].sequence)
        return ALL_DONE

    def deal_with(self, records: Sequence[Record]) -> list[DeadLetter]:
        """Store the lines of records. Returns dead letters, not stored yet, of those that nothing can be made of.

        Raises PipelineError if they can't be stored just now.
        """
        taken, letters = list[RecordLine](), list[DeadLetter]()
        for record in records:
            try:
                taken.append(RecordLine(record, Line.of_record(record.data)))
            except InputInvalid as error:  # noqa: PERF203  # one record's fault is no other's
                letters.append(self._dead_letter(record, error))
        try:
            self._store(taken)
        except InputInvalid:
            for each in taken:  # one by one, to find which
                try:
                    self._store([each])
                except InputInvalid as error:  # noqa: PERF203
                    letters.append(self._dead_letter(each.record, error))
        return letters

    def _store(self, taken: Sequence[RecordLine]) -> None:
        if taken:
            self.store(taken)

    def _dead_letter(self, record: Record, reason: InputInvalid) -> DeadLetter:
        # `at` is the record's own time, so that the same record makes the same letter whenever it is read.
        at = datetime.fromtimestamp(record.arrived, timezone.utc)
        data, why = record.data, str(reason)
        if len(data) > _MOST_KEPT:
            why = (
                f"{why[:1000]} (The first {_MOST_KEPT:,} of its {len(data):,} bytes are kept here, of SHA-256 {hashlib.sha256(data).hexdigest()}: no replay of "
                "this letter makes a line of it. The stream has it whole until its retention is over.)"
            )
            data = data[:_MOST_KEPT] + _CUT
        return {
            DEAD_LETTERS.partition_key: self.name,
            DEAD_LETTERS.sort_key: position_of(record.shard, record.sequence),
            "key": record.key,
            "data": b64encode(data).decode(),
            "reason": why,
            "at": at.isoformat(timespec="seconds"),
        }


def position_of(shard: str, sequence: str) -> str:
    """The position of a record as dead letters are kept by."""
    return f"{shard}#{sequence.zfill(_DIGITS)}"


def record_of(letter: DeadLetter) -> Record:
    """The record that became a dead letter; of one too large to be kept, its beginning, which is no line."""
    shard, _, sequence = str(letter[DEAD_LETTERS.sort_key]).rpartition("#")
    arrived = datetime.fromisoformat(str(letter["at"])).timestamp()
    return Record(shard, str(int(sequence)), str(letter["key"]), b64decode(str(letter["data"])), arrived)
