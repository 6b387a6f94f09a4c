"""Sending files of transactions to the API, piece by piece, until every piece has its answer: what `stream send` does.

Belongs here: reading files, pieces, pace and patience. Doesn't: the API itself (serving/retail/).

Nothing is remembered of what was sent, here or there: a line is told by what it says, so sending a file again stores nothing twice, and
brings back whatever was lost of it.
"""

from __future__ import annotations

import csv
import io
import random
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from instacart_pipeline.lake.errors import FileUnreadable, InputInvalid, PipelineError
from instacart_pipeline.retail.lines import Line, LineInvalid, counted, folded, read_line

if TYPE_CHECKING:
    import httpx

_REPEAT = "Repeat"
_LATER = (429, 502, 503, 504)
_LONGEST_PAUSE = 30.0
_SAID_AGAIN = 30.0
"""Seconds after which it is said again that the server can't be reached."""
_TIMEOUT = 60.0
MOST_TOLD = 1000
"""Refused lines whose reason is kept."""


class NotTaken(PipelineError):
    """The API refuses what is sent as a whole, or can't be reached for too long."""


@dataclass(frozen=True)
class Refusal:
    """A line that the API did not accept: where it stands (the first line of a file is its header), and why."""

    file: str
    line: int
    reason: str


@dataclass
class Report:
    """What was sent, and what became of it. `refusals` are the first MOST_TOLD of the `refused`."""

    files: int = 0
    accepted: int = 0
    refused: int = 0
    retries: int = 0
    seconds: float = 0.0
    refusals: list[Refusal] = field(default_factory=list)

    @property
    def lines_per_second(self) -> float:
        """Lines that were answered, a second."""
        return (self.accepted + self.refused) / self.seconds if self.seconds else 0.0


@dataclass(frozen=True)
class Piece:
    """Rows of a file as the body of a request, where each stands in the file, and the bytes of the file that are read by then."""

    body: bytes
    places: Sequence[int]
    read: int


@dataclass(frozen=True)
class Sender:
    """Posts files to the API at `url`. `say` is told what a person should know meanwhile."""

    url: str
    key: str = ""
    at_once: int = 2000
    rate: float = 0.0
    """Lines a second, at most; 0: as fast as they are taken."""
    patience_seconds: float = 600.0
    """How long one piece is tried."""
    say: Callable[[str], None] = lambda _: None

    def send(self, files: Sequence[Path], progress: Callable[[Path, int], None] = lambda *_: None) -> Report:
        """Send files, one after the other; `progress` is told the bytes read of each. Raises NotTaken, FileUnreadable."""
        import httpx  # noqa: PLC0415  # loaded where it is used

        report, begun = Report(), time.monotonic()
        headers = {"Content-Type": "text/csv", **({"X-API-Key": self.key} if self.key else {})}
        with httpx.Client(base_url=self.url, headers=headers, timeout=_TIMEOUT) as client:
            for file in files:
                for piece in pieces(file, self._most()):
                    self._count(report, file, piece, self._posted(client, piece, report))
                    progress(file, piece.read)
                    self._keep_pace(report, begun)
                report.files += 1
        report.seconds = time.monotonic() - begun
        return report

    def _most(self) -> int:
        """Lines a piece: no more than a second's worth, so that the pace is even."""
        return max(1, min(self.at_once, int(self.rate))) if self.rate else self.at_once

    def _keep_pace(self, report: Report, begun: float) -> None:
        if self.rate:
            time.sleep(max(0.0, begun + (report.accepted + report.refused) / self.rate - time.monotonic()))

    def _posted(self, client: httpx.Client, piece: Piece, report: Report) -> dict[str, Any]:
        """The API's answer to a piece, however long it takes to get one within the patience."""
        import httpx  # noqa: PLC0415

        begun, said, tries = time.monotonic(), -_SAID_AGAIN, 0
        while True:
            try:
                answer = client.post("/v1/transactions", content=piece.body)
                told = _told(answer)
                if told is not None:
                    return told
                trouble, wait = f"The API answers {answer.status_code}: {_message(answer)}", _retry_after(answer)
            except httpx.TransportError as error:
                trouble, wait = f"{self.url} does not answer ({str(error) or type(error).__name__})", 0.0
            tries, waited = tries + 1, time.monotonic() - begun
            if waited > self.patience_seconds:
                raise NotTaken(
                    f"{trouble}; it was tried for {waited:.0f} s. {report.accepted:,} lines are accepted. Sending the same files again is harmless."
                )
            if time.monotonic() - said > _SAID_AGAIN:
                self.say(f"{trouble}. It is tried again.")
                said = time.monotonic()
            report.retries += 1
            pause = wait or min(_LONGEST_PAUSE, 0.2 * 2 ** min(tries, 10)) * random.uniform(0.5, 1.0)  # noqa: S311  # no secret
            time.sleep(min(pause, _LONGEST_PAUSE))

    @staticmethod
    def _count(report: Report, file: Path, piece: Piece, told: dict[str, Any]) -> None:
        report.accepted += told["accepted"]
        report.refused += told.get("rejected_lines", len(told["rejected"]))
        for refused in told["rejected"][: MOST_TOLD - len(report.refusals)]:
            report.refusals.append(Refusal(file.name, piece.places[refused["line"] - 1], refused["reason"]))


def files_of(path: Path) -> list[Path]:
    """The CSV files to send: one, or those of a folder in the order of their names. Raises InputInvalid if there are none."""
    found = sorted(path.glob("*.csv")) if path.is_dir() else [path]
    if not found or not found[0].is_file():
        raise InputInvalid(f"{path} is neither a CSV file nor a folder that holds *.csv. Give one of transactions.")
    return found


def pieces(file: Path, most: int) -> Iterator[Piece]:
    """A file in pieces of at most `most` lines, each with the file's header and `Repeat`, counted over the whole file.

    Lines that can't be read go as they are: the API says why. Raises FileUnreadable.
    """
    with file.open("rb") as stream:
        try:
            rows = csv.reader(io.TextIOWrapper(stream, "utf-8-sig", newline=""), strict=True)
            header = next(rows, None)
            if not header:
                raise FileUnreadable(
                    f"{file} is empty. Its first line must name the columns, as InvoiceNo,StockCode,..."
                )
            names = [folded(name) for name in header]
            numbered = folded(_REPEAT) in names
            number = (lambda _: []) if numbered else _numbering(names)
            writing = _Writing(header if numbered else [*header, _REPEAT])
            for row in rows:
                if row:  # an empty row is none
                    writing.add([*row, *number(row)], rows.line_num)
                if len(writing.places) >= most:
                    yield writing.taken(stream.tell())
            if writing.places:
                yield writing.taken(stream.tell())
        except (csv.Error, UnicodeDecodeError) as error:
            raise FileUnreadable(
                f"{file} can't be read as CSV in UTF-8: {error}. What was sent of it before is stored; sending it again once mended is harmless."
            ) from error


def _numbering(names: Sequence[str]) -> Callable[[Sequence[str]], list[str]]:
    """What says which of the lines that are alike a row is, as the API would count them if it got all of them together."""
    waiting: deque[Line] = deque()
    numbers = counted(iter(waiting.popleft, None))

    def number(row: Sequence[str]) -> list[str]:
        try:
            waiting.append(read_line(dict(zip(names, row, strict=False))))
        except LineInvalid:
            return ["1"]
        return [str(next(numbers).repeat)]

    return number


class _Writing:
    """Rows on their way into a piece."""

    def __init__(self, header: Sequence[str]) -> None:
        self._header = header
        self._begin()

    def _begin(self) -> None:
        self.places: list[int] = []
        self._text = io.StringIO()
        self._writer = csv.writer(self._text, lineterminator="\n")
        self._writer.writerow(self._header)

    def add(self, row: Sequence[str], place: int) -> None:
        """Add a row that stands at a line of its file."""
        self._writer.writerow(row)
        self.places.append(place)

    def taken(self, read: int) -> Piece:
        """The piece; the next one begins."""
        piece = Piece(self._text.getvalue().encode(), self.places, read)
        self._begin()
        return piece


def _told(answer: httpx.Response) -> dict[str, Any] | None:
    """What the API says of each line; None if it is to be asked again. Raises NotTaken if it refuses the whole."""
    try:
        told = answer.json()
    except ValueError:
        told = None
    if answer.status_code < 500 and isinstance(told, dict) and "accepted" in told:
        return told
    if answer.status_code in _LATER:
        return None
    raise NotTaken(f"The API at {answer.url} refuses what is sent ({answer.status_code}): {_message(answer)}")


def _message(answer: httpx.Response) -> str:
    try:
        return str(answer.json()["error"]["message"])
    except (ValueError, KeyError, TypeError):
        return answer.text[:300]


def _retry_after(answer: httpx.Response) -> float:
    given = answer.headers.get("Retry-After", "")
    return float(given) if given.isdecimal() else 0.0
