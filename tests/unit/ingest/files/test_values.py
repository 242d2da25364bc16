"""Values as files write them: money, and times in many formats. What can be read in two ways is refused."""

import re
from datetime import datetime

import pytest

from penstock.ingest.files.parse.types import Day, InvalidValue, Number, Timestamp

UNSAID, POINT, COMMA = Number(signed=True), Number(signed=True, point=True), Number(signed=True, comma=True)


@pytest.mark.parametrize(
    ("text", "kind", "value"),
    [
        ("$74.69", UNSAID, "74.69"), ("£3", UNSAID, "3"), ("3 €", UNSAID, "3"), ("€\u00a03.50", UNSAID, "3.50"),
        ("1,250.00", UNSAID, "1250.00"), ("1,250,000", UNSAID, "1250000"), ("1'250", UNSAID, "1250"),
        ("1\u202f250.5", UNSAID, "1250.5"), ("(3.00)", UNSAID, "-3.00"), ("($3.00)", UNSAID, "-3.00"),
        ("-$3", UNSAID, "-3"), ("$-3", UNSAID, "-3"), ("+3", UNSAID, "3"), ("1,250", POINT, "1250"),
        ("1.250,00", COMMA, "1250.00"), ("1.250", COMMA, "1250"), ("12,5 €", COMMA, "12.5"),
        ("1'250,5", COMMA, "1250.5"),
    ],
)  # fmt: skip
def test_money_as_it_is_written(text: str, kind: Number, value: str) -> None:
    assert kind.read(text) == value


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("12 250", UNSAID), ("1.250,00", UNSAID), ("1,25", POINT), ("12,50", UNSAID), ("1,2500", POINT),
        ("(-3)", UNSAID), ("(3", UNSAID), ("$", UNSAID), ("$$3", UNSAID), ("$3 €", UNSAID), ("()", UNSAID),
        ("1.25", COMMA), ("1,250.00", COMMA), ("1,250,000", COMMA), ("1,250'000", POINT),
        ("٣", UNSAID), ("--3", UNSAID), ("3-", UNSAID),
    ],
)  # fmt: skip
def test_what_is_not_one_number_is_refused(text: str, kind: Number) -> None:
    with pytest.raises(InvalidValue, match="not a number"):
        kind.read(text)


def test_one_group_of_three_is_refused_until_the_decimal_sign_is_said() -> None:
    with pytest.raises(InvalidValue, match="may be thousands or a decimal comma: say the decimal sign"):
        UNSAID.read("1,250")


@pytest.mark.parametrize(
    ("format_", "text", "moment"),
    [
        ("epoch", "1700000000", "2023-11-14 22:13:20+00:00"),
        ("epoch", "1700000000.25", "2023-11-14 22:13:20.250000+00:00"),
        ("epoch_ms", "1700000000123", "2023-11-14 22:13:20.123000+00:00"),
        ("excel", "40513.3513888889", "2010-12-01 08:26:00"),
        ("excel", "40513", "2010-12-01 00:00:00"),
        ("%d %B %Y %H:%M", "1 December 2010 08:26", "2010-12-01 08:26:00"),
        ("%b %d, %Y", "Dec 1, 2010", "2010-12-01 00:00:00"),
        ("%Y-%m-%d %H:%M:%S %z", "2010-12-01 08:26:00 +0530", "2010-12-01 08:26:00+05:30"),
        ("iso", "2010-12-01T08:26:00Z", "2010-12-01 08:26:00Z"),
    ],
)
def test_times_in_many_formats(format_: str, text: str, moment: str) -> None:
    assert Timestamp(format_).read(text) == moment


@pytest.mark.parametrize(
    ("format_", "text"),
    [("epoch", "2010-12-01"), ("epoch", "9" * 15), ("excel", "60"), ("excel", "1e5"), ("iso", "1.12.2010")],
)
def test_what_the_format_does_not_say_is_refused(format_: str, text: str) -> None:
    with pytest.raises(InvalidValue, match=f"not a time written as {format_}"):
        Timestamp(format_).read(text)


def test_formats_are_tried_in_their_order() -> None:
    days_first = Timestamp("%d/%m/%Y", others=("%m/%d/%Y", "iso", "excel"))
    assert [days_first.read(text)[:10] for text in ("1/2/2010", "1/25/2010", "2010-03-04", "40513")] == [
        "2010-02-01",
        "2010-01-25",
        "2010-03-04",
        "2010-12-01",
    ]
    with pytest.raises(InvalidValue, match="not a time written as %d/%m/%Y or %m/%d/%Y or iso or excel"):
        days_first.read("25/25/2010")


@pytest.mark.parametrize(
    ("format_", "text", "day"),
    [
        (None, "2026-02-28", "2026-02-28"),
        (None, " 2026-02-28 00:00:00 ", "2026-02-28"),
        (None, "2026-02-28T00:00:00.000+13:00", "2026-02-28"),
        (None, "2026-02-28T00:00:00Z", "2026-02-28"),
        ("%d.%m.%Y", "01.02.2026", "2026-02-01"),
        ("excel", "40513", "2010-12-01"),
        ("epoch", "1700006400", "2023-11-15"),
    ],
)
def test_a_day_has_no_time_of_day_but_midnight(format_: str | None, text: str, day: str) -> None:
    assert Day(format_).read(text) == day
    assert Day(format_).sql_type == "date"


@pytest.mark.parametrize(
    ("format_", "text"),
    [(None, "2026-02-28 00:00:01"), (None, "2026-02-29"), (None, "2026-02"), (None, "now"), ("excel", "40513.5")],
)
def test_what_is_no_day_is_refused(format_: str | None, text: str) -> None:
    with pytest.raises(InvalidValue):
        Day(format_).read(text)


@pytest.mark.parametrize("day", [Day(), Day("%d/%m/%Y", "DMY"), Day("%d/%m/%Y %H:%M", "DMY"), Day("%d %B %Y", "DMY")])
def test_the_fast_path_takes_only_days_that_the_slow_path_reads_alike(day: Day) -> None:
    texts = ["2026-02-28", "2026-02-29", "28/02/2026", "31/04/2026", "28/02/2026 00:00", "2026-02-28 00:00", "1/2/2026"]
    fast = [text for text in texts if re.fullmatch(day.core, text.encode())]
    assert fast == {None: ["2026-02-28"], "%d/%m/%Y": ["28/02/2026", "1/2/2026"]}.get(day.format, [])
    for text in fast:
        assert day.read(text) == (datetime.strptime(text, day.format or "%Y-%m-%d").date().isoformat())  # noqa: DTZ007


def test_only_one_format_in_digits_is_left_to_copy() -> None:
    assert Timestamp("%d/%m/%Y").own_date_style == "DMY"
    assert Timestamp("%d/%m/%Y", others=("iso",)).own_date_style is None
