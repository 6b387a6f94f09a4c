"""Items as DynamoDB takes and gives them, and calls on a table that somebody waits for.

Belongs here: what lookup tables and checkpoints share. Doesn't: keys and conditions of either.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from instacart_pipeline.lake.errors import PipelineError
from instacart_pipeline.resources.aws_account.errors import AwsError, AwsNotFound
from instacart_pipeline.resources.aws_account.patience import RetryPolicy, patiently
from instacart_pipeline.resources.lookup_tables import Item, Value

if TYPE_CHECKING:
    from instacart_pipeline.resources.aws_account.session import AwsSession

MOST_ITEM_BYTES = 400 * 1024
"""The largest item that DynamoDB takes, names of attributes included."""
_DIGITS_A_BYTE = 2


class DynamoTable:
    """The table `name`. Calls are tried again for `patience_seconds`, and then raise `busy`, an error that says to come back."""

    def __init__(self, session: AwsSession, name: str, patience_seconds: float, busy: type[PipelineError]) -> None:
        self.session, self.name, self.patience_seconds, self._busy = session, name, patience_seconds, busy

    def call(self, operation: str, patience: RetryPolicy | None = None, **parameters: Any) -> dict[str, Any]:
        """One operation on the table. Raises the error of being busy, PipelineError if there is no such table, and AwsError."""
        return self.ask(operation, patience, TableName=self.name, **parameters)

    def ask(self, operation: str, patience: RetryPolicy | None = None, **parameters: Any) -> dict[str, Any]:
        """The same, for operations that name the table in their own way."""
        patience = patience or RetryPolicy(self.patience_seconds)
        try:
            return patiently(self.session, "dynamodb", operation, patience, self.busy, **parameters)
        except AwsNotFound as error:
            raise PipelineError(
                f"There is no DynamoDB table {self.name}. Make it with `instacart-pipeline deploy --apply`."
            ) from error

    def busy(self, held: AwsError | str) -> PipelineError:
        """What to raise when there is no more patience."""
        said = f"{held.code}: {held.message}" if isinstance(held, AwsError) else held
        return self._busy(
            f"DynamoDB holds calls on the table {self.name} back, and has for {self.patience_seconds:g} s ({said}). "
            "Do the same again in a moment; if it goes on, look at the table's throttled requests and its limits."
        )


def packed(item: Item) -> dict[str, dict[str, Any]]:
    """An item with its types, as the API takes it."""
    return {name: _typed(value) for name, value in item.items()}


def unpacked(item: Mapping[str, Mapping[str, Any]]) -> dict[str, Value]:
    """An item as it was put. Numbers are whole ones."""
    return {name: _plain(*next(iter(typed.items()))) for name, typed in item.items()}


def size_of(item: Item) -> int:
    """About how many bytes DynamoDB counts for an item."""
    return sum(len(name.encode()) + _size(value) for name, value in item.items())


def _typed(value: Value) -> dict[str, Any]:
    if isinstance(value, bool):
        return {"BOOL": value}
    return {"N": str(value)} if isinstance(value, int) else {"S": value}


def _plain(kind: str, value: Any) -> Value:
    if kind == "N":
        return int(Decimal(value))
    return bool(value) if kind == "BOOL" else str(value)


def _size(value: Value) -> int:
    if isinstance(value, str):
        return len(value.encode())
    return 1 if isinstance(value, bool) else len(str(value)) // _DIGITS_A_BYTE + 2
