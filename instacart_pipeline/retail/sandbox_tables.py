"""The retail analyses: result tables for analysts, each day of them as of that day.

Belongs here: contracts only. How a table is made stands in analysis_assets.py and below sql/analyses/. All amounts are net: cancellations and
corrections count as they are written, with negative amounts.
"""

from __future__ import annotations

from instacart_pipeline.lake.contracts import MONEY, Column, TableContract
from instacart_pipeline.retail.tables import SANDBOX

_REVENUE = Column("revenue", MONEY, "Net, in pounds sterling.", nullable=False)
_QUANTITY = Column("quantity", "bigint", "Pieces, net.", nullable=False)
_LINES = Column("lines", "bigint", nullable=False)
_INVOICES = Column("invoices", "bigint", "Cancellations not counted.", nullable=False)

MONTHLY_REVENUE = TableContract(
    database=SANDBOX,
    name="monthly_revenue",
    description="Net revenue by month: everything on the invoices, postage and fees included.",
    columns=[Column("month", "string", "2011-01", key=True), _REVENUE],
    sorted_by=("month",),
)

QUARTERLY_REVENUE = TableContract(
    database=SANDBOX,
    name="quarterly_revenue",
    description="Net revenue by quarter: everything on the invoices, postage and fees included.",
    columns=[Column("quarter", "string", "2011Q1", key=True), _REVENUE],
    sorted_by=("quarter",),
)

WEEKLY_SALES = TableContract(
    database=SANDBOX,
    name="weekly_sales",
    description="Net revenue, pieces and invoices by week; a week in which nothing was sold has no row.",
    columns=[Column("week_start", "date", "The Monday.", key=True), _REVENUE, _QUANTITY, _INVOICES],
    sorted_by=("week_start",),
)

BEST_PRODUCT_BY_SEASON = TableContract(
    database=SANDBOX,
    name="best_product_by_season",
    description="The product with the highest net revenue of each meteorological season, all years together: what was cancelled does not count, "
    "nor postage and fees. Of equals the first product code. A sale that was taken back under another code (M, manual) counts: the records don't link the two.",
    columns=[
        Column("season", "string", key=True, one_of=("winter", "spring", "summer", "autumn")),
        Column("product_code", "string", nullable=False),
        Column("description", "string"),
        _REVENUE,
        _QUANTITY,
    ],
)

TOP_CUSTOMERS = TableContract(
    database=SANDBOX,
    name="top_customers",
    description="The hundred known customers with the highest net revenue.",
    columns=[
        Column("rank", "int", "1 is the highest; of equals the first customer_id.", key=True, between=(1, 100)),
        Column("customer_id", "string", nullable=False),
        Column("country", "string", "Of the latest line by the day.", nullable=False),
        _REVENUE,
        _INVOICES,
    ],
    unique=(("customer_id",),),
    sorted_by=("rank",),
)

REVENUE_BY_COUNTRY = TableContract(
    database=SANDBOX,
    name="revenue_by_country",
    description="Every country, the highest net revenue first.",
    columns=[
        Column("rank", "int", "1 is the highest; of equals the first in the alphabet.", key=True),
        Column("country", "string", nullable=False),
        _REVENUE,
        _LINES,
        _INVOICES,
        Column("customers", "bigint", "Known ones.", nullable=False),
    ],
    unique=(("country",),),
    sorted_by=("rank",),
)

# What the dashboard adds up for any country and dates.

_BY_DAY = [Column("sale_date", "date", key=True), Column("country", "string", key=True)]

DAILY_SALES = TableContract(
    database=SANDBOX,
    name="daily_sales",
    description="Net sales by day and country.",
    columns=[*_BY_DAY, _REVENUE, _QUANTITY, _LINES, _INVOICES],
    sorted_by=("sale_date", "country"),
)

DAILY_PRODUCT_SALES = TableContract(
    database=SANDBOX,
    name="daily_product_sales",
    description="Net sales of products, no postage and fees, by day and country.",
    columns=[*_BY_DAY, Column("product_code", "string", key=True), _REVENUE, _QUANTITY],
    sorted_by=("sale_date", "country", "product_code"),
)

DAILY_CUSTOMER_SALES = TableContract(
    database=SANDBOX,
    name="daily_customer_sales",
    description="Net sales to known customers, by day and country.",
    columns=[*_BY_DAY, Column("customer_id", "string", key=True), _REVENUE, _INVOICES],
    sorted_by=("sale_date", "country", "customer_id"),
)

PRODUCTS_SOLD = TableContract(
    database=SANDBOX,
    name="products_sold",
    description="The products, and what they were called most often by the day; of several the first in the alphabet.",
    columns=[Column("product_code", "string", key=True), Column("description", "string")],
    sorted_by=("product_code",),
)

ANALYSES = (MONTHLY_REVENUE, QUARTERLY_REVENUE, WEEKLY_SALES, BEST_PRODUCT_BY_SEASON, TOP_CUSTOMERS, REVENUE_BY_COUNTRY)
DASHBOARD = (DAILY_SALES, DAILY_PRODUCT_SALES, DAILY_CUSTOMER_SALES, PRODUCTS_SOLD)
SANDBOX_TABLES = (*ANALYSES, *DASHBOARD)
