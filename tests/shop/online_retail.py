"""The December 2010 sample as events, made here from the CSV without the importer, and the answers to compare with."""

import csv
import gzip
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

from penstock.event_store import NewEvent
from penstock.event_store.bulk import StreamAppend

PROJECT = Path(__file__).parents[2]
SAMPLE = PROJECT / "shop" / "data" / "online_retail_2010-12.csv.gz"
ANSWERS = PROJECT / "tests" / "data" / "answers"


def answers(name: str) -> list[dict[str, str]]:
    with (ANSWERS / f"dev_or_2010_12_{name}.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def order_streams() -> Iterator[StreamAppend]:
    for invoice, lines in _invoices().items():
        placed_at = min(line["InvoiceDate"] for line in lines).replace(" ", "T") + "Z"
        metadata = {"occurred_at": placed_at}
        events = [
            NewEvent("OrderPlaced", _order(invoice, placed_at, lines), metadata),
            NewEvent("OrderCompleted", {}, metadata),
        ]
        yield StreamAppend("order", invoice, "no_stream", events)


def _invoices() -> dict[str, list[dict[str, str]]]:
    invoices: dict[str, list[dict[str, str]]] = {}
    with gzip.open(SAMPLE, "rt", encoding="utf-8", newline="") as file:
        for line in csv.DictReader(file):
            if line["InvoiceNo"][0] not in "CA" and int(line["Quantity"]) > 0 and _price(line) > 0:
                invoices.setdefault(line["InvoiceNo"], []).append(line)
    return invoices


def _price(line: dict[str, str]) -> Decimal:
    return Decimal(line["UnitPrice"]).quantize(Decimal("0.001"))


def _order(invoice: str, placed_at: str, lines: list[dict[str, str]]) -> dict[str, Any]:
    customers = [line["CustomerID"].removesuffix(".0") for line in lines if line["CustomerID"]]
    return {
        "order_id": invoice,
        "customer_id": min(customers) if customers else None,
        "currency": "GBP",
        "country": lines[0]["Country"],
        "placed_at": placed_at,
        "items": [
            {
                "product_id": line["StockCode"],
                "name": line["Description"] or None,
                "category": None,
                "quantity": int(line["Quantity"]),
                "unit_price": str(_price(line)),
            }
            for line in lines
        ],
        "total": str(sum(int(line["Quantity"]) * _price(line) for line in lines)),
    }
