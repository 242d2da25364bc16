"""The registry of projections, without a database."""

from typing import Any

import pytest

from penstock.errors import NotFound
from penstock.projections import SqlProjection, find_projection, projections, register
from penstock.projections import projection as registry
from tests.domains import installed
from tests.tickets import DOMAIN, PROJECTION


def named(name: str) -> SqlProjection:
    return SqlProjection(name, (name,), ("Noticed",), ("select 1",))


@pytest.fixture(autouse=True)
def _registry_of_ones_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "_registry", {PROJECTION.name: PROJECTION})


def test_the_projections_of_an_installed_domain_are_found_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "_registry", {})
    with installed(DOMAIN):
        assert list(projections()) == ["tickets"]
        assert find_projection("tickets") is PROJECTION


def test_a_registered_projection_is_found_by_name() -> None:
    mine = register(named("mine"))
    assert find_projection("mine") is mine
    assert register(mine) is mine


def test_a_name_is_given_once() -> None:
    with pytest.raises(ValueError, match="registered already"):
        register(named("tickets"))


@pytest.mark.parametrize("name", ["", "Orders", "1st", "a-b", 'x"; drop schema public', "a" * 52, "é"])
def test_a_name_that_could_not_be_a_schema_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="not a name for a projection"):
        register(named(name))


@pytest.mark.parametrize("name", ["", "unknown", None, 1])
def test_an_unknown_projection_is_not_found(name: Any) -> None:
    with pytest.raises(NotFound, match="there are tickets"):
        find_projection(name)
