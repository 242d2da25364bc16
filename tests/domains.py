"""Domains for the length of a test or a module: what one test installs, no other test sees."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from penstock import domain, payloads
from penstock.domain import Domain, install
from penstock.event_store import folds
from penstock.ingest.files import compensation, target
from penstock.postgres import migrations, public_schema
from penstock.projections import projection
from penstock.views import registry as views

_REGISTRIES: tuple[Any, ...] = (
    domain._installed,
    folds._registry,
    migrations._declared,
    payloads._registry,
    public_schema._of_domains,
    projection._registry,
    compensation._registry,
    target._registry,
    views._registry,
)

# `tests/conftest.py` imports this first of all: only what belongs to no domain is known by then.
_BARE = [registry.copy() for registry in _REGISTRIES]


def forget() -> None:
    """Know no domain, whatever a module installed when it was imported (an app does, and the benchmarks)."""
    _know(_BARE)


@contextmanager
def installed(*domains: Domain) -> Iterator[None]:
    """Install the domains; afterwards everything that is known by name is as it was."""
    before = [registry.copy() for registry in _REGISTRIES]
    try:
        install(*domains)
        yield
    finally:
        _know(before)


def _know(contents: Sequence[Any]) -> None:
    for registry, content in zip(_REGISTRIES, contents, strict=True):
        registry.clear()
        registry.update(content)
