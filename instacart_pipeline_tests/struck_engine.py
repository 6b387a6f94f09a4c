"""The embedded engine of a load, struck in its middle: whatever a test wants to happen, happens just before one of its statements.

Belongs here: getting in between. Doesn't: what happens (a kill, an error, a pause), or what is loaded.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

from instacart_pipeline.engine import connection as engine
from instacart_pipeline.resources.local_machine import lake


class _Struck:
    """A connection that something happens to before it executes SQL with a certain beginning."""

    def __init__(self, connection: Any, point: str, strike: Callable[[], None]) -> None:
        self._connection, self._point, self._strike = connection, point, strike

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)

    def execute(self, sql: str, *given: Any) -> Any:
        if sql.startswith(self._point):
            self._strike()
        return self._connection.execute(sql, *given)


@contextmanager
def struck_before(point: str, strike: Callable[[], None]) -> Iterator[None]:
    """In the block, `strike` is called before any engine of the lake executes SQL that begins with `point`."""

    @contextmanager
    def connected(*given: Any) -> Iterator[_Struck]:
        with engine.connected(*given) as connection:
            yield _Struck(connection, point, strike)

    with patch.object(lake, "connected", connected):
        yield
