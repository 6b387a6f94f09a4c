"""The tables of the retail system in the lake: what each one is.

Belongs here: contracts only. How a table is made stands in assets.py and below sql/. Doesn't: the warehouse's tables (warehouse_tables.py),
the lookup tables (lookups.py).
"""

from __future__ import annotations

from instacart_pipeline.lake.contracts import MONEY, Column, TableContract

SYSTEM = "retail"
STAGING, CURATED, SANDBOX, WAREHOUSE = (f"{SYSTEM}_{zone}" for zone in ("staging", "curated", "sandbox", "warehouse"))

MOST_PIECES, MOST_PRICE = 1_000_000, 100_000
"""The largest quantity and unit price, either way: ten times, and more than twice, those of UCI's lines. An amount is 100 billion at most, so
that only a thousand lines of that size together are too much for a sum of amounts, of 14 digits before the point."""

# Column names as a crawler gives them to UCI Online Retail's own header: InvoiceNo, StockCode, ... What is part of a key must fit in one.
_AS_SENT = [
    Column(
        "invoiceno",
        "string",
        "Starts with C on a cancellation, with A on an adjustment of bad debt.",
        nullable=False,
        longest=64,
    ),
    Column(
        "stockcode",
        "string",
        "A product's starts with five digits; others are postage, fees, corrections.",
        nullable=False,
        longest=64,
    ),
    Column("description", "string", longest=1000),
    Column(
        "quantity",
        "int",
        "Below 0 on a cancelled or corrected line.",
        nullable=False,
        between=(-MOST_PIECES, MOST_PIECES),
    ),
    Column("invoicedate", "timestamp", "The shop's local time.", nullable=False),
    Column(
        "unitprice",
        MONEY,
        "Pounds sterling; below 0 on an adjustment of bad debt.",
        nullable=False,
        between=(-MOST_PRICE, MOST_PRICE),
    ),
    Column(
        "customerid",
        "string",
        "Empty where the customer is not known; written 17850.0 in the original files.",
        longest=64,
    ),
    Column("country", "string", nullable=False, longest=64),
]

STAGED_UPLOADS = TableContract(
    database=STAGING,
    name="uploaded_lines",
    description="A day's lines of invoices, as a file of them was uploaded.",
    columns=_AS_SENT,
)

STAGED_STREAM = TableContract(
    database=STAGING,
    name="streamed_lines",
    description="A day's lines of invoices, as they came by the stream: at least once each.",
    columns=[
        *_AS_SENT,
        Column(
            "repeat",
            "int",
            "1 for the first of an invoice's lines that are alike in everything, counted up.",
            nullable=False,
            between=(1, 1_000_000),
        ),
    ],
)

STAGED = (STAGED_UPLOADS, STAGED_STREAM)
"""What a day's lines come by: either or both."""

UPLOADED_LINES, STREAMED_LINES = (staged.moved_to(CURATED) for staged in STAGED)
CURATED_TABLES = dict(zip(STAGED, (UPLOADED_LINES, STREAMED_LINES), strict=True))

UNKNOWN = "unknown"
"""The customer_id of lines whose customer is not known."""

TRANSACTIONS = TableContract(
    database=CURATED,
    name="transactions",
    description="One row a line of an invoice, cleaned, whichever way or ways it came by.",
    columns=[
        Column(
            "line_id",
            "string",
            "Digest of what the line says, and which repeat of it this is (docs/decisions/0013).",
            key=True,
        ),
        Column("invoice_no", "string", nullable=False),
        Column("stock_code", "string", nullable=False),
        Column("description", "string", "Without blanks at its ends; NULL if there is none."),
        Column("quantity", "int", nullable=False),
        Column("invoice_time", "timestamp", "The shop's local time; on the day dt.", nullable=False),
        Column("unit_price", MONEY, nullable=False),
        Column("amount", MONEY, "quantity x unit_price.", nullable=False),
        Column("customer_id", "string", f"'{UNKNOWN}' where it isn't known.", nullable=False),
        Column("country", "string", nullable=False),
        Column(
            "is_product",
            "boolean",
            "The stock code starts with five digits: no postage, fee or correction.",
            nullable=False,
        ),
        Column("is_cancellation", "boolean", "The invoice number starts with C.", nullable=False),
        Column(
            "repeat",
            "int",
            "1 for the first of an invoice's lines that are alike in everything, counted up.",
            nullable=False,
        ),
        Column("came_by", "string", nullable=False, one_of=("upload", "stream", "both")),
    ],
    sorted_by=("invoice_time", "invoice_no", "line_id"),
)
