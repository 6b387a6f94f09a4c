"""Reading the parameters of recipe steps: each is a text, and lists and maps are JSON inside it.

Belongs here: readers that turn the text of any parameter into a value, or raise Refused with words that follow its name.
Doesn't: which operation has which parameters (recipe_steps.py).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from instacart_pipeline.lake.recipe_types import DataType, Refused, number


def some_text(value: str) -> str:
    """A text that is not empty."""
    if not value:
        raise Refused("is empty")
    return value


def flag(value: str) -> bool:
    """true or false."""
    if value.lower() not in ("true", "false"):
        raise Refused(f"is {value!r}, not 'true' or 'false'")
    return value.lower() == "true"


def number_text(value: str) -> str:
    """The text of a number."""
    number(value)
    return value


def one_of(known: Mapping[str, Any] | tuple[str, ...]) -> Callable[[str], str]:
    """A reader of one of the `known` words."""

    def read(value: str) -> str:
        if value not in known:
            raise Refused(f"is {value!r}, which is not one of {', '.join(known)}")
        return value

    return read


def data_type(known: Mapping[str, DataType]) -> Callable[[str], DataType]:
    """A reader of the name of one of the `known` types."""
    read = one_of(known)
    return lambda value: known[read(value)]


def json_value(value: str) -> Any:
    """Whatever JSON is in the text."""
    try:
        return json.loads(value)
    except ValueError as error:
        raise Refused(f"is not JSON: {error} in {value!r}") from None


def column_names(value: str) -> tuple[str, ...]:
    """A JSON list of different column names, which may be empty."""
    names = json_value(value)
    if not isinstance(names, list) or not all(isinstance(name, str) and name for name in names):
        raise Refused(f'must be a JSON list of column names, such as ["user_id"], and is {value!r}')
    if len(set(names)) != len(names):
        raise Refused(f"names a column twice: {value}")
    return tuple(names)


def some_columns(value: str) -> tuple[str, ...]:
    """A JSON list of at least one column name."""
    names = column_names(value)
    if not names:
        raise Refused("names no column")
    return names


def category_map(value: str) -> tuple[tuple[str, str], ...]:
    """A JSON map of texts to texts, as pairs."""
    pairs = json_value(value)
    if not isinstance(pairs, dict) or not pairs or not all(isinstance(text, str) for text in pairs.values()):
        raise Refused(f'must be a JSON map of texts, such as {{"1":"0"}}, and is {value!r}')
    return tuple(pairs.items())


def records(value: str, *required: str) -> list[dict[str, str]]:
    """A JSON list of maps, each with a text under every one of the `required` names."""
    found = json_value(value)
    if not isinstance(found, list) or not found or not all(isinstance(record, dict) for record in found):
        raise Refused(f"must be a JSON list of maps with {', '.join(required)}, and is {value!r}")
    for record in found:
        for name in required:
            if not isinstance(record.get(name), str) or not record[name]:
                raise Refused(f"lacks {name} in {json.dumps(record)}")
    return found
