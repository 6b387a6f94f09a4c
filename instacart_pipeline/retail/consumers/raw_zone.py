"""The consumer that writes the stream's lines as CSV files into the raw zone, as Firehose does.

Belongs here: the files' text, and their names. A file holds the lines of one day that came in one batch, and is named by the shard and its
first and last line's sequences. So the same batch written again replaces its own files, and no other batch's, whoever writes it and
however late: a batch that is read again longer or shorter, after a kill, leaves lines in two files, which later is no second line
(`Line.line_id`), and never takes a line away.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass

from instacart_pipeline.resources.lookup_tables import LookupTables
from instacart_pipeline.resources.storage import Storage
from instacart_pipeline.retail.consumers.consumer import Consumer, RecordLine
from instacart_pipeline.retail.lines import Line
from instacart_pipeline.retail.tables import STAGED_STREAM, SYSTEM, UNKNOWN

NAME = "raw_zone"
BATCH_SIZE = 10_000
_DIGITS = 20
"""Digits that a short sequence is padded to in a file's name."""


@dataclass(frozen=True)
class _Files:
    storage: Storage

    def store(self, taken: Sequence[RecordLine]) -> None:
        """Write a batch: a file a day, each durable before the next."""
        by_day: dict[str, list[RecordLine]] = {}
        for each in taken:
            by_day.setdefault(each.line.invoice_time[:10], []).append(each)
        for day, mine in sorted(by_day.items()):
            content = csv_of([each.line for each in mine]).encode()
            self.storage.add(SYSTEM, STAGED_STREAM.name, day, _name_of(mine), content)


def raw_zone(storage: Storage, tables: LookupTables, window_seconds: float) -> Consumer:
    """The consumer, over its resources."""
    return Consumer(NAME, BATCH_SIZE, window_seconds, tables, _Files(storage).store)


def csv_of(lines: Sequence[Line]) -> str:
    """Lines as the text of a file of STAGED_STREAM, its header included; an unknown customer is written empty."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(STAGED_STREAM.column_names)
    writer.writerows(line if line.customer_id != UNKNOWN else line._replace(customer_id="") for line in lines)
    return text.getvalue()


def _name_of(taken: Sequence[RecordLine]) -> str:
    first, last = taken[0].record, taken[-1].record
    return f"{first.shard}-{first.sequence.zfill(_DIGITS)}-{last.sequence.zfill(_DIGITS)}.csv"
