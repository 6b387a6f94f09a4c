"""Tables of the lake in memory: their columns in the contract's types, and amounts as whole numbers, which add up exactly.

Belongs here: reading a version's files, and writing amounts. Doesn't: what a store keeps of them (retail/sales_store.py,
customers/mart_store.py).

An amount is a whole number of ten-thousandths in int64: what a contract's decimal(18,4) holds fits.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from instacart_pipeline.lake.contracts import MONEY

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from instacart_pipeline.lake.contracts import TableContract

PLACES = 4
"""Decimals of an amount."""


def amount(ten_thousandths: int) -> str:
    """An amount as answers write it: with four decimals."""
    whole, rest = divmod(abs(ten_thousandths), 10**PLACES)
    return f"{'-' if ten_thousandths < 0 else ''}{whole}.{rest:0{PLACES}}"


def shared_out(ten_thousandths: int, among: int) -> int:
    """An amount divided by a count that is not 0, rounded half away from zero as SQL's round does."""
    return (2 * abs(ten_thousandths) + among) // (2 * among) * (1 if ten_thousandths >= 0 else -1)


def read_table(contract: TableContract, folder: Path) -> Any:
    """The Arrow table of a version's folder: columns in the contract's order and types, whoever wrote the files."""
    import pyarrow as pa  # noqa: PLC0415  # takes a while to load
    from pyarrow import parquet  # noqa: PLC0415

    kinds = {
        "date": pa.date32(),
        "string": pa.string(),
        "int": pa.int32(),
        "bigint": pa.int64(),
        "double": pa.float64(),
        "timestamp": pa.timestamp("us"),
        MONEY: pa.decimal128(18, PLACES),
    }
    schema = pa.schema([(column.name, kinds[column.type]) for column in contract.columns])
    parts = [
        parquet.read_table(path, columns=schema.names, partitioning=None).select(schema.names).cast(schema)
        for path in sorted(folder.glob("*.parquet"))
    ]
    return pa.concat_tables(parts) if parts else schema.empty_table()


def places(column: Any, names: Sequence[str]) -> NDArray[np.int32]:
    """Where each text of an Arrow column stands in `names`; -1 for NULL."""
    import pyarrow as pa  # noqa: PLC0415  # as above
    from pyarrow import compute  # noqa: PLC0415

    found = compute.index_in(column, pa.array(list(names), pa.string()), skip_nulls=True).fill_null(-1)
    standing: NDArray[np.int32] = found.to_numpy().astype(np.int32)
    return standing


def ten_thousandths(column: Any) -> NDArray[np.int64]:
    """Exact decimals without NULL as whole numbers: the low half of each, since 18 digits fit in 64 bits."""
    parts = [
        np.frombuffer(chunk.buffers()[1], np.int64)[2 * chunk.offset :][: 2 * len(chunk)][::2]
        for chunk in column.chunks
        if len(chunk)
    ]
    return np.concatenate(parts) if parts else np.empty(0, np.int64)
