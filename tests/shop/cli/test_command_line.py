"""The commands of `penstock` on a database of the shop."""

import json
from pathlib import Path

import psycopg
import pytest

from penstock.cli import compute, main
from penstock.projections import runner
from tests.shop.registry import MATERIALIZED

ORDERS = """\
InvoiceNo,StockCode,Description,Quantity,InvoiceDate,UnitPrice,CustomerID,Country
536365,85123A,WHITE HANGING HEART T-LIGHT HOLDER,6,2010-12-01 08:26:00,2.55,17850.0,United Kingdom
536365,71053,WHITE METAL LANTERN,6,2010-12-01 08:26:00,3.39,17850.0,United Kingdom
536366,22633,HAND WARMER UNION JACK,six,2010-12-01 08:28:00,1.85,17850.0,United Kingdom
"""


@pytest.fixture(autouse=True)
def environment(database_url: str, project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(project)
    monkeypatch.setenv("DATABASE_URL", database_url)
    monkeypatch.setenv("PENSTOCK_STORAGE_FOLDER", str(project / "uploads"))
    for name in ("INNGEST_DEV", "INNGEST_EVENT_KEY"):
        monkeypatch.delenv(name, raising=False)


def answer(capsys: pytest.CaptureFixture[str], *arguments: str, code: int = 0) -> object:
    found = main([*arguments, "--json"])
    shown = capsys.readouterr()
    assert found == code, shown.err
    return json.loads(shown.out)


def refusal(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert main(arguments) == 1
    shown = capsys.readouterr().err
    assert shown.count("\n") == 1
    return shown.strip()


def test_a_file_goes_in_and_its_figures_come_out(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], connection: psycopg.Connection
) -> None:
    (tmp_path / "orders.csv").write_text(ORDERS)
    call = ["import", "orders.csv", "--target", "orders", "--rejects", "rejects.csv"]
    account = answer(capsys, *call, code=3)
    assert isinstance(account, dict)
    assert (account["state"], account["read"], account["loaded"], account["rejected"]) == (
        "completed_with_rejects",
        3,
        2,
        1,
    )
    assert "six" in (tmp_path / "rejects.csv").read_text()
    assert connection.execute("select order_count from public.daily_analytics").fetchall() == [(1,)]
    assert answer(capsys, *call, code=3) == account
    days = answer(capsys, "etl", "--from", "2010-12-01", "--to", "2010-12-02")
    assert days == {"from": "2010-12-01", "to": "2010-12-02", "days": 2}
    refreshed = answer(capsys, "refresh")
    assert isinstance(refreshed, list)
    assert {view["view"] for view in refreshed} == set(MATERIALIZED)
    row = connection.execute("select order_count, revenue from public.monthly_revenue").fetchone()
    assert [str(value) for value in row or ()] == ["1", "35.640"]
    runs = answer(capsys, "runs", "--limit", "10")
    assert isinstance(runs, list)
    assert {"run_daily_etl", "refresh_views"} <= {run["pipeline"] for run in runs}
    assert all(run["status"] == "completed" for run in runs)


def test_a_file_in_no_currency_is_refused_in_one_line_and_the_environment_may_say_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "own.csv").write_text("order_id,product_id,quantity,ordered_at,unit_price\nA,MUG,2,2026-01-01,7.50\n")
    call = ["import", "own.csv", "--target", "orders"]
    for said in ("no column is recognised as currency", "`--constant currency=EUR`", "PENSTOCK_CURRENCY"):
        assert said in refusal(capsys, *call, "--dry-run")
    assert main([*call, "--json"]) == 1
    assert json.loads(capsys.readouterr().out)["state"] == "failed"
    monkeypatch.setenv("PENSTOCK_CURRENCY", "EUR")
    looked = answer(capsys, *call, "--dry-run")
    assert isinstance(looked, dict)
    assert looked["plan"]["defaults"] == {"currency": "EUR"}
    loaded = answer(capsys, *call)
    assert isinstance(loaded, dict)
    assert (loaded["state"], loaded["loaded"]) == ("completed", 1)


def test_etl_without_days_computes_those_that_are_due(capsys: pytest.CaptureFixture[str]) -> None:
    computed = answer(capsys, "etl")
    assert isinstance(computed, dict)
    assert computed["days"] == 3


def test_a_refresh_brings_the_projections_up_to_date_or_says_which_are_behind(
    capsys: pytest.CaptureFixture[str], connection: psycopg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in (1, 2):
        assert (
            main(["append", "order", f"N-{number}", "OrderPlaced", "--payload", '{"total": "7.50", "items": []}']) == 0
        )
        assert main(["append", "order", f"N-{number}", "OrderCompleted"]) == 0
    capsys.readouterr()
    with monkeypatch.context() as patch:
        patch.setattr(compute, "CATCH_UP_SECONDS", 0.0)
        patch.setattr(runner, "BATCH_SIZE", 1)
        assert main(["refresh", "monthly_revenue", "--json"]) == 0
        shown = capsys.readouterr()
        assert "orders" in json.loads(shown.out)[0]["behind"]
        assert "orders has not caught up with the events" in shown.err
    refreshed = answer(capsys, "refresh", "monthly_revenue")
    assert isinstance(refreshed, list)
    assert refreshed[0]["behind"] == []
    assert connection.execute("select revenue::text from public.monthly_revenue").fetchall() == [("15.00",)]
