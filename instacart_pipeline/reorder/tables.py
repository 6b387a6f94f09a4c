"""The tables of the reorder system: what each one is.

Belongs here: contracts only. How a table is made stands in assets.py and in the files below sql/, recipes/ and spark/.
"""

from __future__ import annotations

from dataclasses import replace

from instacart_pipeline.lake.contracts import Column, TableContract

SYSTEM = "reorder"
STAGING, CURATED, FEATURES, SANDBOX = (f"{SYSTEM}_{zone}" for zone in ("staging", "curated", "features", "sandbox"))

# What the shop exports, a whole dump a day. Kept as text files in staging, held to these contracts on the way to curated.

STAGED_AISLES = TableContract(
    database=STAGING,
    name="aisles",
    description="One row an aisle of the shop.",
    columns=[Column("aisle_id", "bigint", key=True), Column("aisle", "string", nullable=False)],
)

STAGED_DEPARTMENTS = TableContract(
    database=STAGING,
    name="departments",
    description="One row a department of the shop.",
    columns=[Column("department_id", "bigint", key=True), Column("department", "string", nullable=False)],
)

AISLES = STAGED_AISLES.moved_to(CURATED)
DEPARTMENTS = STAGED_DEPARTMENTS.moved_to(CURATED)

STAGED_PRODUCTS = TableContract(
    database=STAGING,
    name="products",
    description="One row a product of the catalogue.",
    columns=[
        Column("product_id", "bigint", key=True),
        Column("product_name", "string", nullable=False),
        Column("aisle_id", "bigint", nullable=False, references=AISLES["aisle_id"]),
        Column("department_id", "bigint", nullable=False, references=DEPARTMENTS["department_id"]),
    ],
)

STAGED_ORDERS = TableContract(
    database=STAGING,
    name="orders",
    description="One row an order; a user's last one is the target (train or test), the others are history (prior).",
    columns=[
        Column("order_id", "bigint", key=True),
        Column("user_id", "bigint", nullable=False),
        Column("eval_set", "string", nullable=False, one_of=("prior", "train", "test")),
        Column("order_number", "int", "1 for a user's first order, counted up.", nullable=False, between=(1, 10_000)),
        Column("order_dow", "int", "Day of the week, 0 to 6.", nullable=False, between=(0, 6)),
        Column("order_hour_of_day", "int", nullable=False, between=(0, 23)),
        Column(
            "days_since_prior_order",
            "double",
            "Capped at 30; NULL on a user's first order.",
            between=(0, 30),
        ),
    ],
    unique=(("user_id", "order_number"),),
)

PRODUCTS = STAGED_PRODUCTS.moved_to(CURATED)
ORDERS = STAGED_ORDERS.moved_to(CURATED)

STAGED_ORDER_PRODUCTS = TableContract(
    database=STAGING,
    name="order_products",
    description="One row a line of an order, of prior and train orders alike.",
    parts=("prior", "train"),
    columns=[
        Column("order_id", "bigint", key=True, references=ORDERS["order_id"]),
        Column("product_id", "bigint", key=True, references=PRODUCTS["product_id"]),
        Column("add_to_cart_order", "int", "Position in the cart, from 1.", nullable=False, between=(1, 10_000)),
        Column(
            "reordered",
            "int",
            "1 if the user had bought the product in an earlier order.",
            nullable=False,
            between=(0, 1),
        ),
    ],
)

ORDER_PRODUCTS = STAGED_ORDER_PRODUCTS.moved_to(CURATED)

STAGED = (STAGED_AISLES, STAGED_DEPARTMENTS, STAGED_PRODUCTS, STAGED_ORDERS, STAGED_ORDER_PRODUCTS)
CURATED_TABLES = {staged: staged.moved_to(CURATED) for staged in STAGED}
"""The curated table that each staged table's good rows go to."""

# Derived tables.

# A line is named by its user, product and order number: the rule that numbering a user's purchases of a product stands on.
# (order_id, product_id) names it as well, since an order has one user and number; ORDERS and ORDER_PRODUCTS hold that.
# Foreign keys were held when the lines were ingested.
_LINE_KEY = ("user_id", "product_id", "order_number")
_LINE_COLUMNS = [
    replace(column, key=column.name in _LINE_KEY, nullable=column.nullable and not column.key, references=None)
    for column in (*ORDERS.columns, *ORDER_PRODUCTS.columns[1:])
]

ORDER_PRODUCTS_PRIOR = TableContract(
    database=CURATED,
    name="order_products_prior",
    description="The lines of prior orders, each with its order's columns: what every feature is computed from.",
    columns=_LINE_COLUMNS,
    sorted_by=("user_id",),
)

ORDER_PRODUCTS_TRAIN = TableContract(
    database=CURATED,
    name="order_products_train",
    description="The train labels: the lines of train orders, with their order's columns.",
    columns=_LINE_COLUMNS,
    sorted_by=("user_id",),
)

USER_FEATURES_1 = TableContract(
    database=FEATURES,
    name="user_features_1",
    description="How many prior orders a user has and how far apart they lie.",
    columns=[
        Column("user_id", "bigint", key=True),
        Column("user_orders", "bigint", "Number of prior orders.", nullable=False, between=(1, 10_000)),
        Column("user_period", "double", "Days from the first to the last prior order, gaps capped at 30."),
        Column("user_mean_days_since_prior", "double", "Mean days between prior orders.", between=(0, 30)),
    ],
)

USER_FEATURES_2 = TableContract(
    database=FEATURES,
    name="user_features_2",
    description="How much and how variedly a user buys, and how much of it again.",
    columns=[
        Column("user_id", "bigint", key=True),
        Column("user_total_products", "bigint", "Lines bought.", nullable=False, between=(1, 1e9)),
        Column("user_distinct_products", "bigint", "Different products bought.", nullable=False, between=(1, 1e9)),
        Column(
            "user_reorder_ratio",
            "double",
            "Share of re-ordered lines after the first order; NULL when there are none.",
            between=(0, 1),
        ),
    ],
)

UP_FEATURES = TableContract(
    database=FEATURES,
    name="up_features",
    description="How often, since when and at what cart position each user buys each product.",
    columns=[
        Column("user_id", "bigint", key=True),
        Column("product_id", "bigint", key=True),
        Column("up_orders", "bigint", "Orders of the user with the product.", nullable=False, between=(1, 10_000)),
        Column("up_first_order", "bigint", "Order number of the first.", nullable=False, between=(1, 10_000)),
        Column("up_last_order", "bigint", "Order number of the last.", nullable=False, between=(1, 10_000)),
        Column("up_average_cart_position", "double", "Mean position in the cart.", nullable=False, between=(1, 10_000)),
    ],
)

PRD_FEATURES = TableContract(
    database=FEATURES,
    name="prd_features",
    description="How often a product is bought, and how often again.",
    columns=[
        Column("product_id", "bigint", key=True),
        Column("prod_orders", "bigint", "Lines with the product.", nullable=False, between=(1, 1e12)),
        Column("prod_reorders", "bigint", "Lines that were re-orders.", nullable=False, between=(0, 1e12)),
        Column("prod_first_orders", "bigint", "Users who bought it once or more.", nullable=False, between=(1, 1e12)),
        Column("prod_second_orders", "bigint", "Users who bought it twice or more.", nullable=False, between=(0, 1e12)),
    ],
)

RESULT_TABLE = TableContract(
    database=SANDBOX,
    name="result_table",
    description="Every user and product they have bought, with all features: what the model is trained on.",
    columns=[
        *UP_FEATURES.columns,
        *(c for c in USER_FEATURES_1.columns if not c.key),
        *(c for c in USER_FEATURES_2.columns if not c.key),
        *(c for c in PRD_FEATURES.columns if not c.key),
        Column("prod_reorder_probability", "double", "prod_second_orders / prod_first_orders", between=(0, 1)),
        Column("prod_reorder_times", "double", "1 + prod_reorders / prod_first_orders", between=(1, 1e12)),
        Column("prod_reorder_ratio", "double", "prod_reorders / prod_orders", between=(0, 1)),
        Column("user_average_basket", "double", "user_total_products / user_orders", between=(0, 1e9)),
        Column("up_order_rate", "double", "up_orders / user_orders", between=(0, 1)),
        Column("up_orders_since_last_order", "bigint", "user_orders - up_last_order", between=(0, 10_000)),
        Column(
            "up_order_rate_since_first_order",
            "double",
            "up_orders / (user_orders - up_first_order + 1)",
            between=(0, 1),
        ),
    ],
)

DERIVED = (
    ORDER_PRODUCTS_PRIOR,
    ORDER_PRODUCTS_TRAIN,
    USER_FEATURES_1,
    USER_FEATURES_2,
    UP_FEATURES,
    PRD_FEATURES,
    RESULT_TABLE,
)
TABLES = (*STAGED, *CURATED_TABLES.values(), *DERIVED)
