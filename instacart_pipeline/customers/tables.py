"""The tables of the customers system in the lake: what each one is.

Belongs here: contracts only. How a table is made stands in assets.py and below sql/. Doesn't: what is made of the mart for analysts
(mart_tables.py).

A table's dt is a Monday, its as-of day: it knows of nothing that happened on that day or later.
"""

from __future__ import annotations

from instacart_pipeline.lake.contracts import MONEY, Column, TableContract

SYSTEM = "customers"
STAGING, CURATED, FEATURES, SANDBOX, WAREHOUSE = (
    f"{SYSTEM}_{zone}" for zone in ("staging", "curated", "features", "sandbox", "warehouse")
)

STATUSES = ("Complete", "Cancelled", "Returned", "Processing", "Shipped")
EVENT_TYPES = ("home", "department", "product", "cart", "purchase", "cancel")
MOST_PRICE = 1_000_000

# What the shop exports, a whole dump a week, by thelook's own names. Its times are UTC, written 2024-07-23 11:09:00 UTC.

STAGED_DISTRIBUTION_CENTERS = TableContract(
    database=STAGING,
    name="distribution_centers",
    description="One row a distribution centre.",
    columns=[
        Column("id", "bigint", key=True),
        Column("name", "string", nullable=False),
        Column("latitude", "double", "Degrees north.", nullable=False, between=(-90, 90)),
        Column("longitude", "double", "Degrees east.", nullable=False, between=(-180, 180)),
    ],
)

STAGED_USERS = TableContract(
    database=STAGING,
    name="users",
    description="One row a customer who registered.",
    columns=[
        Column("id", "bigint", key=True),
        Column("first_name", "string"),
        Column("last_name", "string"),
        Column("email", "string"),
        Column("age", "int", between=(0, 120)),
        Column("gender", "string"),
        Column("state", "string"),
        Column("street_address", "string"),
        Column("postal_code", "string"),
        Column("city", "string"),
        Column("country", "string"),
        Column("latitude", "double", "Degrees north.", between=(-90, 90)),
        Column("longitude", "double", "Degrees east.", between=(-180, 180)),
        Column(
            "traffic_source", "string", "What brought the customer to register; events have a vocabulary of their own."
        ),
        Column("created_at", "timestamp", "When the customer registered, UTC.", nullable=False),
    ],
)

DISTRIBUTION_CENTERS = STAGED_DISTRIBUTION_CENTERS.moved_to(CURATED)
USERS = STAGED_USERS.moved_to(CURATED, sorted_by=("id",))

STAGED_PRODUCTS = TableContract(
    database=STAGING,
    name="products",
    description="One row a product of the catalogue.",
    columns=[
        Column("id", "bigint", key=True),
        Column("cost", "double", "What the shop paid for one, US dollars.", nullable=False, between=(0, MOST_PRICE)),
        Column("category", "string"),
        Column("name", "string"),
        Column("brand", "string"),
        Column("retail_price", "double", "US dollars.", nullable=False, between=(0, MOST_PRICE)),
        Column("department", "string"),
        Column("sku", "string"),
        Column("distribution_center_id", "bigint", nullable=False, references=DISTRIBUTION_CENTERS["id"]),
    ],
)

PRODUCTS = STAGED_PRODUCTS.moved_to(CURATED)

_HAPPENED = [
    Column("created_at", "timestamp", "When it was ordered, UTC.", nullable=False),
    Column("returned_at", "timestamp", "NULL unless it was returned."),
    Column("shipped_at", "timestamp"),
    Column("delivered_at", "timestamp"),
]

STAGED_ORDERS = TableContract(
    database=STAGING,
    name="orders",
    description="One row an order.",
    columns=[
        Column("order_id", "bigint", key=True),
        Column("user_id", "bigint", nullable=False, references=USERS["id"]),
        Column("status", "string", nullable=False, one_of=STATUSES),
        Column("gender", "string"),
        *_HAPPENED,
        Column("num_of_item", "int", "Items ordered.", nullable=False, between=(1, 10_000)),
    ],
)

ORDERS = STAGED_ORDERS.moved_to(CURATED, sorted_by=("user_id",))

STAGED_INVENTORY_ITEMS = TableContract(
    database=STAGING,
    name="inventory_items",
    description="One row a piece that was ever in stock.",
    columns=[
        Column("id", "bigint", key=True),
        Column("product_id", "bigint", nullable=False, references=PRODUCTS["id"]),
        Column("created_at", "timestamp", "When it came into stock, UTC.", nullable=False),
        Column("sold_at", "timestamp", "NULL while it is in stock."),
        Column("cost", "double", "What the shop paid for it, US dollars.", nullable=False, between=(0, MOST_PRICE)),
        Column("product_category", "string"),
        Column("product_name", "string"),
        Column("product_brand", "string"),
        Column("product_retail_price", "double", "US dollars.", between=(0, MOST_PRICE)),
        Column("product_department", "string"),
        Column("product_sku", "string"),
        Column("product_distribution_center_id", "bigint"),
    ],
)

INVENTORY_ITEMS = STAGED_INVENTORY_ITEMS.moved_to(CURATED)

STAGED_ORDER_ITEMS = TableContract(
    database=STAGING,
    name="order_items",
    description="One row a piece that was ordered.",
    columns=[
        Column("id", "bigint", key=True),
        Column("order_id", "bigint", nullable=False, references=ORDERS["order_id"]),
        Column("user_id", "bigint", nullable=False, references=USERS["id"]),
        Column("product_id", "bigint", nullable=False, references=PRODUCTS["id"]),
        Column("inventory_item_id", "bigint", nullable=False, references=INVENTORY_ITEMS["id"]),
        Column("status", "string", nullable=False, one_of=STATUSES),
        *_HAPPENED,
        Column("sale_price", "double", "US dollars.", nullable=False, between=(0, MOST_PRICE)),
    ],
)

ORDER_ITEMS = STAGED_ORDER_ITEMS.moved_to(CURATED, sorted_by=("user_id",))

STAGED_EVENTS = TableContract(
    database=STAGING,
    name="events",
    description="One row a page or action of a visit to the shop's site.",
    columns=[
        Column("id", "bigint", key=True),
        Column("user_id", "bigint", "NULL in a ghost session: nobody had signed in.", references=USERS["id"]),
        Column(
            "sequence_number", "int", "1 for a session's first, counted up.", nullable=False, between=(1, 1_000_000)
        ),
        Column("session_id", "string", nullable=False),
        Column("created_at", "timestamp", "UTC.", nullable=False),
        Column("ip_address", "string"),
        Column("city", "string"),
        Column("state", "string"),
        Column("postal_code", "string"),
        Column("browser", "string"),
        Column("traffic_source", "string", "What brought the visitor this time."),
        Column("uri", "string"),
        Column("event_type", "string", nullable=False, one_of=EVENT_TYPES),
    ],
)

EVENTS = STAGED_EVENTS.moved_to(CURATED)

STAGED = (
    STAGED_DISTRIBUTION_CENTERS,
    STAGED_USERS,
    STAGED_PRODUCTS,
    STAGED_ORDERS,
    STAGED_INVENTORY_ITEMS,
    STAGED_ORDER_ITEMS,
    STAGED_EVENTS,
)
CURATED_TABLES = dict(
    zip(
        STAGED,
        (DISTRIBUTION_CENTERS, USERS, PRODUCTS, ORDERS, INVENTORY_ITEMS, ORDER_ITEMS, EVENTS),
        strict=True,
    )
)
"""The curated table that each staged table's good rows go to."""

# Derived tables: each a part of what the mart says of a customer. Customers are the users who registered before the as-of day.

NEAREST_CENTERS = TableContract(
    database=FEATURES,
    name="nearest_centers",
    description="The distribution centre nearest to each customer whose place is known.",
    columns=[
        Column("user_id", "bigint", key=True),
        Column("dc_id", "bigint", "Of several at the same distance, to two decimals, the lowest id.", nullable=False),
        Column("nearest_distribution_center", "string", "Its name.", nullable=False),
        Column(
            "distance_in_km",
            "double",
            "Great-circle distance by the haversine formula on a sphere of 6,371 km, to two decimals.",
            nullable=False,
            between=(0, 20_016),
        ),
    ],
)

# A year's purchases, as columns of two tables.
_PURCHASES = [
    Column(
        "orders", "bigint", "Orders of the last year with anything not cancelled.", nullable=False, between=(0, 1e9)
    ),
    Column(
        "items",
        "bigint",
        "Items bought in the last year: ordered in it and not cancelled.",
        nullable=False,
        between=(0, 1e9),
    ),
    Column("returns", "bigint", "Of these items, those returned by the as-of day.", nullable=False, between=(0, 1e9)),
    Column("return_rate", "double", "returns / items; NULL without items.", between=(0, 1)),
    Column(
        "spend",
        MONEY,
        "Sale prices of the items bought in the last year, US dollars, those returned later too: what profit_level goes by.",
        nullable=False,
        between=(0, 1e12),
    ),
    Column(
        "refunds",
        MONEY,
        "Sale prices of those returned. spend - refunds is the revenue.",
        nullable=False,
        between=(0, 1e12),
    ),
    Column(
        "gross_margin",
        MONEY,
        "spend - refunds - what the shop paid for the items that were kept. Revenue is not profit: this is what is earned.",
        nullable=False,
    ),
]

PURCHASES = TableContract(
    database=FEATURES,
    name="purchases",
    description="What each customer bought in the year before the as-of day; customers who bought anything in it only.",
    columns=[
        Column("user_id", "bigint", key=True),
        *_PURCHASES,
        Column("last_order_at", "timestamp", "When the latest of these items was ordered, UTC.", nullable=False),
    ],
)

TRAFFIC_SOURCES = TableContract(
    database=FEATURES,
    name="traffic_sources",
    description="What brings each customer to the site most often, of all events before the as-of day; customers with events only.",
    columns=[
        Column("user_id", "bigint", key=True),
        Column(
            "most_traffic_source",
            "string",
            "Of the most events; of several, that of the latest event; of several at once, the first in the alphabet. NULL if no event says.",
        ),
        Column("sessions", "bigint", "Sessions with any event.", nullable=False, between=(1, 1e12)),
        Column("events", "bigint", nullable=False, between=(1, 1e12)),
    ],
)

CUSTOMERS = TableContract(
    database=FEATURES,
    name="customers",
    description="One row a customer: who and where, what was bought in the last year, and what brings the customer. What segments are made of.",
    columns=[
        Column("user_id", "bigint", key=True),
        Column("age", "int", between=(0, 120)),
        Column("gender", "string"),
        Column("country", "string"),
        Column("state", "string"),
        Column("registered_at", "timestamp", "UTC.", nullable=False),
        Column("dc_id", "bigint", "NULL if the customer's place is not known."),
        Column("nearest_distribution_center", "string"),
        Column("distance_in_km", "double", "See nearest_centers.", between=(0, 20_016)),
        *_PURCHASES,
        Column(
            "profit_level",
            "int",
            "By spend: 1 up to and with 50, 2 below 150, 3 from 150. 1 without any.",
            nullable=False,
            between=(1, 3),
        ),
        Column(
            "days_since_order",
            "int",
            "Days from the day of the last year's latest order to the as-of day; NULL without one.",
            between=(1, 366),
        ),
        Column(
            "sessions", "bigint", "Sessions on the site before the as-of day, ever.", nullable=False, between=(0, 1e12)
        ),
        Column("most_traffic_source", "string", "See traffic_sources; NULL without events."),
    ],
    sorted_by=("user_id",),
)

DERIVED = (NEAREST_CENTERS, PURCHASES, TRAFFIC_SOURCES, CUSTOMERS)
