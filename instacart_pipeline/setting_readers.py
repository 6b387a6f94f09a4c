"""How the text of a setting is read: for each kind of value, what may be written for it.

Belongs here: a function a kind of value, which gives the value or raises ValueError with what to write instead. Doesn't: any
setting's name or default (settings.py).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*(MB|GB)", re.IGNORECASE)


def size(text: str) -> int:
    """Bytes of a size written as 800MB or 2GB (decimal units). Raises ValueError on anything else."""
    found = _SIZE.fullmatch(text.strip())
    if not found:
        raise ValueError("write a size as 800MB or 2GB")
    return int(float(found[1]) * (1e6 if found[2].upper() == "MB" else 1e9))


def size_of(least: str) -> Callable[[str], str]:
    """A size of `least` or more, as it was written."""

    def read(text: str) -> str:
        if size(text) < size(least):
            raise ValueError(f"the least that works is {least}")
        return text

    return read


def seconds(text: str) -> float:
    """Seconds above 0, at most 60."""
    value = float(text)
    if not 0 < value <= 60:
        raise ValueError("write a number of seconds above 0, at most 60")
    return value


def keys(text: str) -> tuple[str, ...]:
    """Keys that open the API."""
    found = tuple(key.strip() for key in text.split(",") if key.strip())
    if not all(re.fullmatch(r"[!-~]{16,}", key) for key in found):
        raise ValueError("write keys of 16 printable ASCII characters or more, separated by commas")
    return found


def url(text: str) -> str:
    """An http address, without the slash at its end."""
    if not re.fullmatch(r"https?://[^\s/]+(/\S*)?", text):
        raise ValueError("write an address as https://host/path")
    return text.rstrip("/")


def arn(text: str) -> str:
    """An ARN of AWS."""
    if not re.fullmatch(r"arn:[\w-]+:[\w-]+:[\w-]*:\d*:\S+", text):
        raise ValueError("write an ARN as arn:aws:iam::123456789012:role/name")
    return text


def image(text: str) -> str:
    """The URI of a container image."""
    if not re.fullmatch(r"[\w.-]+(:\d+)?/[\w./-]+([:@][\w.:-]+)?", text):
        raise ValueError("write an image as 123456789012.dkr.ecr.eu-central-1.amazonaws.com/sagemaker-xgboost:3.2-0")
    return text


def name(text: str) -> str:
    """A name of letters, digits, dots, dashes and underscores."""
    if not re.fullmatch(r"[A-Za-z0-9_.-]{1,100}", text):
        raise ValueError("write a name of letters, digits, dots, dashes and underscores")
    return text


def instance(text: str) -> str:
    """The type of a SageMaker instance."""
    if not re.fullmatch(r"ml\.[a-z0-9-]+\.[a-z0-9]+", text):
        raise ValueError("write the type of an instance as ml.m5.2xlarge")
    return text


def s3_uri(text: str) -> str:
    """A place in S3, which may name {zone}, without the slash at its end."""
    if not re.fullmatch(r"s3://[a-z0-9{][a-z0-9.{}-]+(/[\w.{}=-]+)*/?", text) or re.sub(r"\{zone\}", "", text).count(
        "{"
    ):
        raise ValueError("write it as s3://bucket, s3://bucket/prefix or s3://name-{zone}")
    return text.rstrip("/")


def whole(least: int) -> Callable[[str], int]:
    """A whole number from `least` up."""

    def read(text: str) -> int:
        if not text.isdecimal() or int(text) < least:
            raise ValueError(f"write a whole number from {least} up")
        return int(text)

    return read


def share(text: str) -> float:
    """A number from 0 to 1."""
    value = float(text)
    if not 0 <= value <= 1:
        raise ValueError("write a share between 0 and 1")
    return value


def one_of(*choices: str) -> Callable[[str], str]:
    """One of the choices."""

    def read(text: str) -> str:
        if text not in choices:
            raise ValueError(f"choose one of {', '.join(choices)}")
        return text

    return read


def timezone(text: str) -> str:
    """The name of a time zone that this machine knows."""
    try:
        ZoneInfo(text)
    except (ZoneInfoNotFoundError, ValueError) as error:
        raise ValueError("no such time zone; write it as Europe/Berlin") from error
    return text
