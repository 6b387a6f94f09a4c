"""The customer mart and the segments: what analysts and the warehouse read.

Belongs here: contracts only. How a table is made stands in segment_assets.py and mart_assets.py, and below sql/.
"""

from __future__ import annotations

from instacart_pipeline.customers.tables import CUSTOMERS, SANDBOX, WAREHOUSE
from instacart_pipeline.lake.contracts import MONEY, Column, TableContract

_SEGMENT = [
    Column(
        "segment",
        "int",
        "1 are those who bought nothing in the last year; from 2 on by mean spend.",
        nullable=False,
        between=(1, 100),
    ),
    Column("segment_name", "string", "What sets the segment apart, in words.", nullable=False),
]

CUSTOMER_SEGMENTS = TableContract(
    database=SANDBOX,
    name="customer_segments",
    description="The segment that each customer is in.",
    columns=[
        Column("user_id", "bigint", key=True),
        *_SEGMENT,
        Column(
            "distance_to_center",
            "double",
            "From the segment's centre, in standard deviations of the scaled features. NULL in the segment of those who bought nothing, which has none.",
            between=(0, 1e6),
        ),
    ],
)

CUSTOMER_MART = TableContract(
    database=SANDBOX,
    name="customer_mart",
    description="One row a customer, as of the day dt: place, last year's purchases, returns and profit level, traffic source and segment.",
    columns=[*CUSTOMERS.columns, *_SEGMENT],
    sorted_by=("user_id",),
)

SEGMENT_PROFILES = TableContract(
    database=SANDBOX,
    name="segment_profiles",
    description="One row a segment: how many are in it, and how they are on average.",
    columns=[
        Column("segment", "int", key=True, between=(1, 100)),
        Column("segment_name", "string", nullable=False),
        Column("customers", "bigint", nullable=False, between=(1, 1e12)),
        Column("share", "double", "Of all customers.", nullable=False, between=(0, 1)),
        Column("mean_age", "double"),
        Column("mean_distance_in_km", "double"),
        Column("mean_orders", "double", nullable=False),
        Column("mean_items", "double", nullable=False),
        Column("return_rate", "double", "Returns of all by items of all; NULL without items.", between=(0, 1)),
        Column("mean_spend", "double", nullable=False),
        Column("mean_gross_margin", "double", nullable=False),
        Column("mean_days_since_order", "double", "Of those who ordered in the last year."),
        Column("mean_sessions", "double", nullable=False),
        Column("spend", MONEY, "Of all together.", nullable=False),
        Column("gross_margin", MONEY, "Of all together.", nullable=False),
    ],
)

MART_TABLES = (CUSTOMER_SEGMENTS, CUSTOMER_MART, SEGMENT_PROFILES)

# A table of the warehouse is one for all weeks, whose rows no two may share a key: so the week is a part of it.
_AS_OF = Column("as_of", "date", "The Monday that the row is told as of.", key=True)
WAREHOUSE_MART = CUSTOMER_MART.moved_to(WAREHOUSE, columns=[_AS_OF, *CUSTOMER_MART.columns], sorted_by=())
WAREHOUSE_PROFILES = SEGMENT_PROFILES.moved_to(WAREHOUSE, columns=[_AS_OF, *SEGMENT_PROFILES.columns])
WAREHOUSE_TABLES = (WAREHOUSE_MART, WAREHOUSE_PROFILES)
