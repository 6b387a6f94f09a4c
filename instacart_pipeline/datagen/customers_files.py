"""Writes the generated shop's tables as CSV, millions of rows in pieces, without a Python loop over rows.

Belongs here: columns as text, and their files. Doesn't: what is in them.

A piece of a file is one Arrow array of whole lines, whose buffer is written as it is.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from instacart_pipeline.datagen.customers_habits import Ints

Column: TypeAlias = "pa.Array | NDArray[np.int64]"
"""Text as it stands in the file, quoted where it must be, or whole numbers. NULL is written as nothing."""
Piece: TypeAlias = Callable[[], Sequence[Column]]
"""Makes the columns of some rows."""

NEVER = np.iinfo(np.int64).min
"""A time that did not come, among times in microseconds since 1970, UTC."""
SECOND = 1_000_000
MINUTE = 60 * SECOND
HOUR = 60 * MINUTE
DAY = 24 * HOUR
_AHEAD = 2
_CLOCK = np.array([f" {s // 3600:02}:{s // 60 % 60:02}:{s % 60:02} UTC" for s in range(86_400)], dtype="S13")


def random_of(seed: int, *stream: int) -> np.random.Generator:
    """The random numbers of a part of the work, the same whatever else is drawn."""
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence([seed, *stream])))


def write_table(
    path: Path, header: Sequence[str], pieces: Iterator[Piece], told: Callable[[int], None] | None = None
) -> int:
    """Writes a table whose pieces are made and formatted on two threads, in their order, few at a time to bound memory.

    Returns how many rows it has. `told` hears after each piece how many are written.
    """
    rows = written = 0
    waiting: list[Future[pa.Array]] = []
    with path.open("wb") as file, ThreadPoolExecutor(_AHEAD) as pool:
        file.write(f"{','.join(header)}\n".encode())

        def finish_one() -> None:
            nonlocal rows, written
            lines = waiting.pop(0).result()
            file.write(_bytes_of(lines))
            rows, written = rows + len(lines), written + 1
            if told is not None:
                told(written)

        try:
            for piece in pieces:
                waiting.append(pool.submit(_lines, piece))
                if len(waiting) > _AHEAD:
                    finish_one()
            while waiting:
                finish_one()
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
        file.flush()
        os.fsync(file.fileno())
    return rows


def _lines(piece: Piece) -> pa.Array:
    *others, last = map(text, piece())
    return joined(*others, joined(last, "\n", between=""), between=",")


def _bytes_of(lines: pa.Array) -> memoryview:
    if not len(lines):
        return memoryview(b"")
    _, ends, data = lines.buffers()
    return memoryview(data)[: np.frombuffer(ends, dtype=np.int32)[len(lines)]]


def text(column: pa.Array | NDArray[Any]) -> pa.Array:
    """The column as text."""
    array = column if isinstance(column, pa.Array) else pa.array(column)
    return array if pa.types.is_string(array.type) else array.cast(pa.string())


def joined(*columns: pa.Array | str, between: str) -> pa.Array:
    """The texts of each row, one after the other; NULL counts as empty."""
    return pc.binary_join_element_wise(*columns, between, null_handling="replace", null_replacement="")


def quoted(values: Sequence[str | None]) -> pa.Array:
    """The values as text for a CSV file: in quotation marks where they hold a comma, a quotation mark or a line's end."""
    return pa.array([value if value is None else _field(value) for value in values], type=pa.string())


def _field(value: str) -> str:
    return '"' + value.replace('"', '""') + '"' if any(mark in value for mark in ',"\r\n') else value


def fixed_width(chars: NDArray[np.uint8]) -> pa.Array:
    """Texts of one width, a row of ASCII characters each."""
    rows, width = chars.shape
    ends = np.arange(rows + 1, dtype=np.int32) * np.int32(width)
    return pa.StringArray.from_buffers(rows, pa.py_buffer(ends), pa.py_buffer(np.ascontiguousarray(chars)))


def hex_digits(rng: np.random.Generator, rows: int, digits: int, alphabet: bytes) -> NDArray[np.uint8]:
    """Random hexadecimal characters, `digits` a row."""
    halves = rng.integers(0, 256, (rows, digits // 2), dtype=np.uint8)
    both = np.stack((halves >> np.uint8(4), halves & np.uint8(15)), axis=2).reshape(rows, digits)
    characters: NDArray[np.uint8] = np.frombuffer(alphabet, dtype=np.uint8)[both]
    return characters


def times(moments: Ints) -> pa.Array:
    """Moments as thelook writes them, `2024-07-23 11:09:00 UTC`, with a fraction of the second where there is one; NEVER is NULL."""
    came = moments != NEVER
    known = np.where(came, moments, 0)
    day = known // DAY
    first = int(day.min()) if len(day) else 0
    dates = np.datetime_as_string(np.arange(first, int(day.max(initial=first)) + 1).astype("datetime64[D]"))
    chars = np.empty((len(known), 23), dtype=np.uint8)
    chars[:, :10] = _characters(dates.astype("S10"))[day - first]
    chars[:, 10:] = _characters(_CLOCK)[known % DAY // SECOND]
    written = fixed_width(chars)
    fraction = known % SECOND
    if broken := np.flatnonzero(fraction).tolist():
        parts = [f".{int(fraction[row]):06}".rstrip("0") for row in broken]
        exact = [f"{written[row].as_py()[:19]}{part} UTC" for row, part in zip(broken, parts, strict=True)]
        written = pc.replace_with_mask(written, pa.array(fraction > 0), pa.array(exact))
    return written if came.all() else pc.if_else(pa.array(came), written, pa.scalar(None, pa.string()))


def _characters(texts: NDArray[np.bytes_]) -> NDArray[np.uint8]:
    return np.ascontiguousarray(texts).view(np.uint8).reshape(len(texts), -1)
