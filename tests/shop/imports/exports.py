"""The headers of shop systems' exports, as the sources in `shop/profiles` have them, and files written with them."""

import csv
import io
from typing import Any, Final

import psycopg

from penstock.ingest.files import Import, advance_import, create_import
from penstock.settings import Settings
from tests.shop.test_one_schema import assert_fits

SHOPIFY_ORDERS: Final = (
    "Name,Email,Financial Status,Paid at,Fulfillment Status,Fulfilled at,Accepts Marketing,Currency,Subtotal,Shipping,"
    "Taxes,Total,Discount Code,Discount Amount,Shipping Method,Created at,Lineitem quantity,Lineitem name,"
    "Lineitem price,Lineitem compare at price,Lineitem sku,Lineitem requires shipping,Lineitem taxable,"
    "Lineitem fulfillment status,Billing Name,Billing Street,Billing Address1,Billing Address2,Billing Company,"
    "Billing City,Billing Zip,Billing Province,Billing Country,Billing Phone,Shipping Name,Shipping Street,"
    "Shipping Address1,Shipping Address2,Shipping Company,Shipping City,Shipping Zip,Shipping Province,"
    "Shipping Country,Shipping Phone,Notes,Note Attributes,Cancelled at,Payment Method,Payment Reference,"
    "Refunded Amount,Vendor,Outstanding Balance,Employee,Location,Device ID,Id,Tags,Risk Level,Source,"
    "Lineitem discount,Tax 1 Name,Tax 1 Value,Phone,Receipt Number,Duties,Billing Province Name,"
    "Shipping Province Name,Payment ID,Payment Terms Name,Next Payment Due At,Payment References"
)
SHOPIFY_PRODUCTS: Final = (
    "Handle,Title,Body (HTML),Vendor,Product Category,Type,Tags,Published,Option1 Name,Option1 Value,Variant SKU,"
    "Variant Grams,Variant Inventory Tracker,Variant Inventory Policy,Variant Fulfillment Service,Variant Price,"
    "Variant Compare At Price,Variant Requires Shipping,Variant Taxable,Variant Barcode,Image Src,Image Position,"
    "Image Alt Text,Gift Card,SEO Title,SEO Description,Variant Image,Variant Weight Unit,Variant Tax Code,"
    "Cost per item,Status"
)
SHOPIFY_CUSTOMERS: Final = (
    "Customer ID,First Name,Last Name,Email,Accepts Email Marketing,Default Address Company,Default Address Address1,"
    "Default Address Address2,Default Address City,Default Address Province Code,Default Address Country Code,"
    "Default Address Zip,Default Address Phone,Phone,Accepts SMS Marketing,Total Spent,Total Orders,Note,Tax Exempt,"
    "Tags"
)
WOOCOMMERCE_ORDERS: Final = (
    "order_id,order_number,order_number_formatted,date,status,shipping_total,shipping_tax_total,fee_total,"
    "fee_tax_total,tax_total,discount_total,order_total,refunded_total,order_currency,payment_method,shipping_method,"
    "customer_id,billing_first_name,billing_last_name,billing_company,billing_email,billing_phone,billing_address_1,"
    "billing_postcode,billing_city,billing_country,shipping_first_name,shipping_address_1,shipping_postcode,"
    "shipping_city,shipping_country,customer_note,item_id,item_product_id,item_name,item_sku,item_quantity,"
    "item_subtotal,item_subtotal_tax,item_total,item_total_tax,item_refunded,item_refunded_qty,item_meta,"
    "shipping_items,fee_items,tax_items,coupon_items,refunds,order_notes,download_permissions"
)
WOOCOMMERCE_PRODUCTS: Final = (
    "ID,Type,SKU,Name,Published,Is featured?,Visibility in catalog,Short description,Description,"
    "Date sale price starts,Date sale price ends,Tax status,Tax class,In stock?,Stock,Low stock amount,"
    "Backorders allowed?,Sold individually?,Weight (kg),Length (cm),Width (cm),Height (cm),Allow customer reviews?,"
    "Purchase note,Sale price,Regular price,Categories,Tags,Shipping class,Images,Parent,Position"
)
ETSY_ITEMS: Final = (
    "Sale Date,Item Name,Buyer,Quantity,Price,Coupon Code,Coupon Details,Discount Amount,Shipping Discount,"
    "Order Shipping,Order Sales Tax,Item Total,Currency,Transaction ID,Listing ID,Date Paid,Date Shipped,Ship Name,"
    "Ship Address1,Ship Address2,Ship City,Ship State,Ship Zipcode,Ship Country,Order ID,Variations,Order Type,"
    "Listings Type,Payment Type,InPerson Discount,InPerson Location,VAT Paid by Buyer,SKU"
)
SQUARE_ITEMS: Final = (
    "Date,Time,Time Zone,Category,Item,Qty,Price Point Name,SKU,Modifiers Applied,Gross Sales,Discounts,Net Sales,Tax,"
    "Transaction ID,Payment ID,Device Name,Notes,Details,Event Type,Location,Dining Option,Customer ID,Customer Name,"
    "Customer Reference ID,Unit,Count,GTIN,Itemization Type,Commission,Employee,Fulfillment Note,Channel,Token,"
    "Card Brand,PAN Suffix"
)
AMAZON_ORDERS: Final = (
    "order-id,order-item-id,purchase-date,payments-date,buyer-email,buyer-name,buyer-phone-number,sku,product-name,"
    "quantity-purchased,currency,item-price,item-tax,shipping-price,shipping-tax,ship-service-level,recipient-name,"
    "ship-address-1,ship-address-2,ship-city,ship-state,ship-postal-code,ship-country,ship-phone-number,"
    "item-promotion-discount,item-promotion-id"
)
AMAZON_ALL_ORDERS: Final = (
    "amazon-order-id,merchant-order-id,purchase-date,last-updated-date,order-status,fulfillment-channel,sales-channel,"
    "order-channel,ship-service-level,product-name,sku,asin,item-status,quantity,currency,item-price,item-tax,"
    "shipping-price,shipping-tax,gift-wrap-price,gift-wrap-tax,item-promotion-discount,ship-promotion-discount,"
    "ship-city,ship-state,ship-postal-code,ship-country,promotion-ids,is-business-order,purchase-order-number,"
    "price-designation"
)
OLIST_ITEMS: Final = "order_id,order_item_id,product_id,seller_id,shipping_limit_date,price,freight_value"
STRIPE_PAYMENTS: Final = (
    "id,Created date (UTC),Amount,Amount Refunded,Currency,Captured,Converted Amount,Converted Amount Refunded,"
    "Converted Currency,Decline Reason,Description,Fee,Is Link,Mode,PaymentIntent ID,Payment Source Type,"
    "Refunded date (UTC),Statement Descriptor,Status,Seller Message,Taxes On Fee,Card ID,Card Brand,Customer ID,"
    "Customer Description,Customer Email,Invoice ID,Transfer,order_id (metadata)"
)

HEADERS: Final = {
    "shopify_orders": SHOPIFY_ORDERS,
    "shopify_products": SHOPIFY_PRODUCTS,
    "shopify_customers": SHOPIFY_CUSTOMERS,
    "woocommerce_orders": WOOCOMMERCE_ORDERS,
    "woocommerce_products": WOOCOMMERCE_PRODUCTS,
    "etsy_order_items": ETSY_ITEMS,
    "square_items": SQUARE_ITEMS,
    "amazon_orders": AMAZON_ORDERS,
    "amazon_all_orders": AMAZON_ALL_ORDERS,
    "olist_order_items": OLIST_ITEMS,
    "stripe_payments": STRIPE_PAYMENTS,
}


def written(header: str, rows: list[dict[str, object]], delimiter: str = ",", line_end: str = "\n") -> bytes:
    """A file with that header; cells that a row does not name are empty."""
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, header.split(","), restval="", delimiter=delimiter, lineterminator=line_end)
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue().encode()


def load(settings: Settings, target: str, content: bytes, **options: Any) -> Import:
    created, _ = create_import(settings, target, content, options=options)
    done = advance_import(settings, created.id)
    assert (done.state, done.error, done.rejected, done.held) == ("completed", None, 0, 0)
    return done


def skipped(connection: psycopg.Connection) -> list[str]:
    rows = connection.execute("select reason from raw.import_rejects where outcome = 'skipped' order by line")
    return [reason for (reason,) in rows.fetchall()]


def all_events(connection: psycopg.Connection, event_type: str) -> list[dict[str, Any]]:
    """The payloads of that type; every event of the store must fit its schema."""
    events = connection.execute("select event_type, payload from public.event_store order by position").fetchall()
    for each, payload in events:
        assert_fits(each, payload)
    return [payload for each, payload in events if each == event_type]


def warned(done: Import) -> dict[str, str]:
    """{column: what it looks like} of the columns that are left out."""
    found = [text.split("'", 2)[1:] for text in done.result.get("warnings", [])]
    return {column: text.split(" looks like ", 1)[1].split(": ")[0] for column, text in found}
