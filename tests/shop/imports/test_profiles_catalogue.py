"""Catalogues and customers of shop systems, each in its export's own shape."""

import psycopg

from penstock.ingest.files import advance_import, create_import
from penstock.settings import Settings
from tests.shop.imports.exports import (
    SHOPIFY_CUSTOMERS,
    SHOPIFY_PRODUCTS,
    WOOCOMMERCE_PRODUCTS,
    all_events,
    load,
    skipped,
    written,
)


def test_shopify_products(settings: Settings, connection: psycopg.Connection) -> None:
    rows: list[dict[str, object]] = [
        {"Handle": "tee", "Title": "Tee", "Body (HTML)": "<p>Soft,\n<b>warm</b></p>", "Vendor": "Acme",
         "Type": "Shirts",
         "Option1 Name": "Size", "Option1 Value": "S", "Variant SKU": "TEE-S", "Variant Price": "19.00"},
        {"Handle": "tee", "Option1 Value": "M", "Variant SKU": "TEE-M", "Variant Price": "21.50"},
        {"Handle": "tee", "Image Src": "https://example.com/tee.jpg"},
        {"Handle": "card", "Title": "Card", "Vendor": "Acme", "Variant SKU": "CARD", "Variant Price": "2.00"},
        {"Handle": "card", "Option1 Value": "Large", "Variant Price": "3.00"},
    ]  # fmt: skip
    done = load(settings, "products", written(SHOPIFY_PRODUCTS, rows, line_end="\r\n"))
    assert (done.loaded, done.skipped) == (3, 2)
    names = ("product_id", "name", "category", "unit_price")
    listed = [tuple(payload[name] for name in names) for payload in all_events(connection, "ProductListed")]
    assert listed == [
        ("TEE-S", "Tee", "Shirts", "19.00"), ("TEE-M", "Tee", "Shirts", "21.50"), ("CARD", "Card", None, "2.00"),
    ]  # fmt: skip
    assert skipped(connection) == ["rows: Variant Price is empty", "rows: Variant SKU is empty"]


def test_shopify_customers_are_known_by_the_address_that_orders_have(
    settings: Settings, connection: psycopg.Connection
) -> None:
    rows: list[dict[str, object]] = [
        {"Customer ID": "'7210448301122", "First Name": "Ann", "Last Name": "Lee", "Email": "ann@example.com",
         "Default Address Country Code": "DE", "Total Spent": "49.80", "Total Orders": "1", "Tax Exempt": "no"},
        {"Customer ID": "'7210448301123", "First Name": "Bob", "Email": "bob@example.com"},
        {"Customer ID": "'7210448301124", "First Name": "Cy", "Phone": "'+4930123456"},
    ]  # fmt: skip
    content = written(SHOPIFY_CUSTOMERS, rows)
    created, _ = create_import(settings, "customers", content)
    assert "no column is recognised as registered_at" in str(advance_import(settings, created.id).error)
    done = load(settings, "customers", content, constants={"registered_at": "2026-03-01"})
    assert (done.loaded, done.skipped) == (2, 1)
    names = ("customer_id", "name", "email", "country")
    registered = [tuple(payload[name] for name in names) for payload in all_events(connection, "CustomerRegistered")]
    assert registered == [
        ("ann@example.com", "Ann Lee", "ann@example.com", "DE"), ("bob@example.com", "Bob", "bob@example.com", None),
    ]  # fmt: skip
    assert skipped(connection) == ["rows: Email is empty"]


def test_woocommerce_products(settings: Settings, connection: psycopg.Connection) -> None:
    rows: list[dict[str, object]] = [
        {"ID": "10", "Type": "variable", "SKU": "TEE", "Name": "Tee", "Published": "1", "Categories": "Shirts"},
        {"ID": "11", "Type": "variation", "SKU": "TEE-S", "Name": "Tee - S", "Regular price": "19", "Parent": "TEE"},
        {"ID": "12", "Type": "simple", "Name": "Card", "Regular price": "2.50", "Categories": "Paper, Paper > Cards"},
        {"ID": "13", "Type": "grouped", "SKU": "SET", "Name": "Set"},
    ]
    done = load(settings, "products", written(WOOCOMMERCE_PRODUCTS, rows))
    names = ("product_id", "name", "category", "unit_price")
    listed = [tuple(payload[name] for name in names) for payload in all_events(connection, "ProductListed")]
    assert listed == [("TEE-S", "Tee - S", None, "19"), ("12", "Card", "Paper, Paper > Cards", "2.50")]
    assert (done.skipped, skipped(connection)) == (2, ["rows: Type is 'variable'", "rows: Type is 'grouped'"])
