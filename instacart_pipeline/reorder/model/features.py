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
