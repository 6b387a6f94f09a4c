"""The tables the model lives on: what it is given, and what it says.

Belongs here: contracts only, as in tables.py, which holds those of the daily chain. How a table is made stands in
model_assets.py and in the files below sql/.

Everything is as it was before one order: a user's last one (0 orders back), or an earlier one that serves as a further example.
"""

from __future__ import annotations

from instacart_pipeline.lake.contracts import Column, TableContract
from instacart_pipeline.reorder.model.features import FEATURES
from instacart_pipeline.reorder.tables import FEATURES as ZONE
from instacart_pipeline.reorder.tables import SANDBOX, SYSTEM

MADE_BY = f"{SYSTEM}-model"
_ORDER = Column("order_id", "bigint", "The order that everything else is as it was before.", key=True)
_BACK = "Orders between this one and the user's last one."
_MANY = (0, 1e12)


def _count(name: str, description: str, least: int = 0) -> Column:
    return Column(name, "bigint", description, nullable=False, between=(least, 1e12))


def _number(name: str, description: str, between: tuple[float, float] = _MANY, *, nullable: bool = True) -> Column:
    return Column(name, "double", description, nullable=nullable, between=between)


ORDER_CONTEXT = TableContract(
    database=ZONE,
    name="order_context",
    made_by=MADE_BY,
    description="Every order with its place in its user's history.",
    columns=[
        Column("order_id", "bigint", key=True),
        Column("user_id", "bigint", nullable=False),
        Column("eval_set", "string", nullable=False, one_of=("prior", "train", "test")),
        Column("order_number", "int", nullable=False, between=(1, 10_000)),
        Column("orders_back", "int", _BACK, nullable=False, between=(0, 10_000)),
        Column("order_dow", "int", nullable=False, between=(0, 6)),
        Column("order_hour_of_day", "int", nullable=False, between=(0, 23)),
        Column("days_since_prior_order", "double", between=(0, 30)),
        _number("order_day", "Days since the user's first order, gaps capped at 30.", nullable=False),
        _count("order_gaps", "Gaps that order_day is the sum of."),
        Column("user_bucket", "bigint", "A user's part of a hundred, for good.", nullable=False, between=(0, 99)),
    ],
    unique=(("user_id", "order_number"),),
)

_PAIR = [
    _count("up_orders", "Orders of the user with the product.", 1),
    _number("up_average_cart_position", "Mean position in the cart.", nullable=False),
    _count("up_first_order", "Order number of the first.", 1),
    _count("up_last_order", "Order number of the last.", 1),
    *(_count(f"up_in_last_{k}", f"How many of the last {k} orders had it.") for k in (1, 2, 3, 5, 10)),
    Column("up_streak", "bigint", "Latest orders on end that had it, to 6.", nullable=False, between=(0, 6)),
    _number("up_orders_fading_fast", "Orders with it, each worth 0.6 of the next later one.", nullable=False),
    _number("up_orders_fading", "The same with 0.8.", nullable=False),
    _number("up_orders_fading_slowly", "The same with 0.95.", nullable=False),
    _number("up_orders_fading_in_a_month", "Orders with it, each worth exp(-days ago / 30).", nullable=False),
    _number("up_orders_fading_in_a_season", "The same with 90 days.", nullable=False),
    _number("up_days_since_last_order", "Days since it was last bought, gaps capped at 30.", nullable=False),
    _number("up_days_since_first_order", "Days since it was first bought.", nullable=False),
    _number("up_mean_gap_orders", "Mean orders from one purchase to the next; NULL after a single one."),
    _number("up_mean_gap_days", "Mean days from one purchase to the next; NULL after a single one."),
]

UP_RHYTHM = TableContract(
    database=ZONE,
    name="up_rhythm",
    made_by=MADE_BY,
    description="Each product a user had bought before an order: how often, how lately, how regularly.",
    columns=[
        _ORDER,
        Column("product_id", "bigint", key=True),
        Column("user_id", "bigint", nullable=False),
        Column("orders_back", "int", _BACK, nullable=False, between=(0, 10_000)),
        *_PAIR,
        _count("up_reorders", "Lines that were re-orders."),
        _count("up_on_the_same_day", "Orders with it on the order's own day of the week."),
        _count("up_reorders_in_last_3", "Re-orders in the last 3 orders."),
        _count("up_reorders_in_last_5", "Re-orders in the last 5 orders."),
    ],
)

_USER = [
    _number("user_mean_days_since_prior", "Mean days between orders.", (0, 30)),
    _number("user_period", "Days from the first to the last prior order.", nullable=False),
    _count("user_distinct_products", "Different products bought.", 1),
    _number("user_reorder_ratio", "Share of re-ordered lines after the first order.", (0, 1)),
    _count("user_total_products", "Lines bought.", 1),
    _count("user_orders", "Orders before this one.", 1),
]
_USER_LATELY = [
    _count("user_last_basket", "Lines of the last order."),
    _count("user_last_reorders", "Re-ordered lines of the last order."),
    _number("user_basket_of_last_3", "Lines an order, over the last 3.", nullable=False),
    _number("user_reorders_of_last_3", "Re-ordered lines an order, over the last 3.", nullable=False),
    _number("user_reorders_of_last_5", "Re-ordered lines an order, over the last 5.", nullable=False),
    _count("user_products_bought_again", "Products bought twice or more."),
]
_USER_FADING = [
    _number("user_orders_fading", "Sum of up_orders_fading over the user's products.", nullable=False),
    _number("user_most_fading", "Greatest up_orders_fading of the user's products.", nullable=False),
]

USER_RHYTHM = TableContract(
    database=ZONE,
    name="user_rhythm",
    made_by=MADE_BY,
    description="A user as they were before an order.",
    columns=[_ORDER, *_USER, *_USER_LATELY, *_USER_FADING],
)

_PRODUCT = [
    _count("prod_orders", "Lines with the product.", 1),
    _count("prod_first_orders", "Users who had bought it.", 1),
    _count("prod_second_orders", "Users who had bought it twice or more."),
    _count("prod_in_last_1", "Users who bought it in their last order."),
    _count("prod_in_last_3", "Lines with it in the last 3 orders of each user."),
    _count("prod_reorders_in_last_1", "Users who bought it again in their last order."),
    _number("prod_mean_gap_orders", "Mean orders between purchases, over users who bought it again."),
    _number("prod_mean_gap_days", "Mean days between purchases, over users who bought it again."),
    _number("prod_average_cart_position", "Mean position in the cart.", nullable=False),
    _number("aisle_reorder_ratio", "Share of re-orders among the lines of its aisle.", (0, 1), nullable=False),
    _number("department_reorder_ratio", "The same of its department.", (0, 1), nullable=False),
]

PRD_RHYTHM = TableContract(
    database=ZONE,
    name="prd_rhythm",
    made_by=MADE_BY,
    description="A product over all users, seen from as many orders back for each of them.",
    columns=[
        Column("product_id", "bigint", key=True),
        Column("orders_back", "int", _BACK, key=True, between=(0, 10_000)),
        *_PRODUCT,
        _count("prod_reorders", "Lines that were re-orders."),
        _count("prod_reorders_in_last_3", "Re-orders in the last 3 orders of each user."),
        _count("prod_holders", "Users who had bought it before their last order."),
        _number("prod_mean_orders_fading", "Mean up_orders_fading of those who had bought it.", nullable=False),
    ],
)


def _category(letter: str, name: str) -> list[Column]:
    return [
        _count(f"u{letter}_orders", f"The user's lines of the {name}.", 1),
        _count(f"u{letter}_products", f"Different products of the {name} the user had bought.", 1),
        _count(f"u{letter}_in_last_1", f"Products of the {name} in the last order."),
        _count(f"u{letter}_in_last_3", f"Lines of the {name} in the last 3 orders."),
        _number(f"u{letter}_days_since_last_order", f"Days since the {name} was last bought from.", nullable=False),
    ]


USER_AISLE_RHYTHM = TableContract(
    database=ZONE,
    name="user_aisle_rhythm",
    made_by=MADE_BY,
    description="What a user had bought of each aisle before an order.",
    columns=[_ORDER, Column("aisle_id", "bigint", key=True), *_category("a", "aisle")],
)

USER_DEPARTMENT_RHYTHM = TableContract(
    database=ZONE,
    name="user_department_rhythm",
    made_by=MADE_BY,
    description="What a user had bought of each department before an order.",
    columns=[_ORDER, Column("department_id", "bigint", key=True), *_category("d", "department")],
)

_RATIOS = [
    _number("prod_reorder_probability", "prod_second_orders / prod_first_orders", (0, 1), nullable=False),
    _number("prod_reorder_times", "1 + prod_reorders / prod_first_orders", nullable=False),
    _number("prod_reorder_ratio", "prod_reorders / prod_orders", (0, 1), nullable=False),
    _number("user_average_basket", "user_total_products / user_orders", nullable=False),
    _number("up_order_rate", "up_orders / user_orders", (0, 1), nullable=False),
    _count("up_orders_since_last_order", "user_orders - up_last_order"),
    _number(
        "up_order_rate_since_first_order", "up_orders / (user_orders - up_first_order + 1)", (0, 1), nullable=False
    ),
    _number("up_overdue_orders", "Orders since the last purchase, this one included, in the pair's own mean gaps."),
    _number("up_overdue_days", "Days since the last purchase in the pair's own mean gaps."),
    _number("up_overdue_days_for_product", "Days since the last purchase in the product's mean gaps."),
    _number("up_same_day_ratio", "Share of its orders on the order's own day of the week.", (0, 1), nullable=False),
    _number("up_share_of_fading", "up_orders_fading / user_orders_fading", (0, 1), nullable=False),
    _number("up_fading_against_most", "up_orders_fading / user_most_fading", (0, 1), nullable=False),
    _number("up_fading_against_product", "up_orders_fading / prod_mean_orders_fading", nullable=False),
    _number("user_reorder_share_of_last_3", "user_reorders_of_last_3 / user_distinct_products", nullable=False),
    _number("prod_reorder_share_in_last_1", "prod_reorders_in_last_1 / (prod_holders + 5)", nullable=False),
    _number("prod_reorder_share_in_last_3", "prod_reorders_in_last_3 / (3 prod_holders + 10)", nullable=False),
    _number("up_share_of_aisle", "up_orders / ua_orders", (0, 1), nullable=False),
]
_CONTEXT = [
    Column("orders_back", "int", _BACK, nullable=False, between=(0, 10_000)),
    Column("order_number", "int", "The order's own number.", nullable=False, between=(1, 10_000)),
    Column("order_dow", "int", "The order's own day of the week.", nullable=False, between=(0, 6)),
    Column("order_hour_of_day", "int", "The order's own hour.", nullable=False, between=(0, 23)),
    Column("days_since_prior_order", "double", "The order's own gap.", between=(0, 30)),
    _number("order_days_against_usual", "days_since_prior_order / user_mean_days_since_prior"),
]
_COLUMNS = {
    column.name: column
    for column in (
        *(*_PAIR, *_USER, *_USER_LATELY, *_PRODUCT, *_category("a", "aisle"), *_category("d", "department")),
        *(*_RATIOS, *_CONTEXT),
    )
}
_PAIR_KEY = [
    _ORDER,
    Column("product_id", "bigint", key=True),
    Column("user_id", "bigint", nullable=False),
]

TRAINING_PAIRS = TableContract(
    database=SANDBOX,
    name="training_pairs",
    made_by=MADE_BY,
    description="What the model learns from: an order whose basket is known and a product its user had bought before.",
    columns=[
        *_PAIR_KEY,
        Column("user_bucket", "bigint", "A user's part of a hundred, for good.", nullable=False, between=(0, 99)),
        Column("label", "int", "1 if the order has the product.", nullable=False, between=(0, 1)),
        *(_COLUMNS[name] for name in FEATURES),
    ],
    sorted_by=("user_id",),
)

OPEN_PAIRS = TableContract(
    database=SANDBOX,
    name="open_pairs",
    made_by=MADE_BY,
    description="What the model is asked: an order whose basket is not known and a product its user had bought before.",
    columns=[*_PAIR_KEY, *(_COLUMNS[name] for name in FEATURES)],
    sorted_by=("user_id",),
)

_PROBABILITY = Column("probability", "double", "Of the product being bought.", nullable=False, between=(0, 1))

BASKET_PROBABILITIES = TableContract(
    database=SANDBOX,
    name="basket_probabilities",
    made_by=MADE_BY,
    description="The model's answer for every pair of an open order.",
    columns=[*_PAIR_KEY[:2], _PROBABILITY],
)

PREDICTED_BASKETS = TableContract(
    database=SANDBOX,
    name="predicted_baskets",
    made_by=MADE_BY,
    description="Of every open order the basket with the highest expected F1. An order without a product in it is predicted to re-order nothing.",
    columns=[
        *_PAIR_KEY[:2],
        _PROBABILITY,
        Column("in_basket", "int", "1 if the product is in the predicted basket.", nullable=False, between=(0, 1)),
    ],
    sorted_by=("order_id",),
)

FEATURE_TABLES = (*(ORDER_CONTEXT, UP_RHYTHM, USER_RHYTHM, PRD_RHYTHM, USER_AISLE_RHYTHM, USER_DEPARTMENT_RHYTHM),)
MODEL_TABLES = (*FEATURE_TABLES, TRAINING_PAIRS, OPEN_PAIRS, BASKET_PROBABILITIES, PREDICTED_BASKETS)
