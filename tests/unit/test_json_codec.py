"""Strict JSON: what is stored is what was sent, or the sender is told why not."""

import json
import time
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock import json_codec
from penstock.errors import InvalidInput

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_characters="\x00", exclude_categories=["Cs"])),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.text(st.characters(exclude_characters="\x00", exclude_categories=["Cs"])), inner, max_size=4
        )
    ),
    max_leaves=20,
)


@given(JSON)
def test_what_goes_in_comes_out(value: object) -> None:
    assert json_codec.loads(json_codec.dumps(value)) == value


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (b'{"a": NaN}', "NaN"),
        (b"[Infinity]", "Infinity"),
        (b'{"a": 1e999}', "range"),
        (b'{"a": 0.12345678901234567890123}', "digits"),
        (b'{"a": 1e-400}', "digits"),
        (b'{"a": 1.2345e-320}', "digits"),
        (b'{"a": {"b": "x\\u0000y"}}', "body.a.b: has a NUL"),
        (b'{"x\\u0000": 1}', "NUL"),
        (b'["\\ud800"]', "surrogate"),
        (b'{"a": 1, "a": 2}', "'a' appears twice"),
        (b"{", "line 1, column 2"),
        (b'{"a":\n tru}', "line 2"),
        (b"\xff{}", "not UTF-8 at byte 0"),
        (b"", "not JSON"),
        (b"[" * 100 + b"]" * 100, "nested deeper"),
        (b"[" * 100_000, "nested deeper|not JSON"),
        (b"[" + b"9" * 5000 + b"]", "1,000 digits"),
        (b"[0." + b"1" * 5000 + b"]", "1,000 digits"),
        (b"[1e-99999999999999999999]", "1e-9+ has more digits"),
        (b"[1e99999999999999999999]", "range"),
        (b"[0e99999999999999999999]", "more digits"),
        (b"[" + b"[]," * 200_000 + b"[]]", "250,000 values"),
        (b"[" + b"{}," * 200_000 + b"{}]", "250,000 values"),
        (b"[" + b'"",' * 250_001 + b'""]', "250,000 values"),
        (b"{" + b",".join(b'"%d":1' % number for number in range(50_001)) + b"}", "50,000 keys"),
        (b'["' + b'\\"' * 500_000, "Unterminated"),
        (b'{"' + b"k" * 200 + b'":1,"' + b"k" * 200 + b'":2}', "the key 'k{80}' appears twice"),
    ],
)
def test_what_postgres_or_json_cannot_hold_is_refused_with_its_reason(text: bytes, reason: str) -> None:
    with pytest.raises(InvalidInput, match=reason) as caught:
        json_codec.loads(text)
    assert caught.value.details["errors"]


def test_what_texts_contain_does_not_count_as_values() -> None:
    text = "[{,:" * 200_000 + '"' + "\\"
    assert json_codec.loads(json_codec.dumps([text, {text: text}])) == [text, {text: text}]


def _deep_and_wide(size: int) -> bytes:
    """Long keys above many values; the escape has every one of them looked at."""
    opening = b"".join(b'{"' + b"k" * (size // 50) + b'":' for _ in range(50))
    return opening + b"[" + b'"\\u0041",' * size + b"1]" + b"}" * 50


def test_the_cost_of_a_check_grows_with_the_document_alone() -> None:
    """A place worked out for each value would cost the path times the values: 256 times for 16 times the size."""

    def cost(text: bytes) -> float:
        began = time.process_time()
        json_codec.loads(text)
        return time.process_time() - began

    small, large = _deep_and_wide(10_000), _deep_and_wide(160_000)
    assert min(cost(large) for _ in range(3)) < 64 * min(cost(small) for _ in range(3))


@pytest.mark.parametrize("digits", ["19.99", "0.1", "4.5", "1e10", "-2.50", "123456789012345678901234567890"])
def test_a_number_keeps_its_value(digits: str) -> None:
    assert Decimal(json_codec.dumps(json_codec.loads(digits))) == Decimal(digits)


def test_money_times_and_ids_have_one_form() -> None:
    noon = datetime(2026, 11, 21, 12, tzinfo=timezone(timedelta(hours=2)))
    value = [Decimal("823746.140"), noon, date(2010, 12, 1), UUID(int=1), datetime(2010, 12, 1, 8, 26, tzinfo=UTC)]
    assert json.loads(json_codec.dumps(value)) == [
        "823746.140",
        "2026-11-21T10:00:00Z",
        "2010-12-01",
        "00000000-0000-0000-0000-000000000001",
        "2010-12-01T08:26:00Z",
    ]


def test_what_has_no_json_form_is_an_error_and_not_a_guess() -> None:
    with pytest.raises(TypeError, match="bytes"):
        json_codec.dumps({"a": b"x"})
    with pytest.raises(ValueError, match="JSON compliant"):
        json_codec.dumps(float("nan"))


@given(JSON.filter(lambda value: isinstance(value, list | dict)))
def test_bytes_and_text_are_read_by_the_same_rules(value: object) -> None:
    """Bytes may skip the second look at what was read; text never does."""
    for text in (json.dumps(value), json.dumps(value, ensure_ascii=False)):
        assert json_codec.loads(text.encode()) == json_codec.loads(text) == value


@pytest.mark.parametrize("depth", [63, 64, 65, 66])
def test_the_depth_is_the_same_for_bytes_and_text(depth: int) -> None:
    text = "[" * depth + "]" * depth
    outcomes = []
    for form in (text, text.encode()):
        try:
            outcomes.append(json_codec.loads(form))
        except InvalidInput:
            outcomes.append("refused")
    assert outcomes[0] == outcomes[1]
