"""Stored JSON beyond the limits is read as text, and nothing of it is lost."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock import json_codec, stored_json

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@given(JSON)
def test_within_the_limits_it_reads_as_json(value: Any) -> None:
    assert stored_json.loads(json.dumps(value)) == value
    assert stored_json.loads(json.dumps(value, ensure_ascii=False).encode()) == value


@pytest.mark.parametrize("digits", ["9" * 5000, "-" + "1" * 5000, "1" * 400 + ".5", "0." + "1" * 5000])
def test_a_number_that_python_refuses_or_rounds_to_infinity_is_its_digits(digits: str) -> None:
    assert stored_json.loads(f'{{"n": {digits}, "other": 1}}') == {"n": digits, "other": 1}


@pytest.mark.parametrize("depth", [1, 63, 64])
def test_depths_that_the_interface_takes_are_read_as_they_are(depth: int) -> None:
    text = '{"a":' * depth + "1" + "}" * depth
    json_codec.loads(text)
    assert stored_json.loads(text) == json.loads(text)


@pytest.mark.parametrize("depth", [66, 1500, 100_000])
@pytest.mark.parametrize(("open_", "close"), [('{"a\\"]}": ', "}"), ("[", "]")])
def test_what_is_nested_deeper_is_its_json(depth: int, open_: str, close: str) -> None:
    text = open_ * depth + '"]"' + close * depth
    value = stored_json.loads('{"deep": ' + text + ', "beside": [1]}')
    assert value["beside"] == [1]
    inner, levels = value["deep"], 1
    while not isinstance(inner, str):
        (inner,) = inner.values() if isinstance(inner, dict) else inner
        levels += 1
    assert levels == json_codec.MAX_DEPTH + 1
    assert inner == open_ * (depth - 64) + '"]"' + close * (depth - 64)
    json_codec.dumps(value)


def test_many_brackets_side_by_side_are_no_depth() -> None:
    value = {"items": [{"n": [n]} for n in range(500)]}
    assert stored_json.loads(json.dumps(value)) == value


def test_brackets_in_texts_are_no_depth() -> None:
    value = {"a": "[" * 500, "\\": '"' + "{" * 500, "b": [[1]]}
    assert stored_json.loads(json.dumps(value)) == value
