"""The OpenAPI document of the whole app, walked from end to end: what a person who reads it can rely on."""

from collections.abc import Iterator
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from app.main import app
from penstock import errors
from penstock.http.documented_errors import DOCUMENTED
from penstock.http.errors import TYPE_PREFIX, status_of
from tests.integration.http.conftest import Api

DOCUMENT: dict[str, Any] = app.openapi()
OPERATIONS = {
    f"{method} {path}": operation
    for path, operations in DOCUMENT["paths"].items()
    for method, operation in operations.items()
}


def resolved(part: dict[str, Any]) -> dict[str, Any]:
    found: Any = part
    while "$ref" in found:
        place, found = found["$ref"], DOCUMENT
        for step in place.removeprefix("#/").split("/"):
            found = found[step]
    return dict(found)


def contents(part: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    yield from resolved(part).get("content", {}).items()


def examples(content: dict[str, Any]) -> list[Any]:
    return [content["example"]] if "example" in content else [each["value"] for each in content["examples"].values()]


def assert_fits(content: dict[str, Any]) -> None:
    schema = {**content["schema"], "components": DOCUMENT["components"]}
    Draft202012Validator.check_schema(schema)
    shown = examples(content)
    assert shown
    for each in shown:
        Draft202012Validator(schema).validate(each)


def test_every_operation_has_a_tag_a_summary_and_an_id_of_its_own() -> None:
    ids = [operation["operationId"] for operation in OPERATIONS.values()]
    assert len(ids) == len(set(ids)) >= 40
    tags = {tag["name"] for tag in DOCUMENT["tags"]}
    for name, operation in OPERATIONS.items():
        assert len(operation["tags"]) == 1, name
        assert set(operation["tags"]) <= tags, name
        assert 5 <= len(operation["summary"]) <= 100, name
        assert operation["description"].startswith(operation["summary"].split()[0]), name
    assert tags == {tag for operation in OPERATIONS.values() for tag in operation["tags"]}


def test_an_operation_id_is_the_functions_name() -> None:
    assert OPERATIONS["post /v1/orders"]["operationId"] == "place_order"
    assert OPERATIONS["get /v1/orders"]["operationId"] == "read_orders"


@pytest.mark.parametrize("name", OPERATIONS)
def test_every_body_has_an_example_that_fits_its_schema(name: str) -> None:
    operation = OPERATIONS[name]
    parts = [operation["requestBody"]] if "requestBody" in operation else []
    for part in (*parts, *operation["responses"].values()):
        for _, content in contents(part):
            assert_fits(content)


@pytest.mark.parametrize("name", OPERATIONS)
def test_every_error_is_a_problem_with_an_example_of_its_status(name: str) -> None:
    documented = {int(status): answer for status, answer in OPERATIONS[name]["responses"].items() if status >= "4"}
    assert set(documented) >= {401, 403, 404, 422, 503}
    for status, answer in documented.items():
        if (name, status) == ("get /ready", 503):
            continue
        ((media_type, content),) = contents(answer)
        assert media_type == "application/problem+json"
        for problem in examples(content):
            assert problem["status"] == status
            assert problem["type"].startswith(TYPE_PREFIX)


def test_every_kind_of_error_is_shown_under_its_status() -> None:
    def kinds(kind: type[errors.PenstockError]) -> Iterator[type[errors.PenstockError]]:
        yield kind
        for each in kind.__subclasses__():
            yield from kinds(each)

    ours = {each for each in kinds(errors.PenstockError) if each.__module__.startswith(("penstock", "shop"))}
    assert len(ours) > 15
    for kind in ours:
        if (status := status_of(kind)) != 500:
            response = DOCUMENT["components"]["responses"][DOCUMENTED[status].name]
            assert kind.slug in response["content"]["application/problem+json"]["examples"], kind


def test_every_route_is_documented_but_inngests_and_the_pages(api: Api) -> None:
    undocumented = {
        route.path
        for route in app.router.routes
        if getattr(route, "path", "") not in DOCUMENT["paths"] and ":path}" not in getattr(route, "path", "")
    }
    assert undocumented == {"/", "/docs", "/openapi.json", "/api/inngest"}
    assert api.http.get("/openapi.json").json()["paths"].keys() == DOCUMENT["paths"].keys()


SENT = {
    "post /v1/orders": (201, "/v1/orders"),
    "post /v1/inventory/{product_id}/adjust": (200, "/v1/inventory/MUG/adjust"),
    "post /v1/streams/{aggregate_type}/{aggregate_id}/events": (409, "/v1/streams/ticket/T-1/events"),
    "post /v1/imports/preview": (200, "/v1/imports/preview"),
    "post /v1/imports/{target}": (202, "/v1/imports/orders?constants=%7B%22currency%22%3A%22GBP%22%7D"),
}


@pytest.mark.parametrize("name", SENT)
def test_what_is_shown_can_be_sent(api: Api, name: str) -> None:
    status, path = SENT[name]
    for media_type, content in contents(OPERATIONS[name]["requestBody"]):
        for example in examples(content):
            if media_type == "application/json":
                answer = api.http.post(path, json=example)
            elif media_type in ("text/csv", "application/x-ndjson"):
                answer = api.http.post(path, content=example, headers={"content-type": media_type})
            else:
                continue
            assert answer.status_code == status, (media_type, answer.text)


def test_the_docs_page_asks_no_other_host(api: Api) -> None:
    page = api.http.get("/docs")
    policy = page.headers["content-security-policy"]
    assert "default-src 'none'; script-src 'self';" in policy
    assert "http" not in policy
    for path in ("vendor/swagger-ui-bundle.js", "vendor/swagger-ui.css", "start.js"):
        assert f"/docs/{path}" in page.text
        sent = api.http.get(f"/docs/{path}")
        assert sent.status_code == 200
        assert sent.headers["content-security-policy"] == policy
        assert api.http.get(f"/docs/{path}", headers={"if-none-match": sent.headers["etag"]}).status_code == 304
    assert "//" not in page.text.replace("<!doctype html>", "")
    assert api.http.get("/docs/../app.py").status_code == 404
    assert api.http.get("/docs/vendor/README.md").status_code == 404
