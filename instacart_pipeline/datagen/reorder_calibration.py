"""Figures measured on real grocery baskets, and the behaviour constants tuned until the generated ones agree.

Belongs here: aggregate statistics (histograms, shares, quantiles) and model constants. Doesn't: any row of a data set,
and the model itself (reorder_people.py, reorder_catalogue.py).
"""

from __future__ import annotations

FULL_USERS = 206_209
FULL_PRODUCTS = 49_688
SMALLEST_USERS = 20
SMALLEST_PRODUCTS = 500
TRAIN_SHARE = 131_209 / 206_209
"""Share of users whose target order has its basket in the upload (train); the others' is hidden (test)."""

MOST_ORDERS = 100
GAP_CAP = 30

# ---------------------------------------------------------------- when people order

ORDERS_AT_LEAST: tuple[tuple[int, float], ...] = (
    (4, 1.0),
    (5, 0.8837),
    (6, 0.7887),
    (7, 0.7103),
    (8, 0.6431),
    (9, 0.5864),
    (10, 0.5382),
    (12, 0.458),
    (15, 0.370),
    (20, 0.268),
    (25, 0.193),
    (35, 0.107),
    (50, 0.0518),
    (70, 0.0222),
    (86, 0.0115),
    (100, 0.0066),
)
"""(n, share of users with n orders or more), log-linear in between. Mean 16.6."""

ORDER_CLASSES = (4, 6, 9, 14, 22, 35, 60, 99, 100)
"""Upper ends of the classes of orders a user, one a row of PACE_BY_ORDERS."""

PACE_BY_ORDERS: tuple[tuple[float, ...], ...] = (
    (0.014, 0.020, 0.017, 0.049, 0.071, 0.167, 0.116, 0.183, 0.363),
    (0.004, 0.008, 0.030, 0.049, 0.079, 0.154, 0.174, 0.221, 0.281),
    (0.008, 0.022, 0.035, 0.059, 0.107, 0.132, 0.204, 0.269, 0.163),
    (0.013, 0.011, 0.032, 0.063, 0.114, 0.230, 0.277, 0.215, 0.046),
    (0.009, 0.014, 0.062, 0.082, 0.167, 0.384, 0.259, 0.023, 0.001),
    (0.007, 0.004, 0.076, 0.160, 0.465, 0.280, 0.007, 0.001, 0.001),
    (0.016, 0.059, 0.299, 0.423, 0.198, 0.001, 0.001, 0.001, 0.001),
    (0.105, 0.532, 0.360, 0.003, 0.000, 0.000, 0.000, 0.000, 0.000),
    (0.880, 0.110, 0.010, 0.000, 0.000, 0.000, 0.000, 0.000, 0.000),
)
"""Shares of the nine paces (rows of GAPS_BY_PACE, quickest first) among users of each class of orders."""

# fmt: off
GAPS_BY_PACE: tuple[tuple[int, ...], ...] = (
    (82, 211, 263, 180, 116, 65, 30, 19, 10, 4, 4, 2, 4, 1, 0, 1, 2, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 3),
    (35, 102, 165, 178, 157, 120, 72, 70, 30, 18, 10, 9, 7, 4, 3, 3, 2, 2, 2, 1, 1, 1, 0, 1, 0, 0, 0, 0, 1, 1, 3),
    (21, 61, 90, 115, 128, 118, 114, 129, 64, 33, 28, 17, 15, 11, 8, 8, 7, 5, 4, 2, 2, 2, 2, 1, 1, 1, 1, 1, 1, 1, 9),
    (19, 35, 44, 67, 77, 88, 115, 175, 88, 45, 37, 29, 23, 25, 29, 15, 10, 10, 8, 7, 6, 8, 6, 2, 3, 4, 2, 1, 2, 1, 17),
    (14, 25, 35, 44, 56, 61, 84, 140, 81, 60, 44, 38, 36, 32, 43, 25, 18, 16, 13, 12,
     10, 15, 9, 7, 4, 6, 4, 5, 6, 3, 55),
    (12, 15, 24, 30, 37, 42, 58, 83, 62, 47, 40, 36, 38, 42, 52, 34, 27, 20, 20, 19,
     23, 28, 15, 11, 10, 10, 9, 8, 10, 8, 129),
    (8, 14, 12, 13, 23, 26, 38, 54, 41, 34, 31, 26, 29, 34, 53, 39, 27, 21, 20, 21,
     24, 28, 26, 21, 12, 16, 14, 16, 16, 14, 249),
    (6, 4, 7, 9, 10, 17, 23, 33, 22, 18, 15, 18, 22, 29, 44, 23, 21, 21, 19, 21,
     22, 31, 25, 15, 16, 17, 16, 21, 24, 15, 416),
    (1, 0, 1, 2, 1, 2, 5, 10, 5, 5, 5, 5, 9, 10, 16, 13, 12, 9, 12, 17, 20, 22, 20, 17, 11, 19, 18, 19, 32, 23, 657),
)
# fmt: on
"""Parts per thousand of the gaps 0, 1, ... 29, 30-or-more days, a row a pace."""

LONG_GAP_EXTRA_DAYS = 18.0
"""Mean of what a gap of 30 or more days lasts beyond 30. The files never show it: they cap at 30."""

DAY_OF_WEEK = (0.178, 0.170, 0.136, 0.130, 0.123, 0.133, 0.130)
"""Share of orders by order_dow. 0 is Saturday."""

DAY_LIKING = 1.0
"""Exponent on DAY_OF_WEEK where a gap may land; a whole week's gaps repeat the day anyway."""

# fmt: off
HOURS: tuple[tuple[float, ...], tuple[float, ...]] = (
    (5.1, 3.1, 1.9, 1.6, 1.6, 1.8, 6.8, 23.8, 49.4, 75.9, 85.3, 87.5, 84.4, 88.0, 85.2, 86.9,
     79.3, 66.4, 50.1, 38.4, 28.9, 21.8, 17.6, 9.2),
    (5.7, 2.8, 2.1, 1.5, 2.0, 3.2, 11.3, 27.8, 52.0, 74.8, 83.2, 85.2, 80.4, 82.0, 80.8, 78.6,
     77.5, 67.9, 58.3, 42.9, 30.0, 22.4, 16.7, 11.0),
)
# fmt: on
"""Orders by hour, parts per thousand: at the weekend, on working days."""

SAME_HOUR_AGAIN = 0.05
"""Chance that an order is placed in the very hour of the user's last one, above what the histogram gives."""

# ---------------------------------------------------------------- what is on the shelves

LINES_BY_RANK: tuple[tuple[int, float], ...] = (
    (1, 0.0146),
    (2, 0.0263),
    (5, 0.0464),
    (10, 0.0713),
    (20, 0.0999),
    (50, 0.1630),
    (100, 0.2268),
    (200, 0.3015),
    (497, 0.4200),
    (1000, 0.5300),
    (2000, 0.6500),
    (4969, 0.8065),
    (10000, 0.9070),
    (20000, 0.9720),
    (30000, 0.9910),
    (49688, 1.0),
)
"""(k, share of all lines that are of the k best-selling products)."""

DISTINCT_PRODUCTS_A_USER = 64.5
HEAD_STEEPNESS = 1.08
"""Exponent on the wish for a product; above 1 the best sellers gain."""

RANK_BINS = (0, 50, 200, 500, 1000, 2000, 5000, 10000, 20000, FULL_PRODUCTS)
"""Edges of the sales-rank bins that DEPARTMENTS counts products in."""

HABIT_BY_RANK: tuple[tuple[float, float], ...] = (
    (1, 1.1),
    (3, 0.7),
    (12, 0.25),
    (35, -0.10),
    (100, -0.45),
    (350, -0.73),
    (750, -0.82),
    (1500, -0.91),
    (3500, -1.01),
    (7500, -1.14),
    (15000, -1.27),
    (35000, -1.52),
)
"""(sales rank, what is added to the department's habit): best sellers are bought again more. Logits."""

HABIT_SATURATES = 0.8
HABIT_BEYOND = 0.55
"""Above the first, only this part of a product's habit shows in its share of re-orders. Logits."""

HABIT_SPREAD = 0.40
"""Standard deviation of products' habit around department and rank. Logits."""

# ---------------------------------------------------------------- how people shop

BASKET_MEAN = 10.5
BASKET_BY_ORDERS = ((4, 1.06), (10, 1.05), (18, 1.08), (35, 1.06), (60, 0.93), (100, 0.88))
"""(orders of a user, factor on the mean basket)."""

USER_BASKET_SHAPE = 4.2
ORDER_BASKET_SHAPE = 6.0
"""Gamma shapes: how much users differ in basket size, and a user's orders among themselves."""

TOP_UP_SHARE = 0.105
TOP_UP_SIZE = 0.18
"""Some orders only top up: how many, and how large they are against the user's usual basket."""

NEW_SHARE_SECOND_ORDER = 0.655
NEW_SHARE_DECAY = 0.445
"""Share of never-bought products in order t: the first times (t / 2) to the minus second, before people differ."""

LOYALTY_BY_ORDERS = 0.22
"""How much less users with more orders try, per log of their number of orders: logits."""

LOYALTY_BY_SIZE = 0.12
"""How much larger the share of re-orders is in a larger order, per log of size: logits."""

ERRAND_SHARE = 0.1
ERRAND_BY_SIZE = 0.9
ERRAND_HABIT = 0.05
"""Some orders are for something else, guests say: how many, how much rarer larger ones are (a power of size), and how
much of the usual re-orders they hold."""

LOYALTY_SPREAD = 0.75
ORDER_MOOD_SPREAD = 0.95
"""Standard deviations of the logit of that share: between users, and between one user's orders."""

DEPARTMENT_TASTE = 0.6
AISLE_TASTE = 0.9
"""Standard deviations of the log of how much more a user likes a department, an aisle within it."""

HABIT_WEIGHT = 1.15
PAIR_SPREAD = 1.25
"""Log-odds a pair gains per logit of its product's habit; its own standard deviation."""

ONE_OFF_MIDDLE = 0.45
ONE_OFF_SLOPE = 0.22
ONE_OFF_LEFT = 0.09
"""One-off purchases: their share at habit 0, how much it falls per logit, and the strength that is left of the wish."""

CORE_MIDDLE = 2.8
CORE_SLOPE = 1.3
CORE_STRENGTH = 17.0
CORE_CYCLE = 0.4
"""Some pairs become core habits, in nearly every basket: minus the logit of their share at habit 0, what a logit of
habit adds to it, and the factors on strength and cycle."""

DROP_CHANCE = 0.07
DROP_LEFT = 0.04
"""After each purchase a habit may be dropped: how likely, and the strength that is left of it."""

CYCLE_LOG = 0.9
CYCLE_SLOPE = -0.7
CYCLE_SPREAD = 0.5
"""Log of a pair's cycle in user-mean gaps: at habit 0, per logit of habit, its standard deviation."""

FADE = 0.02
"""How fast a habit long overdue fades, per squared cycle."""

CART_RATE_KNOWN = 1.5
CART_RATE_BY_CHANCE = 0.7
"""How quickly a known product goes into the cart, against 1 for a new one: at least, and more the likelier it was."""
