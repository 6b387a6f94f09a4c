-- Every (user, product) pair with the features of the pair, the user and the product, and the ratios between them.
SELECT up.user_id,
       up.product_id,
       up.up_orders,
       up.up_first_order,
       up.up_last_order,
       up.up_average_cart_position,
       u1.user_orders,
       u1.user_period,
       u1.user_mean_days_since_prior,
       u2.user_total_products,
       u2.user_distinct_products,
       u2.user_reorder_ratio,
       prd.prod_orders,
       prd.prod_reorders,
       prd.prod_first_orders,
       prd.prod_second_orders,
       CAST(prd.prod_second_orders AS double) / prd.prod_first_orders            AS prod_reorder_probability,
       1 + CAST(prd.prod_reorders AS double) / prd.prod_first_orders             AS prod_reorder_times,
       CAST(prd.prod_reorders AS double) / prd.prod_orders                       AS prod_reorder_ratio,
       CAST(u2.user_total_products AS double) / u1.user_orders                   AS user_average_basket,
       CAST(up.up_orders AS double) / u1.user_orders                             AS up_order_rate,
       u1.user_orders - up.up_last_order                                         AS up_orders_since_last_order,
       -- The pair's chances to be bought: the orders from its first one on, that one included.
       CAST(up.up_orders AS double) / (u1.user_orders - up.up_first_order + 1)   AS up_order_rate_since_first_order
FROM reorder_features.up_features AS up
JOIN reorder_features.user_features_1 AS u1 ON u1.user_id = up.user_id
JOIN reorder_features.user_features_2 AS u2 ON u2.user_id = up.user_id
JOIN reorder_features.prd_features AS prd ON prd.product_id = up.product_id
WHERE up.dt = :dt
  AND u1.dt = :dt
  AND u2.dt = :dt
  AND prd.dt = :dt
