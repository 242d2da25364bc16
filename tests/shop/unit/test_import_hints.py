"""What is left out or fails as a whole is named, with the option that helps."""

import re
from dataclasses import replace
from io import BytesIO
from typing import Any

import pytest

from penstock.ingest.files.hints import Fault, column_warnings, reject_warnings
from penstock.ingest.files.keys import unused_keys
from penstock.ingest.files.options import Options
from penstock.ingest.files.parse.dialect import sniff
from penstock.ingest.files.parse.reader import read_batches
from penstock.ingest.files.planning import make_plan
from penstock.ingest.files.questions import ask_unmapped
from penstock.ingest.files.sample import Sample, take_sample
from penstock.ingest.files.target import find_target
from penstock.settings import Settings

IN_POUNDS = Settings("postgresql://", currency="GBP")
HEADER = "order_id,product_id,quantity,ordered_at,unit_price"


def warnings(text: str, target: str = "orders", **options: Any) -> list[str]:
    file, read = BytesIO(text.encode("utf-8", "surrogateescape")), Options.read(options)
    plan = make_plan(find_target(target), sniff(file, read), read, from_settings=find_target(target).said_by(IN_POUNDS))
    plan = replace(plan, unused_keys=unused_keys(file, plan))
    batches = list(read_batches(file, plan, plan.dialect.body, plan.dialect.first_line))
    faults = [Fault(each.reject.field, each.reject.reason, each.reject.content) for each in batches if each.reject]
    lines = sum(each.records for each in batches) + len(faults)
    return [*column_warnings(plan, read.mapping), *reject_warnings(plan, faults, len(faults), lines)]


def rows(*values: tuple[str, str], times: int = 5) -> str:
    """Lines with these times and prices."""
    lines = [f"{number},P,1,{at},{price}" for number, (at, price) in enumerate(values * times)]
    return "\n".join([HEADER, *lines])


@pytest.mark.parametrize(
    ("column", "looks_like"),
    [
        ("Delivery Status", "a status"), ("Cancel reason", "a status"), ("Refund total", "a refund"),
        ("shipping_currency", "a currency"), ("Paid at", "a time"), ("ShipDate", "a time"), ("updated", None),
        ("deliveryStatus", "a status"), ("createdAt", "a time"), ("Datum", "a time"), ("Billing state", None),
        ("remarks", None), ("Lifetime Value", None), ("VAT number", None), ("Shipping City", None),
        ("Discount Code", None), ("Lineitem taxable", None), ("Coupon Details", None), ("Shipping Name", None),
    ],
)  # fmt: skip
def test_a_column_that_looks_like_something_is_not_left_out_in_silence(column: str, looks_like: str | None) -> None:
    text = f"{HEADER},{column}\n1,P,1,2026-01-01,1,x\n"
    expected = [
        f"column {column!r} is left out, and looks like {looks_like}: --map \"{column}=FIELD\" reads it,"
        f" --map \"{column}=\" leaves it out on purpose"
    ]  # fmt: skip
    assert warnings(text) == (expected if looks_like else [])
    assert warnings(text, mapping={column: None}) == []
    asked = ask_unmapped(_sample(text), find_target("orders"), {}, Options(), ())
    assert [question.column for question in asked if question.column == column] == ([column] if looks_like else [])


def _sample(text: str) -> Sample:
    file = BytesIO(text.encode())
    return take_sample(file, sniff(file, Options()))


ITEM = '"order_id":"1","sku":"P","quantity":1,"unit_price":"1"'


@pytest.mark.parametrize(
    ("text", "options"),
    [
        (f'{{{ITEM},"ordered_at":"2026-01-01"}}\n{{{ITEM},"deliveryStatus":"x","note":1}}\n', {}),
        (f'[{{{ITEM},"ordered_at":"2026-01-01","deliveryStatus":"x"}}]', {}),
        (
            f'{{{ITEM},"times":{{"paid":"2026-01-01"}},"deliveryStatus":"x","Kind":"sale"}}\n',
            {"fields": {"ordered_at": {"path": "times.paid"}}, "rows": [{"column": "kind", "in": ["sale"]}]},
        ),
    ],
)
def test_a_key_of_json_that_looks_like_something_is_not_left_out_in_silence(text: str, options: dict[str, Any]) -> None:
    assert warnings(text, **options) == [
        "key 'deliveryStatus' is left out, and looks like a status: --map \"deliveryStatus=FIELD\" reads it,"
        ' --map "deliveryStatus=" leaves it out on purpose'
    ]
    assert warnings(text, **{**options, "mapping": {"deliveryStatus": None}}) == []


def test_an_array_that_breaks_off_shows_its_keys() -> None:
    file = BytesIO(f'[{{{ITEM},"deliveryStatus":"x"}}, 1, {{"late":'.encode())
    plan = make_plan(find_target("orders"), sniff(file, Options()), Options(), from_settings={"currency": "GBP"})
    assert unused_keys(file, plan) == ("deliveryStatus",)


def test_a_key_that_a_field_takes_is_not_named() -> None:
    taken = f'{{{ITEM},"ordered_at":"2026-01-01","Order Date":"2026-01-01"}}\n'
    assert warnings(taken, mapping={"Order Date": "ordered_at"}) == [
        "key 'ordered_at' is left out, and looks like a time: --map \"ordered_at=FIELD\" reads it,"
        ' --map "ordered_at=" leaves it out on purpose'
    ]
    event = '{"aggregate_type":"t","aggregate_id":"1","event_type":"E","dt":"2026-01-01","status":{}}\n'
    assert len(warnings(event, "events", fields={"payload": {"path": "status"}})) == 0
    assert len(warnings(event, "events", fields={"payload": {"rest": True}})) == 0


@pytest.mark.parametrize(
    ("column", "looks_like"),
    [
        ("VAT", "a tax"), ("Taxes", "a tax"), ("shipping-tax", "a tax"), ("Discount Amount", "a discount"),
        ("retail_disc", "a discount"), ("Shipping", "shipping"), ("freight_value", "shipping"), ("fee_total", "a fee"),
        ("item-promotion-discount", "a discount"), ("Shipping cost", "shipping"), ("Commission", "a fee"),
    ],
)  # fmt: skip
def test_money_that_no_field_has_is_named(column: str, looks_like: str) -> None:
    text = f"{HEADER},{column}\n1,P,1,2026-01-01,1,0.10\n"
    assert warnings(text) == [
        f"column {column!r} is left out, and looks like {looks_like}: --map \"{column}=FIELD\" reads it,"
        f" --map \"{column}=\" leaves it out on purpose"
    ]  # fmt: skip
    assert warnings(text, mapping={column: None}) == []


def test_a_column_by_which_rows_are_filtered_is_not_left_out() -> None:
    text = f"{HEADER},Order Status\n1,P,1,2026-01-01,1,paid\n"
    assert warnings(text, rows=[{"column": "Order Status", "in": ["paid"]}]) == []


def test_a_time_zone_names_the_option() -> None:
    (warning,) = warnings(f"{HEADER},Time Zone\n1,P,1,2026-01-01,1,EST\n")
    assert "looks like a time zone: --zone NAME says it" in warning


def test_a_time_apart_from_its_date_is_named_with_it() -> None:
    text = "order_id,product_id,quantity,Date,Time,unit_price\n1,P,1,2026-01-01,10:30,1\n"
    assert "looks like the time of day of 'Date', which is read without it" in warnings(text)[0]


@pytest.mark.parametrize(
    ("values", "options", "says"),
    [
        (("13-02-26", "1.5"), {}, '--date "ordered_at=%d-%m-%y" reads it'),
        (("01-02-26", "1.5"), {}, '--date "ordered_at=%d-%m-%y" or --date "ordered_at=%m-%d-%y" reads it'),
        (("13 Feb 2026 10:15", "1.5"), {}, '--date "ordered_at=%d %b %Y %H:%M" reads it'),
        (("20260213", "1.5"), {}, '--date "ordered_at=%Y%m%d" reads it'),
        (("2026-02-13", "1,5"), {"delimiter": ";"}, "--decimal comma reads it"),
        (("2026-02-13", "1.5"), {"decimal": "comma"}, "--decimal point reads it"),
        (("2026-02-13", "1.5"), {"dates": {"ordered_at": "%d/%m/%Y"}}, "no --date ordered_at reads it"),
        (("soon", "1.5"), {}, 'is it another field? --map "ordered_at=FIELD"'),
    ],
)  # fmt: skip
def test_a_whole_column_that_failed_names_its_likely_cause(
    values: tuple[str, str], options: dict[str, Any], says: str
) -> None:
    at, price = values
    text = rows(("%AT%", "%PRICE%")).replace(",", options.get("delimiter", ","))
    (warning,) = warnings(text.replace("%AT%", at).replace("%PRICE%", price), **options)
    assert warning.startswith("the whole column")
    told, _, over_http = warning.partition(" (over HTTP: ")
    assert told.endswith(says)
    formats = re.findall(r'--date "ordered_at=(.*?)"', says)
    assert over_http == (f'dates={{"ordered_at": "{formats[0]}"}})' if formats else "")


def test_values_that_need_two_formats_are_named() -> None:
    (warning,) = warnings(rows(("2026-02-13", "1.5"), ("2026-02-14", "2"), ("15.02.2026", "1")))
    assert warning.startswith("column 'ordered_at' is written in two ways: 5 values, such as '15.02.2026', need --date")
    (warning,) = warnings(rows(("2026-02-13", "1.5"), ("2026-02-14", '"2,50"')))
    assert "such as '2,50', need --decimal comma" in warning
    assert warnings(rows(("2026-02-13", "1.5"), ("2026-02-14", "two"))) == [], "a few wrong values say nothing"


def test_bytes_that_are_not_utf_8_name_the_encoding() -> None:
    (warning,) = warnings(rows(("2026-02-13", "1.5"), ("2026-02-14", "1\udce9")))
    assert warning.endswith("--encoding windows-1252")


def test_lines_that_are_all_of_another_width_name_the_delimiter() -> None:
    text = HEADER + "\n" + "1|P|1|2026-02-13|1\n" * 5
    (warning,) = warnings(text)
    assert "--delimiter CHARACTER says another" in warning
