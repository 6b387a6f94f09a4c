"""The features the model is given, by name and in order.

Belongs here: names only. What each means stands in tables.py, how it is computed in sql/. Free of imports, as it is part of the
code that trains and serves.
"""

ORIGINAL = (
    *("up_orders", "user_mean_days_since_prior", "user_period", "user_distinct_products", "user_reorder_ratio"),
    *(
        "user_total_products",
        "up_average_cart_position",
        "up_first_order",
        "user_orders",
        "up_last_order",
        "prod_orders",
    ),
    *("prod_reorder_probability", "prod_reorder_times", "prod_reorder_ratio", "user_average_basket", "up_order_rate"),
    *("up_orders_since_last_order", "up_order_rate_since_first_order"),
)
"""The eighteen numbers of the original endpoint, in the order of its CSV body."""

ORIGINAL_THRESHOLD = 0.21
"""The probability above which the original calls a product likely to be bought."""

FEATURES = (
    *ORIGINAL,
    *("orders_back", "up_in_last_1", "up_in_last_2", "up_in_last_3", "up_in_last_5", "up_in_last_10"),
    *("up_streak", "up_orders_fading_fast", "up_orders_fading", "up_orders_fading_slowly"),
    *("up_orders_fading_in_a_month", "up_orders_fading_in_a_season", "up_days_since_last_order"),
    *("up_days_since_first_order", "up_mean_gap_orders", "up_mean_gap_days", "up_overdue_orders"),
    *("up_overdue_days", "up_same_day_ratio", "user_last_basket", "user_last_reorders", "user_basket_of_last_3"),
    *("user_reorders_of_last_3", "user_reorders_of_last_5", "user_products_bought_again", "prod_first_orders"),
    *("prod_second_orders", "prod_in_last_1", "prod_in_last_3", "prod_reorders_in_last_1"),
    *("prod_mean_gap_orders", "prod_mean_gap_days", "prod_average_cart_position", "up_overdue_days_for_product"),
    *("aisle_reorder_ratio", "department_reorder_ratio", "ua_orders", "ua_products", "ua_in_last_1"),
    *("ua_in_last_3", "ua_days_since_last_order", "up_share_of_aisle", "ud_orders", "ud_products"),
    *("ud_in_last_1", "ud_in_last_3", "ud_days_since_last_order", "order_number", "order_dow"),
    *("order_hour_of_day", "days_since_prior_order", "order_days_against_usual", "up_share_of_fading"),
    *("up_fading_against_most", "up_fading_against_product", "user_reorder_share_of_last_3"),
    *("prod_reorder_share_in_last_1", "prod_reorder_share_in_last_3"),
)
"""All that the model is given, in the order of its CSV body: the original's first."""
