"""What a crawler makes of CSV objects: names and types from samples, and the table facts it writes down."""

from __future__ import annotations

import csv
import gzip
import io
import re
import zlib
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from instacart_pipeline_tests.aws_double.objects import Objects, S3Object
from instacart_pipeline_tests.aws_double.wire import Parameters

_SAMPLED_BYTES, _SAMPLED_ROWS = 2 << 20, 1000
_WHOLE = re.compile(r"[+-]?\d{1,18}")
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
_ORDER = ("bigint", "double", "string")
_SERDE = "org.apache.hadoop.hive.serde2"


@dataclass(frozen=True)
class Found:
    """What was found in some objects: columns with types (None where every value was empty), and counts."""

    columns: dict[str, str | None]
    delimiter: str
    quote: str | None
    serde: str
    header: bool
    compression: str
    objects: int
    records: int
    size: int

    @classmethod
    def merged(cls, each: Sequence[Found]) -> Found:
        """One finding of many: the columns of all, each as wide as the widest; counts added up."""
        columns: dict[str, str | None] = {}
        for found in each:
            for name, kind in found.columns.items():
                columns[name] = _wider(columns.get(name), kind)
        first = each[0]
        objects, records, size = (sum(getattr(one, name) for one in each) for name in ("objects", "records", "size"))
        return cls(
            columns, first.delimiter, first.quote, first.serde, first.header, first.compression, objects, records, size
        )

    def storage(self, location: str) -> dict[str, Any]:
        """The storage descriptor the crawler writes."""
        if self.serde == "OpenCSVSerde":
            parameters = {"separatorChar": self.delimiter, "quoteChar": self.quote or '"'}
        else:
            parameters = {"field.delim": self.delimiter}
        return {
            "Columns": [{"Name": name, "Type": kind or "string"} for name, kind in self.columns.items()],
            "Location": location,
            "InputFormat": "org.apache.hadoop.mapred.TextInputFormat",
            "OutputFormat": "org.apache.hadoop.hive.ql.io.HiveIgnoreKeyTextOutputFormat",
            "Compressed": self.compression != "none",
            "NumberOfBuckets": -1,
            "SerdeInfo": {
                "SerializationLibrary": f"{_SERDE}.{self.serde}"
                if self.serde == "OpenCSVSerde"
                else f"{_SERDE}.lazy.{self.serde}",
                "Parameters": parameters,
            },
            "BucketColumns": [],
            "SortColumns": [],
            "Parameters": self.parameters(),
            "StoredAsSubDirectories": False,
        }

    def parameters(self) -> dict[str, str]:
        """The parameters the crawler writes on tables and partitions."""
        facts = {
            "CrawlerSchemaDeserializerVersion": "1.0",
            "CrawlerSchemaSerializerVersion": "1.0",
            "areColumnsQuoted": "false",
            "averageRecordSize": str(self.size // max(self.records, 1)),
            "classification": "csv",
            "columnsOrdered": "true",
            "compressionType": self.compression,
            "delimiter": self.delimiter,
            "objectCount": str(self.objects),
            "recordCount": str(self.records),
            "sizeKey": str(self.size),
            "typeOfData": "file",
        }
        return {**facts, "skip.header.line.count": "1"} if self.header else facts


def classify(
    items: Sequence[tuple[S3Object, Objects]], classifiers: Sequence[Parameters], log: Callable[[str], None]
) -> Found | None:
    """What the objects of one folder are; None if they are no CSV. An object that can't be read is logged and left out."""
    found = []
    for item, objects in items:
        try:
            text = _head(objects.fetch(item).read_bytes(), item.key)
        except (EOFError, gzip.BadGzipFile, zlib.error) as error:
            log(f"ERROR : Error reading {item.uri}: {error}")
            continue
        one = _custom(text, item, classifiers[0]) if classifiers else _built_in(text, item)
        if one is None:
            log(f"INFO : Classification UNKNOWN for {item.uri}")
        else:
            found.append(one)
    return Found.merged(found) if found else None


def _custom(text: str, item: S3Object, classifier: Parameters) -> Found | None:
    delimiter, quote = classifier.get("Delimiter", ","), classifier.get("QuoteSymbol")
    rows = _rows(text, delimiter, quote)
    if not rows:
        return None
    given = classifier.get("Header")
    contains = classifier.get("ContainsHeader", "UNKNOWN")
    header = contains == "PRESENT" or (contains == "UNKNOWN" and _looks_like_header(rows))
    names = given or (rows[0] if header else [f"col{place}" for place in range(len(rows[0]))])
    serde = classifier.get("Serde") or ("OpenCSVSerDe" if quote else "LazySimpleSerDe")
    library = "OpenCSVSerde" if serde == "OpenCSVSerDe" else "LazySimpleSerDe"
    return _found(names, rows[1:] if header else rows, delimiter, quote, library, header, item)


def _built_in(text: str, item: S3Object) -> Found | None:
    """The built-in classifier: at least two columns and two rows, and no regard for quotes in the table it makes."""
    rows = _rows(text, ",", '"')
    if len(rows) < 2 or len(rows[0]) < 2:
        return None
    header = _looks_like_header(rows)
    names = rows[0] if header else [f"col{place}" for place in range(len(rows[0]))]
    return _found(names, rows[1:] if header else rows, ",", None, "LazySimpleSerDe", header, item)


def _found(
    names: Sequence[str],
    rows: Sequence[Sequence[str]],
    delimiter: str,
    quote: str | None,
    serde: str,
    header: bool,
    item: S3Object,
) -> Found:
    columns: dict[str, str | None] = {}
    for place, name in enumerate(names):
        kinds = [_kind(row[place].strip()) for row in rows if place < len(row)]
        kind: str | None = None
        for each in kinds:
            kind = _wider(kind, each)
        columns[name.strip().lower() or f"col{place}"] = kind
    compression = "gzip" if item.key.endswith(".gz") else "none"
    return Found(columns, delimiter, quote, serde, header, compression, 1, len(rows), item.size)


def _looks_like_header(rows: Sequence[Sequence[str]]) -> bool:
    """Names only in the first row, and something else than text below."""
    if len(rows) < 2 or any(_kind(name.strip()) != "string" for name in rows[0]):
        return False
    return any(_kind(value.strip()) in ("bigint", "double") for row in rows[1:] for value in row)


def _kind(value: str) -> str | None:
    if not value:
        return None
    return "bigint" if _WHOLE.fullmatch(value) else "double" if _NUMBER.fullmatch(value) else "string"


def _wider(one: str | None, other: str | None) -> str | None:
    known = [kind for kind in (one, other) if kind is not None]
    return max(known, key=_ORDER.index) if known else None


def _rows(text: str, delimiter: str, quote: str | None) -> list[list[str]]:
    options: dict[str, Any] = {"quotechar": quote} if quote else {"quoting": csv.QUOTE_NONE}
    rows: list[list[str]] = []
    with suppress(csv.Error):  # no CSV from here on
        for row in csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, **options):
            if row:
                rows.append(row)
            if len(rows) > _SAMPLED_ROWS:
                break
    return rows


def _head(body: bytes, key: str) -> str:
    if key.endswith(".gz"):
        body = gzip.decompress(body)
    cut = body[:_SAMPLED_BYTES]
    if len(body) > len(cut):
        cut = cut[: cut.rfind(b"\n") + 1]
    return cut.decode("utf-8-sig", errors="replace")
