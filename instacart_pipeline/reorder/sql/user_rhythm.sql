-- A user as they were before an order: how much, how variedly, how often, and how the latest baskets compare.
SELECT pair.order_id,
       CAST(max(target.order_number) - 1 AS bigint)                        AS user_orders,
       max(target.order_day) - coalesce(max(target.days_since_prior_order), 0) AS user_period,
       -- The gaps before the target's own: NULL when there was none.
       (max(target.order_day) - coalesce(max(target.days_since_prior_order), 0))
           / nullif(max(target.order_gaps) - CASE WHEN max(target.days_since_prior_order) IS NULL THEN 0 ELSE 1 END, 0)
                                                                           AS user_mean_days_since_prior,
       sum(pair.up_orders)                                                 AS user_total_products,
       count(*)                                                            AS user_distinct_products,
       CAST(sum(pair.up_reorders) AS double)
           / nullif(sum(pair.up_orders) - count_if(pair.up_first_order = 1), 0) AS user_reorder_ratio,
       sum(pair.up_in_last_1)                                              AS user_last_basket,
       count_if(pair.up_in_last_1 = 1 AND pair.up_orders > 1)              AS user_last_reorders,
       CAST(sum(pair.up_in_last_3) AS double) / 3                          AS user_basket_of_last_3,
       CAST(sum(pair.up_reorders_in_last_3) AS double) / 3                 AS user_reorders_of_last_3,
       CAST(sum(pair.up_reorders_in_last_5) AS double) / 5                 AS user_reorders_of_last_5,
       count_if(pair.up_orders > 1)                                        AS user_products_bought_again,
       sum(pair.up_orders_fading)                                          AS user_orders_fading,
       max(pair.up_orders_fading)                                          AS user_most_fading
FROM reorder_features.up_rhythm AS pair
JOIN reorder_features.order_context AS target ON target.order_id = pair.order_id
WHERE pair.dt = :dt
  AND target.dt = :dt
GROUP BY pair.order_id
