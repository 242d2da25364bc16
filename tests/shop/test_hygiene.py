"""The rules that the package's own catalogs hold to are the shop's too."""

import psycopg
import pytest

from tests.integration.postgres.test_hygiene import QUESTIONS, answers


@pytest.mark.parametrize(("question", "rule"), QUESTIONS, ids=[rule for _, rule in QUESTIONS])
def test_the_shops_catalogs_hold_to_every_rule(connection: psycopg.Connection, question: str, rule: str) -> None:
    assert connection.execute("select to_regclass('shop.orders') is not null").fetchone() == (True,)
    assert answers(connection, question) == [], rule
