"""How far the consumers are behind the stream, and the refusal of more lines when that is too far.

Belongs here: looking now and then, in a thread; no request ever looks. Doesn't: the consumers (retail/consumers).
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from instacart_pipeline.lake.errors import PipelineError
from instacart_pipeline.resources.stream import Stream
from instacart_pipeline.serving.errors import Refused

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Behind:
    """How far a consumer is behind over all shards: records, if they can be counted, and the age of the oldest one in seconds."""

    records: int | None
    seconds: float


class Backlog:
    """The consumers' backlog. More than `most` records behind, no lines are taken; where records can't be counted, they always are."""

    def __init__(self, stream: Stream, consumers: Sequence[str], most: int) -> None:
        self._stream, self._consumers, self._most = stream, consumers, most
        self.behind: Mapping[str, Behind] = {}
        self.trouble = ""

    def look(self) -> None:
        """Look how far each consumer is behind."""
        try:
            self.behind = {name: self._behind(name) for name in self._consumers}
            self.trouble = ""
        except PipelineError as error:
            self.trouble = str(error)
        except Exception as error:  # noqa: BLE001  # whatever it is, who looks must go on looking
            self.trouble = f"{type(error).__name__}: {error}"
            _log.exception("The look at the stream failed, and is tried again.")

    def hold(self) -> None:
        """Raise Refused (429) if a consumer is too far behind."""
        records, slowest = max(((each.records or 0, name) for name, each in self.behind.items()), default=(0, ""))
        if records > self._most:
            raise Refused(
                429,
                "backlog",
                f"The consumer {slowest} is {records:,} records behind; above {self._most:,} (INSTACART_STREAM_BACKLOG) no more lines are "
                "taken. None of this request's was stored. Start `instacart-pipeline stream work`, or more of its workers, and send it again.",
                {"Retry-After": "30"},
            )

    def _behind(self, consumer: str) -> Behind:
        lags = self._stream.lag(consumer)
        counts = [lag.records for lag in lags if lag.records is not None]
        known = len(counts) == len(lags)
        return Behind(sum(counts) if known else None, max((lag.seconds for lag in lags), default=0.0))
