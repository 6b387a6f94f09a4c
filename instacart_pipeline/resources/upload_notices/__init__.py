"""Notices of uploads: being told which days of which tables something arrived for.

Belongs here: what receiving and forgetting notices promise. Doesn't: whether a
day has come whole (orchestration/arrival.py).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from dagster import ConfigurableResource


@dataclass(frozen=True)
class Notice:
    """Something of a table's day came, changed or went. `receipt` is what the message it was in is forgotten by.

    Many notices may name one day, and one message may hold several notices.
    """

    system: str
    table: str
    dt: str
    receipt: str


class UploadNotices(ConfigurableResource[Any]):
    """Notices of what happens in the raw zone. They are hints: a day is judged by what lies there, never by its notices.

    A notice comes again, later, until it is forgotten; so whoever receives one forgets it once what follows from it is
    recorded. The same notice may come twice and in any order. Its source serves one system, since it gives each notice to
    whoever asks first. On one machine there are none: the raw zone is near enough to be looked at itself.
    """

    @property
    def gives_notices(self) -> bool:
        """Whether there is a source of notices at all. Without one `receive` gives none, whatever happens."""
        return False

    def receive(self, most: int) -> Sequence[Notice]:
        """The notices of the next `most` messages at most, without waiting for any.

        Raises PipelineError if the source can't be reached.
        """
        del most
        return ()

    def forget(self, receipts: Sequence[str]) -> None:
        """Don't give these messages again. Ones that are gone are no error.

        Raises PipelineError if the source can't be reached.
        """
        del receipts
