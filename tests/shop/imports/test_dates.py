"""Dates that are not ISO 8601: declared, found out from the whole column, or refused as ambiguous."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import psycopg
import pytest

from penstock.ingest.files import Import, advance_import, create_import, dry_run
from penstock.settings import Settings


@pytest.fixture
def settings(settings: Settings, tmp_path: Path) -> Settings:
    return replace(settings, storage_folder=tmp_path, timezone="Europe/Paris")


def load(settings: Settings, values: list[str], delimiter: str = ",", **options: Any) -> Import:
    lines = [f"c{number}{delimiter}{date}" for number, date in enumerate(values)]
    text = "\n".join([f"customer_id{delimiter}registered_at", *lines])
    created, _ = create_import(settings, "customers", text.encode(), options=options)
    return advance_import(settings, created.id)


def registered(connection: psycopg.Connection) -> list[str]:
    rows = connection.execute("select payload ->> 'registered_at' from public.event_store order by position").fetchall()
    return [moment for (moment,) in rows]


@pytest.mark.parametrize(
    ("dates", "found", "moments"),
    [
        (["1/12/2010 8:26", "13/1/2010 18:05"], "%d/%m/%Y %H:%M", ["2010-12-01T07:26:00Z", "2010-01-13T17:05:00Z"]),
        (["12/1/2010 8:26", "1/13/2010 18:05"], "%m/%d/%Y %H:%M", ["2010-12-01T07:26:00Z", "2010-01-13T17:05:00Z"]),
        (["31.12.2010", "1.2.2010"], "%d.%m.%Y", ["2010-12-30T23:00:00Z", "2010-01-31T23:00:00Z"]),
        (["01-31-2010 01:02:03 PM"] * 2, "%m-%d-%Y %I:%M:%S %p", ["2010-01-31T12:02:03Z"] * 2),
    ],
)
def test_a_format_is_found_in_the_whole_column_and_stated(
    settings: Settings, connection: psycopg.Connection, dates: list[str], found: str, moments: list[str]
) -> None:
    done = load(settings, dates)
    assert (done.state, done.error, done.loaded) == ("completed", None, 2)
    assert done.as_json()["plan"]["dates"] == {"registered_at": found}
    assert registered(connection) == moments


def test_the_deciding_value_may_stand_at_the_end(settings: Settings) -> None:
    done = load(settings, ["1/2/2010"] * 5000 + ["25/2/2010"])
    assert (done.loaded, done.as_json()["plan"]["dates"]) == (5001, {"registered_at": "%d/%m/%Y"})


def test_an_ambiguous_column_is_an_error_that_says_so(settings: Settings, connection: psycopg.Connection) -> None:
    done = load(settings, ["1/2/2010", "3/4/2010"])
    assert done.state == "failed"
    assert "1/2/2010 may be day/month or month/day" in str(done.error)
    assert registered(connection) == []
    mixed = load(settings, ["13/2/2010", "3/14/2010"])
    assert "mixes day/month and month/day" in str(mixed.error)


def test_a_declared_format_is_taken_at_its_word(settings: Settings, connection: psycopg.Connection) -> None:
    done = load(settings, ["1/2/2010", "29/2/2010", "3/4/10"], dates={"registered_at": "%d/%m/%Y"})
    assert (done.loaded, done.rejected) == (1, 2)
    assert registered(connection) == ["2010-01-31T23:00:00Z"]
    named = load(settings, ["1 Feb 2010 10:00"], dates={"registered_at": "%d %b %Y %H:%M"})
    assert (named.loaded, registered(connection)[-1]) == (1, "2010-02-01T09:00:00Z")


def test_naive_times_are_read_in_the_business_zone(settings: Settings, connection: psycopg.Connection) -> None:
    created, _ = create_import(
        settings, "customers", b"id\n9\n", options={"constants": {"registered_at": "2010-07-01"}}
    )
    assert advance_import(settings, created.id).loaded == 1
    assert registered(connection).pop() == "2010-06-30T22:00:00Z"
    load(settings, ["2010-07-01 00:00:00", "2010-07-01T00:00:00Z", "2010-12-01"])
    assert registered(connection)[1:] == ["2010-06-30T22:00:00Z", "2010-07-01T00:00:00Z", "2010-11-30T23:00:00Z"]


def test_decimal_comma(settings: Settings, connection: psycopg.Connection) -> None:
    text = "product_id;unit_price\nA;1.234,50\nB;0,5\nC;1,234.50\n"
    said = dry_run(settings, "products", text.encode(), options={"decimal": ","})
    assert (said["loaded"], said["rejected"]) == (2, 1)
    assert [str(row["unit_price"]) for row in said["rows"]] == ["1234.50", "0.5"]
    assert said["plan"]["delimiter"] == ";"
