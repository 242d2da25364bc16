"""Options that an import completed with are used for the next file with the same header, until they are forgotten."""

import io
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import psycopg
import pytest

from penstock.errors import InvalidInput, NotFound
from penstock.ingest import files
from penstock.ingest.files import Import, advance_import, create_import, dry_run, ledger, register
from penstock.ingest.files.parse.types import Identifier, Integer, Timestamp
from penstock.ingest.files.target import Field, Table, Target, unregister
from penstock.postgres import pool
from penstock.settings import Settings
from tests.tables import xlsx_file

MAPPED = {"mapping": {"Nr.": "id", "Tall": "height"}, "dates": {"built_at": "%d/%m/%Y"}}


@pytest.fixture
def racks(connection: psycopg.Connection) -> Iterator[psycopg.Connection]:
    connection.execute("create table public.racks (id text primary key, height integer not null, built_at timestamptz)")
    fields = (
        Field("id", Identifier(64), True),
        Field("height", Integer(1, 1000), True),
        Field("built_at", Timestamp(), False),
    )
    register(Target("racks", fields, Table("public.racks", ("id",))))
    yield connection
    unregister("racks")


def load(settings: Settings, text: str | bytes, **options: Any) -> Import:
    content = text.encode() if isinstance(text, str) else text
    created, _ = create_import(settings, "racks", content, options=options, name="racks.csv", actor="tester")
    return advance_import(settings, created.id)


def rows(connection: psycopg.Connection) -> list[tuple[Any, ...]]:
    return connection.execute("select id, height, built_at::date::text from public.racks order by id").fetchall()


def test_the_next_file_with_the_header_is_read_in_the_same_way(settings: Settings, racks: psycopg.Connection) -> None:
    first = load(settings, "Nr.;Tall;built_at\na;1;1/2/2026\n", **MAPPED)
    assert (first.state, first.as_json()["plan"]["remembered"]) == ("completed", None)
    (mapping,) = files.list_mappings(settings)
    assert (mapping.target, mapping.header, mapping.options, mapping.actor, mapping.source_name, mapping.uses) == (
        "racks", ["Nr.", "Tall", "built_at"], MAPPED, "tester", "racks.csv", 0,
    )  # fmt: skip
    assert dry_run(settings, "racks", b"Nr.;Tall;built_at\nb;2;3/2/2026\n")["plan"]["remembered"] == str(mapping.id)
    second = load(settings, "Nr.;Tall;built_at\nb;2;3/2/2026\n")
    assert (second.state, second.error, second.loaded) == ("completed", None, 1)
    assert second.mapping_id == mapping.id
    assert second.as_json()["plan"]["remembered"] == mapping.id
    assert rows(racks) == [("a", 1, "2026-02-01"), ("b", 2, "2026-02-03")]
    (used,) = files.list_mappings(settings)
    assert (used.uses, used.options, used.updated_at) == (1, MAPPED, mapping.updated_at)
    assert used.used_at is not None


@pytest.mark.parametrize(
    "text", ["nr,BUILT AT,tall\nb,3/2/2026,2\n", "built_at\tNr\t(Tall)\n3/2/2026\tb\t2\n"], ids=["csv", "tsv"]
)
def test_order_case_and_punctuation_of_a_header_do_not_matter_to_being_known(
    settings: Settings, racks: psycopg.Connection, text: str
) -> None:
    load(settings, "Nr.;Tall;built_at\na;1;1/2/2026\n", dates={"built_at": "%d/%m/%Y"}, mapping=MAPPED["mapping"])
    again = load(settings, text)
    assert (again.state, again.error, again.loaded) == ("completed", None, 1)
    (mapping,) = files.list_mappings(settings)
    assert again.mapping_id == mapping.id
    assert rows(racks)[1] == ("b", 2, "2026-02-03")


def test_given_options_count_and_take_the_place_of_the_remembered_ones(
    settings: Settings, racks: psycopg.Connection
) -> None:
    load(settings, "Nr.;Tall;built_at\na;1;1/2/2026\n", **MAPPED)
    (before,) = files.list_mappings(settings)
    other = {**MAPPED, "dates": {"built_at": "%m/%d/%Y"}}
    done = load(settings, "Nr.;Tall;built_at\nb;2;3/2/2026\n", **other)
    assert (done.state, done.mapping_id) == ("completed", None)
    (after,) = files.list_mappings(settings)
    assert (after.id, after.options) == (before.id, other)
    assert rows(racks)[1] == ("b", 2, "2026-03-02")


def test_remember_false_neither_uses_nor_remembers(settings: Settings, racks: psycopg.Connection) -> None:
    load(settings, "Nr.;Tall;built_at\na;1;1/2/2026\n", **MAPPED, remember=False)
    assert files.list_mappings(settings) == []
    load(settings, "Nr.;Tall;built_at\nb;1;1/2/2026\n", **MAPPED)
    without = load(settings, "Nr.;Tall;built_at\nc;1;1/2/2026\n", remember=False)
    assert without.state == "failed"
    assert "no column is recognised as height, id" in str(without.error)
    assert load(settings, "Nr.;Tall;built_at\nc;1;1/2/2026\n").state == "completed"


@pytest.mark.parametrize("text", ["Nr.;Tall\na;1\n", "a;1\n"], ids=["another header", "no header"])
def test_another_header_is_not_known(settings: Settings, racks: psycopg.Connection, text: str) -> None:
    load(settings, "Nr.;Tall;built_at\na;1;1/2/2026\n", **MAPPED)
    assert load(settings, text).state == "failed"


def test_only_what_completes_is_remembered(settings: Settings, racks: psycopg.Connection) -> None:
    assert load(settings, "Nr.;Tall\na;1\n", mapping={"Nr.": "id"}).state == "failed"
    bad, _ = create_import(settings, "racks", b"Nr.;Tall;built_at\na;x;1/2/2026\n", options=MAPPED, reject_limit=0)
    assert advance_import(settings, bad.id).state == "aborted"
    assert load(settings, "id;height\na;1\n", sheet="2").state == "completed"
    assert load(settings, "id;height\nb;1\n").state == "completed"
    assert load(settings, "c;1\n", header=False, mapping={"1": "id", "2": "height"}).state == "completed"
    assert files.list_mappings(settings) == []


def test_options_of_the_framing_are_found_by_what_the_file_shows_without_them(
    settings: Settings, racks: psycopg.Connection
) -> None:
    text = "Größe:id:height\n{}:{}:1\n"
    how = {"delimiter": ":", "encoding": "windows-1252", "mapping": {"Größe": None}}
    assert load(settings, text.format("x", "a").encode("cp1252"), **how).state == "completed"
    (mapping,) = files.list_mappings(settings)
    assert mapping.options == how
    plain = {"delimiter": ":", "mapping": {"height": "height"}}
    assert load(settings, "id:height\nb:1\n", **plain).state == "completed"
    assert load(settings, "id:height\nc:1\n").loaded == 1
    assert load(settings, "Größe,ID,height\nx,d,1\n").loaded == 1


def test_a_sheet_is_no_explanation(settings: Settings, racks: psycopg.Connection) -> None:
    """The sheet is chosen each time; how it is read is remembered."""

    def book(number: str) -> bytes:
        return xlsx_file([["x"]], Racks=[["Nr.", "Tall"], [number, 5]])

    assert load(settings, book("a"), mapping=MAPPED["mapping"], sheet="Racks").state == "completed"
    (mapping,) = files.list_mappings(settings)
    assert mapping.options == {"mapping": MAPPED["mapping"]}
    again = load(settings, book("b"), sheet="Racks")
    assert (again.state, again.loaded, again.mapping_id) == ("completed", 1, mapping.id)


def test_a_mapping_is_changed_and_forgotten(settings: Settings, racks: psycopg.Connection) -> None:
    load(settings, "Nr.;Tall;built_at\na;1;1/2/2026\n", **MAPPED)
    (mapping,) = files.list_mappings(settings, "racks")
    assert files.list_mappings(settings, "shelves") == []
    changed = files.change_mapping(
        settings, mapping.id, {**MAPPED, "dates": {"built_at": "%m/%d/%Y"}, "remember": False}, actor="me"
    )
    assert (changed.options["dates"], changed.actor, "remember" in changed.options) == (
        {"built_at": "%m/%d/%Y"}, "me", False,
    )  # fmt: skip
    used = load(settings, "Nr.;Tall;built_at\nb;2;3/2/2026\n")
    assert rows(racks)[1] == ("b", 2, "2026-03-02")
    for wrong in (
        {"mapping": {"Nr.": "colour"}},
        {"dates": {"colour": "%d/%m/%Y"}},
        {"colour": 1},
        {"fields": {"colour": "Nr."}},
    ):
        with pytest.raises(InvalidInput, match="colour"):
            files.change_mapping(settings, mapping.id, wrong)
    files.forget_mapping(settings, mapping.id)
    assert files.import_status(settings, used.id).mapping_id is None
    assert load(settings, "Nr.;Tall;built_at\nc;2;3/2/2026\n").state == "failed"
    for call in (files.read_mapping, files.forget_mapping):
        with pytest.raises(NotFound):
            call(settings, mapping.id)
    with pytest.raises(NotFound):
        files.change_mapping(settings, uuid4(), {})


def test_a_remembered_mapping_that_no_longer_fits_is_named(settings: Settings, racks: psycopg.Connection) -> None:
    load(settings, "Nr.;Tall;built_at\na;1;1/2/2026\n", **MAPPED)
    (mapping,) = files.list_mappings(settings)
    files.change_mapping(settings, mapping.id, {"mapping": {"Nr.": "id"}})
    done = load(settings, "Nr.;Tall;built_at\nb;1;1/2/2026\n")
    assert done.state == "failed"
    assert f"by the remembered mapping {mapping.id}; remember=false passes it over" in str(done.error)
    with pytest.raises(InvalidInput, match="remember=false") as refused:
        dry_run(settings, "racks", b"Nr.;Tall;built_at\nb;1;1/2/2026\n")
    assert refused.value.details["errors"][0]["field"] == "mapping"  # type: ignore[index]


def test_an_import_that_starts_over_is_read_as_before(settings: Settings, racks: psycopg.Connection) -> None:
    load(settings, "Nr.;Tall;built_at\na;1;1/2/2026\n", **MAPPED)
    created, _ = create_import(settings, "racks", b"Nr.;Tall;built_at\nb;1;1/2/2026\n", name="second.csv")
    advance_import(settings, created.id, seconds=0)
    with pool.transaction(settings) as connection:
        planned = ledger.read_import(connection, created.id)
        assert planned.mapping_id is not None
        assert planned.options_given == {}
        ledger.start_over(connection, created.id)
    done = advance_import(settings, created.id)
    (mapping,) = files.list_mappings(settings)
    assert (done.state, done.mapping_id, mapping.source_name) == ("completed", mapping.id, "racks.csv")


def test_an_upload_is_read_by_it_too(settings: Settings, racks: psycopg.Connection) -> None:
    load(settings, "Nr.;Tall;built_at\na;1;1/2/2026\n", **MAPPED)
    opened, _ = files.open_upload(settings, "racks", name="u.csv")
    files.receive_upload(settings, opened.id, io.BytesIO(b"Nr.;Tall;built_at\nb;1;1/2/2026\n"))
    assert advance_import(settings, opened.id).loaded == 1
