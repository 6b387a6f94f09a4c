"""The tables of the retail warehouse: one fact a line, its dimensions, and which sale each cancellation takes back.

Belongs here: contracts only. How a table is loaded stands in warehouse_assets.py and below sql/warehouse/.
"""

from __future__ import annotations

from instacart_pipeline.lake.contracts import MONEY, Column, TableContract
from instacart_pipeline.retail.tables import WAREHOUSE

_CODE = Column(
    "product_code", "string", "The stock code in capitals: 85123a and 85123A are one product.", nullable=False
)

SALES_LINES = TableContract(
    database=WAREHOUSE,
    name="sales_lines",
    description="The fact: one row a line of an invoice, cancellations and corrections as negative amounts.",
    columns=[
        Column("line_id", "string", key=True),
        Column("invoice_no", "string", nullable=False),
        Column("invoice_time", "timestamp", nullable=False),
        Column("sale_date", "date", nullable=False),
        Column("stock_code", "string", nullable=False),
        _CODE,
        Column("description", "string"),
        Column("customer_id", "string", nullable=False),
        Column("country", "string", nullable=False),
        Column("quantity", "int", nullable=False),
        Column("unit_price", MONEY, nullable=False),
        Column("amount", MONEY, nullable=False),
        Column("is_product", "boolean", nullable=False),
        Column("is_cancellation", "boolean", nullable=False),
    ],
)

PRODUCTS = TableContract(
    database=WAREHOUSE,
    name="products",
    description="One row a product code, fees and postage included.",
    columns=[
        Column("product_code", "string", key=True),
        Column("description", "string", "The one written most often; of several the first in the alphabet."),
        Column("is_product", "boolean", nullable=False),
        Column("first_sold", "date", nullable=False),
        Column("last_sold", "date", nullable=False),
    ],
)

CUSTOMERS = TableContract(
    database=WAREHOUSE,
    name="customers",
    description="One row a known customer.",
    columns=[
        Column("customer_id", "string", key=True),
        Column(
            "country", "string", "Of the latest line; of several at once the first in the alphabet.", nullable=False
        ),
        Column("first_invoice", "date", "Of any, cancellations too.", nullable=False),
        Column("last_invoice", "date", nullable=False),
        Column("invoices", "bigint", "Cancellations not counted.", nullable=False),
    ],
)

DATES = TableContract(
    database=WAREHOUSE,
    name="dates",
    description="One row a day that something was sold on, and what it belongs to.",
    columns=[
        Column("sale_date", "date", key=True),
        Column("month", "string", "2011-01", nullable=False),
        Column("quarter", "string", "2011Q1", nullable=False),
        Column("week_start", "date", "The Monday of its week.", nullable=False),
        Column(
            "season",
            "string",
            "Meteorological: winter is December to February.",
            nullable=False,
            one_of=("winter", "spring", "summer", "autumn"),
        ),
    ],
)

CANCELLATIONS = TableContract(
    database=WAREHOUSE,
    name="cancellations",
    description="One row a line of a cancellation, with the sale it takes back: the customer's latest line of that product, not later, with at least "
    "that quantity, one at the same price before any other. Of the same time the last by invoice_no, then line_id. A sale may be taken back in "
    "parts, by several.",
    columns=[
        Column("line_id", "string", key=True),
        Column("invoice_no", "string", nullable=False),
        Column(
            "cancels_line_id", "string", "NULL if there is none: an unknown customer, or sold before the records begin."
        ),
        Column("cancels_invoice_no", "string"),
    ],
)

WAREHOUSE_TABLES = (SALES_LINES, PRODUCTS, CUSTOMERS, DATES, CANCELLATIONS)
