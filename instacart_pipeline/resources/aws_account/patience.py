"""How long a call that AWS holds back is tried again: pauses with full jitter, within bounds of time.

Belongs here: the pauses of callers that must answer soon, as an HTTP request or a worker does. Calls of runs, which have time, are
tried again by boto3 itself (session.py).
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from instacart_pipeline.resources.aws_account.errors import AwsError, AwsThrottled, AwsUnavailable

if TYPE_CHECKING:
    from instacart_pipeline.resources.aws_account.session import AwsSession

_FIRST_SECONDS, _MOST_SECONDS = 0.05, 2.0


class RetryPolicy:
    """The time that one piece of work has for being held back: `seconds` from now on.

    `unanswered` tells whether a try got no answer: it may have done what it was to do.
    """

    def __init__(self, seconds: float) -> None:
        self.seconds, self.unanswered = seconds, False
        self._end = time.monotonic() + seconds
        self._ceiling = _FIRST_SECONDS

    def pause(self) -> bool:
        """Wait a moment, longer each time on average; False, at once, when the time is up."""
        left = self._end - time.monotonic()
        if left <= 0:
            return False
        # Anywhere between nothing and the ceiling: many callers that were held back together don't come back together.
        time.sleep(min(left, random.uniform(0, self._ceiling)))  # noqa: S311  # no secret hangs on it
        self._ceiling = min(2 * self._ceiling, _MOST_SECONDS)
        return True

    def progressed(self) -> None:
        """Begin with short pauses again. The time does not begin again."""
        self._ceiling = _FIRST_SECONDS


def patiently(
    session: AwsSession,
    service: str,
    operation: str,
    patience: RetryPolicy,
    busy: Callable[[AwsError], Exception],
    **parameters: Any,
) -> dict[str, Any]:
    """One operation, tried again while AWS throttles or fails inside and there is patience.

    Raises what `busy` makes of the throttling at the end; every other AwsError as it is.
    """
    while True:
        try:
            return session.call(service, operation, once=True, **parameters)
        except (AwsThrottled, AwsUnavailable) as held:  # noqa: PERF203  # one try a round is what it is about
            patience.unanswered |= isinstance(held, AwsUnavailable)
            if patience.pause():
                continue
            if isinstance(held, AwsThrottled):
                raise busy(held) from held
            raise
