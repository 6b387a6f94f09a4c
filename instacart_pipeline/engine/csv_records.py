"""The records of a CSV file, each with its place and its text as it stands there.

Belongs here: opening a file, cutting it into records, and telling what is wrong with one that is none. Doesn't: judging
values (validation.py), nor reading a sound file fast (csv_files.py).

A quote that is not closed as it should be costs the one line it stands on: reading goes on with the next line, rather than
taking everything up to the next quote for one long value.
"""

from __future__ import annotations

import csv
import gzip
import io
import re
import zlib
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, cast

from instacart_pipeline.lake.errors import FileUnreadable

CHUNK = 1 << 20
"""Bytes read at a time."""

_LONGEST_LINE = 16 << 20
_SPACE_BEFORE_QUOTE = re.compile(r'(?:^|,) +"')


@dataclass(frozen=True)
class Record:
    """A record: the line it starts on (the file's first is 1), its text, and its fields, or what is wrong with it."""

    line: int
    raw: str
    fields: tuple[str, ...] = ()
    fault: str = ""


@dataclass(frozen=True)
class Plain:
    """Many lines at once, from `line` on, each of them a record without quotes and with the right number of commas."""

    line: int
    text: bytes


def is_gzip(path: Path) -> bool:
    """Whether a file is compressed, going by its name."""
    return path.name.lower().endswith(".gz")


@contextmanager
def opened(path: Path) -> Iterator[BinaryIO]:
    """The file's bytes, unpacked. Raises FileUnreadable, saying how far it got, if a gzip file is cut short or damaged."""
    with (
        _as_unreadable(path, lambda: path.open("rb")),
        path.open("rb") if not is_gzip(path) else cast(BinaryIO, gzip.open(path, "rb")) as stream,
    ):
        yield stream


@contextmanager
def opened_head(path: Path, head: bytes, *, whole: bool) -> Iterator[BinaryIO]:
    """The unpacked bytes of a file that begins with `head`. Raises as `opened` does.

    Unless `head` is the whole file, they end with the last line of it that is whole.
    """
    with _as_unreadable(path, lambda: io.BytesIO(head)):
        if whole:
            stream = io.BytesIO(head)
            yield cast(BinaryIO, gzip.GzipFile(fileobj=stream)) if is_gzip(path) else stream
            return
        text = _unpacked(head) if is_gzip(path) else head
        cut = max(text.rfind(b"\n"), text.rfind(b"\r", 0, -1)) + 1
        if not cut:
            raise FileUnreadable(f"{path}: its first line is longer than {len(text):,} bytes; this is no CSV file.")
        yield io.BytesIO(text[:cut])


@contextmanager
def _as_unreadable(path: Path, packed: Callable[[], BinaryIO]) -> Iterator[None]:
    """Turns what a damaged gzip file raises into FileUnreadable; `packed` opens its bytes once more."""
    try:
        yield
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        with packed() as again:
            line = _last_line(again)
        raise FileUnreadable(
            f"{path} is not a whole gzip file: it ends in line {line} ({error}). Upload it again."
        ) from error


def _unpacked(head: bytes) -> bytes:
    """What the first bytes of a gzip file hold, within bounds; a file may have several parts, each packed by itself."""
    text, unpack = b"", zlib.decompressobj(wbits=31)
    while head and len(text) < _LONGEST_LINE:
        text += unpack.decompress(head, _LONGEST_LINE - len(text))
        head = unpack.unused_data.lstrip(b"\0")  # parts may be padded
        if unpack.eof:
            unpack = zlib.decompressobj(wbits=31)
    return text


class Records:
    """The records of an opened file, in order; empty lines are none. Raises FileUnreadable on bytes that are not UTF-8."""

    def __init__(self, path: Path, stream: BinaryIO) -> None:
        """`path` is what errors name; `stream` is where the bytes come from."""
        self._path, self._chunks = path, self._whole_lines(stream)
        self._line, self._bytes = 1, 0
        self._lines: deque[str] = deque()
        self._consumed: list[str] = []
        self._reader = csv.reader(self._feed(), strict=True)

    def __iter__(self) -> Iterator[Record]:
        """Each record from here on."""
        while self._lines or self._load(next(self._chunks, None)):
            if record := self._next():
                yield record

    def stretches(self, width: int) -> Iterator[Plain | list[Record]]:
        """All records from here on, many at a time; `width` is how many fields a record should have."""
        while True:
            if self._lines:
                yield self._records_of_chunk()
            chunk = next(self._chunks, None)
            if chunk is None:
                return
            plain = chunk.replace(b"\r\n", b"\n")
            if _is_plain(plain, width):
                self._decode(chunk)
                yield Plain(self._line, plain)
                self._line += plain.count(b"\n")
            else:
                self._load(chunk)

    def _records_of_chunk(self) -> list[Record]:
        found = []
        while self._lines:
            if record := self._next():
                found.append(record)
        return found

    def _next(self) -> Record | None:
        """The record that starts with the next line, which there is; None if that is empty."""
        line, fields, fault = self._line, list[str](), ""
        try:
            fields = next(self._reader, [])
        except csv.Error as error:
            fault = f"badly quoted: {error}"
            self._lines.extendleft(reversed(self._consumed[1:]))
            del self._consumed[1:]
            self._reader = csv.reader(self._feed(), strict=True)
        raw = "".join(self._consumed).rstrip("\r\n")
        self._line += len(self._consumed)
        self._consumed.clear()
        if fields and _SPACE_BEFORE_QUOTE.search(raw):
            fields = next(csv.reader(io.StringIO(raw, newline=""), skipinitialspace=True))
        return Record(line, raw, tuple(fields), fault) if raw else None

    def _feed(self) -> Iterator[str]:
        while self._lines or self._load(next(self._chunks, None)):
            self._consumed.append(self._lines.popleft())
            yield self._consumed[-1]

    def _load(self, chunk: bytes | None) -> bool:
        if chunk is None:
            return False
        self._lines.extend(io.StringIO(self._decode(chunk), newline=""))
        return bool(self._lines) or self._load(next(self._chunks, None))

    def _decode(self, chunk: bytes) -> str:
        try:
            text = chunk.decode()
        except UnicodeDecodeError as error:
            line = self._line + len(self._consumed) + chunk[: error.start].count(b"\n")
            raise FileUnreadable(
                f"{self._path}, line {line}: byte {self._bytes + error.start + 1} of the file is not UTF-8 ({error.reason}). "
                f"Save the file as UTF-8 and upload it again."
            ) from error
        first = not self._bytes
        self._bytes += len(chunk)
        return text.removeprefix("\ufeff") if first else text

    def _whole_lines(self, stream: BinaryIO) -> Iterator[bytes]:
        """The stream in stretches of about CHUNK bytes, each but the last one ending with a line."""
        left = b""
        while piece := stream.read(CHUNK):
            left += piece
            if cut := max(left.rfind(b"\n"), left.rfind(b"\r", 0, -1)) + 1:
                yield left[:cut]
                left = left[cut:]
            elif len(left) > _LONGEST_LINE:
                raise FileUnreadable(
                    f"{self._path}: a line longer than {_LONGEST_LINE >> 20} MiB begins at byte {self._bytes + 1}; this is no CSV file."
                )
        if left:
            yield left


def _is_plain(text: bytes, width: int) -> bool:
    import numpy as np  # noqa: PLC0415  # loaded where it is used, so that importing definitions stays cheap

    if b'"' in text or b"\r" in text or b"\n\n" in text or text[:1] == b"\n" or text[-1:] != b"\n":
        return False
    characters = np.frombuffer(text, dtype=np.uint8)
    commas = np.flatnonzero(characters == ord(","))
    up_to_line_end = np.searchsorted(commas, np.flatnonzero(characters == ord("\n")))
    return bool((np.diff(up_to_line_end, prepend=0) == width - 1).all())


def _last_line(packed: BinaryIO) -> int:
    """The line in which what can be unpacked of a damaged gzip file ends."""
    lines, unpack = 1, zlib.decompressobj(wbits=31)
    with suppress(zlib.error):
        while piece := packed.read(CHUNK):
            lines += unpack.decompress(piece).count(b"\n")
    return lines
