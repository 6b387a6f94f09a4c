"""Rows as the body of a request: what batch transform and the HTTP side send to a model.

Belongs here: the CSV of the serving contract, written. Reading it is the model's own matter.
"""

from __future__ import annotations

from typing import Any


def as_csv(batch: Any) -> bytes:
    """Rows of an Arrow batch as the model gets them: no header, NULL as an empty field, numbers so that they read back the same."""
    import pyarrow as pa  # noqa: PLC0415  # takes a while to load
    from pyarrow import csv  # noqa: PLC0415

    columns = [column.cast(pa.int8()) if pa.types.is_boolean(column.type) else column for column in batch.columns]
    written = pa.BufferOutputStream()
    csv.write_csv(pa.record_batch(columns, names=batch.schema.names), written, csv.WriteOptions(include_header=False))
    return bytes(written.getvalue())
