-- What the model is given: an order and a product its user had bought before, with everything known before the order, and the order's
-- own context. :open takes the orders whose basket is not known yet; of the others the label says whether the product was bought.
SELECT pair.order_id,
       pair.product_id,
       pair.user_id,
       target.user_bucket,
       CASE WHEN line.product_id IS NULL THEN 0 ELSE 1 END                 AS label,
       pair.orders_back,
       -- the eighteen of the result table, as they were before the order
       pair.up_orders,
       u.user_mean_days_since_prior,
       u.user_period,
       u.user_distinct_products,
       u.user_reorder_ratio,
       u.user_total_products,
       pair.up_average_cart_position,
       pair.up_first_order,
       u.user_orders,
       pair.up_last_order,
       prd.prod_orders,
       CAST(prd.prod_second_orders AS double) / prd.prod_first_orders      AS prod_reorder_probability,
       1 + CAST(prd.prod_reorders AS double) / prd.prod_first_orders       AS prod_reorder_times,
       CAST(prd.prod_reorders AS double) / prd.prod_orders                 AS prod_reorder_ratio,
       CAST(u.user_total_products AS double) / u.user_orders               AS user_average_basket,
       CAST(pair.up_orders AS double) / u.user_orders                      AS up_order_rate,
       u.user_orders - pair.up_last_order                                  AS up_orders_since_last_order,
       CAST(pair.up_orders AS double) / (u.user_orders - pair.up_first_order + 1) AS up_order_rate_since_first_order,
       -- the pair's recency and rhythm
       pair.up_in_last_1,
       pair.up_in_last_2,
       pair.up_in_last_3,
       pair.up_in_last_5,
       pair.up_in_last_10,
       pair.up_streak,
       pair.up_orders_fading_fast,
       pair.up_orders_fading,
       pair.up_orders_fading_slowly,
       pair.up_orders_fading_in_a_month,
       pair.up_orders_fading_in_a_season,
       pair.up_days_since_last_order,
       pair.up_days_since_first_order,
       pair.up_mean_gap_orders,
       pair.up_mean_gap_days,
       CAST(u.user_orders - pair.up_last_order + 1 AS double) / pair.up_mean_gap_orders AS up_overdue_orders,
       pair.up_days_since_last_order / nullif(pair.up_mean_gap_days, 0)    AS up_overdue_days,
       CAST(pair.up_on_the_same_day AS double) / pair.up_orders            AS up_same_day_ratio,
       pair.up_orders_fading / u.user_orders_fading                        AS up_share_of_fading,
       pair.up_orders_fading / u.user_most_fading                          AS up_fading_against_most,
       pair.up_orders_fading / prd.prod_mean_orders_fading                 AS up_fading_against_product,
       -- the user's latest baskets
       u.user_last_basket,
       u.user_last_reorders,
       u.user_basket_of_last_3,
       u.user_reorders_of_last_3,
       u.user_reorders_of_last_5,
       u.user_products_bought_again,
       u.user_reorders_of_last_3 / u.user_distinct_products                AS user_reorder_share_of_last_3,
       -- the product, its aisle and department
       prd.prod_first_orders,
       prd.prod_second_orders,
       prd.prod_in_last_1,
       prd.prod_in_last_3,
       prd.prod_reorders_in_last_1,
       -- of those who had bought it before their last orders, how many bought it again; drawn to 0 where they are few
       CAST(prd.prod_reorders_in_last_1 AS double) / (prd.prod_holders + 5) AS prod_reorder_share_in_last_1,
       CAST(prd.prod_reorders_in_last_3 AS double) / (3 * prd.prod_holders + 10) AS prod_reorder_share_in_last_3,
       prd.prod_mean_gap_orders,
       prd.prod_mean_gap_days,
       prd.prod_average_cart_position,
       pair.up_days_since_last_order / nullif(prd.prod_mean_gap_days, 0)   AS up_overdue_days_for_product,
       prd.aisle_reorder_ratio,
       prd.department_reorder_ratio,
       ua.ua_orders,
       ua.ua_products,
       ua.ua_in_last_1,
       ua.ua_in_last_3,
       ua.ua_days_since_last_order,
       CAST(pair.up_orders AS double) / ua.ua_orders                       AS up_share_of_aisle,
       ud.ud_orders,
       ud.ud_products,
       ud.ud_in_last_1,
       ud.ud_in_last_3,
       ud.ud_days_since_last_order,
       -- the order's own context
       target.order_number,
       target.order_dow,
       target.order_hour_of_day,
       target.days_since_prior_order,
       target.days_since_prior_order / nullif(u.user_mean_days_since_prior, 0) AS order_days_against_usual
FROM reorder_features.up_rhythm AS pair
JOIN reorder_features.order_context AS target ON target.order_id = pair.order_id
JOIN reorder_features.user_rhythm AS u ON u.order_id = pair.order_id
JOIN reorder_features.prd_rhythm AS prd ON prd.product_id = pair.product_id AND prd.orders_back = pair.orders_back
JOIN reorder_curated.products AS catalogue ON catalogue.product_id = pair.product_id
JOIN reorder_features.user_aisle_rhythm AS ua ON ua.order_id = pair.order_id AND ua.aisle_id = catalogue.aisle_id
JOIN reorder_features.user_department_rhythm AS ud
    ON ud.order_id = pair.order_id AND ud.department_id = catalogue.department_id
LEFT JOIN reorder_curated.order_products AS line
    ON line.order_id = pair.order_id AND line.product_id = pair.product_id AND line.dt = :dt
WHERE pair.dt = :dt
  AND target.dt = :dt
  AND u.dt = :dt
  AND prd.dt = :dt
  AND catalogue.dt = :dt
  AND ua.dt = :dt
  AND ud.dt = :dt
  AND CASE WHEN target.eval_set = 'test' THEN 1 ELSE 0 END = :open
