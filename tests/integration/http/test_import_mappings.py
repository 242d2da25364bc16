"""Remembered mappings over HTTP and as `penstock mappings`: listed, shown, changed, forgotten."""

import json
from pathlib import Path
from uuid import UUID, uuid4

import psycopg
import pytest

from penstock.cli import main
from penstock.ingest import files
from tests.integration.http.conftest import KEYS, Api
from tests.integration.http.test_bad_input import assert_names, assert_problem

TABLE = "no;tall\n{};20\n"
MAPPING = {"mapping": {"no": "id", "tall": "height"}}


def loaded(api: Api, content: str, **asked: str) -> dict:
    accepted = api.http.post("/v1/imports/shelves", params=asked, content=content)
    assert accepted.status_code == 202, accepted.text
    files.advance_import(api.settings, UUID(accepted.json()["import_id"]))
    return api.http.get(accepted.json()["status_url"]).json()


@pytest.fixture
def remembered(api: Api, shelves: psycopg.Connection) -> dict:
    assert loaded(api, TABLE.format("a"), mapping=json.dumps(MAPPING["mapping"]))["state"] == "completed"
    (mapping,) = api.http.get("/v1/imports/mappings").json()["mappings"]
    return mapping


def test_a_mapping_is_listed_shown_and_used(api: Api, remembered: dict) -> None:
    assert (remembered["target"], remembered["header"], remembered["options"]) == ("shelves", ["no", "tall"], MAPPING)
    assert (remembered["uses"], remembered["used_at"], remembered["actor"]) == (0, None, "local")
    assert api.http.get(f"/v1/imports/mappings/{remembered['mapping_id']}").json() == remembered
    assert api.http.get("/v1/imports/mappings?target=orders").json() == {"mappings": []}
    used = loaded(api, TABLE.format("b"))
    assert (used["state"], used["plan"]["remembered"]) == ("completed", remembered["mapping_id"])
    assert loaded(api, TABLE.format("c"), remember="false")["state"] == "failed"


def test_a_mapping_is_changed_and_forgotten(api: Api, remembered: dict) -> None:
    address = f"/v1/imports/mappings/{remembered['mapping_id']}"
    changed = api.http.put(address, json={"options": {**MAPPING, "delimiter": ";"}})
    assert changed.status_code == 200, changed.text
    assert changed.json()["options"] == {**MAPPING, "delimiter": ";"}
    assert changed.json()["updated_at"] > remembered["updated_at"]
    assert api.http.delete(address).json() == {"mapping_id": remembered["mapping_id"], "forgotten": True}
    for again in (api.http.get(address), api.http.delete(address), api.http.put(address, json={"options": {}})):
        assert_problem(again, 404)


def test_what_a_mapping_cannot_be(api: Api, remembered: dict) -> None:
    address = f"/v1/imports/mappings/{remembered['mapping_id']}"
    for body, field in (
        ({}, "options"),
        ({"options": {}, "colour": 1}, "colour"),
        ({"options": {"colour": 1}}, "colour"),
        ({"options": {"mapping": {"no": "colour"}}}, "mapping"),
        ({"options": {"dates": {"id": "%d"}}}, "dates.id"),
    ):
        assert_names(assert_problem(api.http.put(address, json=body), 422), field)
    assert_names(assert_problem(api.http.get("/v1/imports/mappings/7"), 422), "mapping_id")
    assert_problem(api.http.get(f"/v1/imports/mappings/{uuid4()}"), 404)
    assert api.http.get(address).json() == remembered


def test_a_key_reads_or_changes_by_its_scope(guarded: Api) -> None:
    address = f"/v1/imports/mappings/{uuid4()}"
    for method, path, body, allowed in (
        ("GET", "/v1/imports/mappings", None, {"reader": 200, "operator": 200}),
        ("GET", address, None, {"reader": 404, "operator": 404}),
        ("PUT", address, {"options": {}}, {"writer": 404, "operator": 404}),
        ("DELETE", address, None, {"writer": 404, "operator": 404}),
        ("POST", "/v1/imports/preview", {"id": 1}, {"writer": 200, "operator": 200}),
    ):
        for name, key in KEYS.items():
            answer = guarded.http.request(method, path, json=body, headers={"authorization": f"Bearer {key}"})
            assert answer.status_code == allowed.get(name, 403), (method, path, name, answer.text)


@pytest.fixture
def shell(database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DATABASE_URL", database_url)


def run(capsys: pytest.CaptureFixture[str], *arguments: str, code: int = 0) -> str:
    assert main(["mappings", *arguments]) == code
    shown = capsys.readouterr()
    return shown.out if code == 0 else shown.err


def test_the_command_line_does_the_same(
    shell: None, api: Api, remembered: dict, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "all.json").write_text(json.dumps(MAPPING))
    mapping_id = remembered["mapping_id"]
    assert run(capsys).splitlines()[1].split()[:2] == [mapping_id, "shelves"]
    assert run(capsys, "list", "--target", "orders") == "no mapping is remembered\n"
    assert json.loads(run(capsys, "list", "--json")) == [remembered]
    shown = run(capsys, "show", mapping_id)
    assert shown.splitlines()[1] == "header: no, tall"
    assert json.loads(shown.partition("tall\n")[2]) == MAPPING
    changed = json.loads(run(capsys, "edit", mapping_id, "--map", "tall=", "--delimiter", ";", "--json"))
    assert changed["options"] == {"mapping": {"no": "id", "tall": None}, "delimiter": ";"}
    replaced = json.loads(run(capsys, "edit", mapping_id, "--options", str(tmp_path / "all.json"), "--json"))
    assert (replaced["options"], replaced["actor"]) == (MAPPING, "penstock mappings")
    assert "say what to change" in run(capsys, "edit", mapping_id, code=1)
    assert "no field 'colour'" in run(capsys, "edit", mapping_id, "--map", "no=colour", code=1)
    assert run(capsys, "forget", mapping_id) == f"forgotten: {mapping_id}\n"
    assert "there is no remembered mapping" in run(capsys, "forget", mapping_id, code=1)
    assert run(capsys) == "no mapping is remembered\n"
    assert "not the id of a mapping" in run(capsys, "show", "7", code=1)
