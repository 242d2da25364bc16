"""What a file does not say and the settings do: decided when the import is asked for, whoever works on it later."""

from collections.abc import Iterator
from dataclasses import replace
from io import BytesIO
from typing import Any

import psycopg
import pytest

from penstock.errors import InvalidInput
from penstock.ingest.files import advance_import, create_import, dry_run, open_upload, receive_upload
from penstock.ingest.files.describe import describe_file
from penstock.ingest.files.ledger import start_over
from penstock.ingest.files.parse.types import Code, Identifier
from penstock.ingest.files.target import Field, Profile, Table, Target, register, unregister
from penstock.settings import CURRENCY, Settings

PRICES = Target(
    "prices",
    fields=(Field("product", Identifier(), True), Field("currency", Code(3), True, ("ccy",))),
    into=Table("public.prices", ("product",)),
    profiles=(Profile("of_canada", frozenset({"product", "province"}), constants={"currency": "CAD"}),),
    settings_defaults={"currency": CURRENCY},
)
LINES = b"product\nMUG\nTEA\n"
NAMED = r"currency.*--constant currency=EUR.*constants=\{\"currency\": \"EUR\"\}.*PENSTOCK_CURRENCY"


@pytest.fixture(autouse=True)
def prices(connection: psycopg.Connection) -> Iterator[None]:
    connection.execute("create table public.prices (product text primary key, currency text not null)")
    register(PRICES)
    yield
    unregister("prices")


@pytest.fixture
def euros(settings: Settings) -> Settings:
    return replace(settings, currency="EUR")


def load(settings: Settings, content: bytes, **options: Any) -> str:
    created, _ = create_import(settings, "prices", content, options=options)
    done = advance_import(settings, created.id)
    assert (done.state, done.error, done.rejected) == ("completed", None, 0)
    return str(created.id)


def stored(connection: psycopg.Connection) -> dict[str, str]:
    return dict(connection.execute("select product, currency from public.prices").fetchall())


@pytest.mark.parametrize(
    ("content", "options", "expected"),
    [
        (b"product,ccy\nMUG,usd\nTEA,\n", {}, {"MUG": "USD", "TEA": "EUR"}),
        (b"product,ccy\nMUG,USD\nTEA,\n", {"defaults": {"currency": "JPY"}}, {"MUG": "USD", "TEA": "JPY"}),
        (LINES, {"constants": {"currency": "CHF"}}, {"MUG": "CHF", "TEA": "CHF"}),
        (b"product,province\nMUG,QC\n", {}, {"MUG": "CAD"}),
        (LINES, {}, {"MUG": "EUR", "TEA": "EUR"}),
        (b'{"product":"MUG","currency":"USD"}\n{"product":"TEA"}\n', {}, {"MUG": "USD", "TEA": "EUR"}),
    ],
)
def test_a_column_counts_before_a_constant_and_that_before_the_setting(
    euros: Settings, connection: psycopg.Connection, content: bytes, options: dict[str, Any], expected: dict[str, str]
) -> None:
    load(euros, content, **options)
    assert stored(connection) == expected


@pytest.mark.parametrize("content", [LINES, b'{"product":"MUG"}\n', b'[{"product":"MUG"},{"product":"TEA"}]'])
def test_without_the_setting_a_file_that_does_not_say_it_is_refused_in_one_sentence(
    settings: Settings, connection: psycopg.Connection, content: bytes
) -> None:
    created, _ = create_import(settings, "prices", content)
    failed = advance_import(settings, created.id)
    assert (failed.state, failed.rows_read, stored(connection)) == ("failed", 0, {})
    with pytest.raises(InvalidInput, match=NAMED) as refused:
        dry_run(settings, "prices", content)
    assert failed.error == str(refused.value)
    assert "\n" not in str(refused.value)
    load(settings, content, constants={"currency": "EUR"})
    assert set(stored(connection).values()) == {"EUR"}


def test_without_the_setting_each_record_of_json_must_say_it_where_one_does(
    settings: Settings, connection: psycopg.Connection
) -> None:
    created, _ = create_import(settings, "prices", b'{"product":"MUG","Ccy":"USD"}\n{"product":"TEA"}\n')
    done = advance_import(settings, created.id)
    assert (done.loaded, done.rejected, stored(connection)) == (1, 1, {"MUG": "USD"})


def test_an_import_keeps_what_the_settings_said_when_it_was_asked_for(
    euros: Settings, connection: psycopg.Connection
) -> None:
    created, _ = create_import(euros, "prices", LINES)
    elsewhere = replace(euros, currency="USD")
    done = advance_import(elsewhere, created.id)
    assert done.plan is not None
    assert (done.plan["defaults"], stored(connection)) == ({"currency": "EUR"}, {"MUG": "EUR", "TEA": "EUR"})


def test_an_upload_keeps_what_the_settings_said_when_it_was_opened(
    euros: Settings, connection: psycopg.Connection
) -> None:
    opened, _ = open_upload(euros, "prices", name="prices.csv")
    nobody = replace(euros, currency=None)
    receive_upload(nobody, opened.id, BytesIO(LINES))
    assert advance_import(nobody, opened.id).state == "completed"
    assert set(stored(connection).values()) == {"EUR"}


def test_an_import_that_starts_over_reads_as_before(euros: Settings, connection: psycopg.Connection) -> None:
    created, _ = create_import(euros, "prices", LINES)
    elsewhere = replace(euros, currency="USD")
    while advance_import(elsewhere, created.id, seconds=0).state == "waiting":
        pass
    start_over(connection, created.id)
    assert advance_import(elsewhere, created.id).state == "completed"
    assert set(stored(connection).values()) == {"EUR"}


def test_the_same_file_under_another_setting_is_another_import(euros: Settings) -> None:
    first, _ = create_import(euros, "prices", LINES)
    again, duplicate = create_import(euros, "prices", LINES)
    assert (again.id, duplicate) == (first.id, True)
    other, duplicate = create_import(replace(euros, currency="USD"), "prices", LINES)
    assert (other.id == first.id, duplicate) == (False, False)


def test_what_is_remembered_of_a_file_does_not_hold_the_setting(
    euros: Settings, connection: psycopg.Connection
) -> None:
    load(euros, b"what\nMUG\n", mapping={"what": "product"})
    remembered = connection.execute("select options from raw.import_mappings").fetchone()
    assert remembered == ({"mapping": {"what": "product"}},)
    load(replace(euros, currency="USD"), b"what\nTEA\n")
    assert stored(connection) == {"MUG": "EUR", "TEA": "USD"}
    load(euros, b"what\nCUP\n", mapping={"what": "product"}, constants={"currency": "CHF"})
    load(replace(euros, currency=None), b"what\nJUG\n")
    assert stored(connection)["JUG"] == "CHF", "a constant that was said is remembered"


def test_a_preview_asks_for_what_nothing_says(settings: Settings, euros: Settings) -> None:
    assert describe_file(euros, LINES, target="prices")["questions"] == []
    (question,) = describe_file(settings, LINES, target="prices")["questions"]
    assert (question["code"], question["field"]) == ("missing-field", "currency")
    assert {"label": "EUR in all rows", "set": {"constants": {"currency": "EUR"}}} in question["choices"]
    answered = describe_file(settings, LINES, target="prices", options=question["choices"][0]["set"])
    assert (answered["questions"], answered["accepted"]) == ([], 2)
    (question,) = describe_file(settings, b'{"product":"MUG"}\n', target="prices")["questions"]
    assert (question["code"], question["field"]) == ("missing-field", "currency")
