"""The inference hooks: what they read and write, by the contract of the SageMaker container."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from instacart_pipeline.reorder.model.scripts import inference

numbers = st.floats(allow_nan=False, allow_infinity=False, width=32)
fields = st.one_of(st.none(), numbers, st.integers(-1_000_000, 1_000_000))


def csv_of(rows: list[list[float | int | None]]) -> bytes:
    return "".join(",".join("" if field is None else repr(field) for field in row) + "\n" for row in rows).encode()


@given(st.integers(2, 6).flatmap(lambda width: st.lists(st.lists(fields, min_size=width, max_size=width), min_size=1)))
def test_csv_is_read_as_it_was_written_by_both_readers(rows: list[list[float | int | None]]) -> None:
    expected = np.array([[math.nan if field is None else field for field in row] for row in rows], np.float32)
    np.testing.assert_array_equal(inference._small_csv(csv_of(rows)), expected)
    np.testing.assert_array_equal(inference._large_csv(csv_of(rows)), expected)


def test_lines_may_end_as_on_windows_and_the_last_one_without_an_end() -> None:
    np.testing.assert_array_equal(
        inference.input_fn(b"1,2\r\n3,\r\n4,5", "text/csv; charset=utf-8"),
        np.array([[1, 2], [3, np.nan], [4, 5]], np.float32),
    )


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (b"1,2\n3,milk\n", "line 2, field 2: 'milk' is not a number"),
        (b"1,2\n3\n", "line 2 has 1 fields, the first one 2"),
    ],
)
def test_what_is_no_table_of_numbers_is_refused_with_its_place(body: bytes, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        inference.input_fn(body, "text/csv")


@pytest.mark.parametrize("kind", ["text/libsvm", "application/octet-stream", ""])
def test_other_content_types_are_refused(kind: str) -> None:
    with pytest.raises(ValueError, match="neither text/csv nor application/json"):
        inference.input_fn(b"1,2", kind)


def test_json_instances_are_read_with_null_as_missing() -> None:
    rows = inference.input_fn(json.dumps({"instances": [[1, None, 2.5]]}).encode(), "application/json")
    np.testing.assert_array_equal(rows, np.array([[1, np.nan, 2.5]], np.float32))


@pytest.mark.parametrize("body", [b"[1, 2]", b'{"instances": []}', b'{"instances": [1]}', b"{}"])
def test_json_of_another_shape_is_refused_with_the_right_one(body: bytes) -> None:
    with pytest.raises(ValueError, match=r'write JSON as \{"instances"'):
        inference.input_fn(body, "application/json")


def test_answers_are_a_number_a_line_or_the_predictions_of_the_contract() -> None:
    said = np.array([0.25, 1 / 3])
    body, kind = inference.output_fn(said, "text/csv")
    assert (body, kind) == (b"0.25\n0.333333333\n", "text/csv")
    body, kind = inference.output_fn(said, "application/json")
    assert json.loads(body) == {"predictions": [{"score": 0.25}, {"score": 1 / 3}]}
    with pytest.raises(ValueError, match="image/png is neither"):
        inference.output_fn(said, "image/png")
