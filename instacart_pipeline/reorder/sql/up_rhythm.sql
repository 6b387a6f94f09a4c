-- Each product a user had bought before an order, seen from that order: how often, how lately, how regularly.
-- The last order of each user is looked at, and :windows orders before it, each with nothing but what came before.
WITH lines AS (
    SELECT target.order_id,
           target.user_id,
           target.orders_back,
           line.product_id,
           line.order_number,
           line.add_to_cart_order,
           line.reordered,
           day.order_day,
           target.order_number - line.order_number                         AS orders_ago,
           target.order_day - day.order_day                                AS days_ago,
           CASE WHEN line.order_dow = target.order_dow THEN 1 ELSE 0 END   AS on_the_same_day
    FROM reorder_curated.order_products_prior AS line
    JOIN reorder_features.order_context AS day ON day.order_id = line.order_id
    JOIN reorder_features.order_context AS target ON target.user_id = line.user_id
    WHERE line.dt = :dt
      AND day.dt = :dt
      AND target.dt = :dt
      AND target.order_number > line.order_number
      AND target.orders_back <= :windows
      AND (target.orders_back = 0 OR target.order_number > 3)  -- too short a history teaches nothing
)
SELECT order_id,
       product_id,
       user_id,
       orders_back,
       count(*)                                                            AS up_orders,
       sum(reordered)                                                      AS up_reorders,
       min(order_number)                                                   AS up_first_order,
       max(order_number)                                                   AS up_last_order,
       avg(add_to_cart_order)                                              AS up_average_cart_position,
       count_if(orders_ago <= 1)                                           AS up_in_last_1,
       count_if(orders_ago <= 2)                                           AS up_in_last_2,
       count_if(orders_ago <= 3)                                           AS up_in_last_3,
       count_if(orders_ago <= 5)                                           AS up_in_last_5,
       count_if(orders_ago <= 10)                                          AS up_in_last_10,
       -- In the last k orders without a gap: each count reaches k only if the one before did.
       CASE WHEN count_if(orders_ago <= 1) = 1 THEN 1 ELSE 0 END
           + CASE WHEN count_if(orders_ago <= 2) = 2 THEN 1 ELSE 0 END
           + CASE WHEN count_if(orders_ago <= 3) = 3 THEN 1 ELSE 0 END
           + CASE WHEN count_if(orders_ago <= 4) = 4 THEN 1 ELSE 0 END
           + CASE WHEN count_if(orders_ago <= 5) = 5 THEN 1 ELSE 0 END
           + CASE WHEN count_if(orders_ago <= 6) = 6 THEN 1 ELSE 0 END     AS up_streak,
       sum(pow(0.6, orders_ago))                                           AS up_orders_fading_fast,
       sum(pow(0.8, orders_ago))                                           AS up_orders_fading,
       sum(pow(0.95, orders_ago))                                          AS up_orders_fading_slowly,
       sum(exp(-days_ago / 30))                                            AS up_orders_fading_in_a_month,
       sum(exp(-days_ago / 90))                                            AS up_orders_fading_in_a_season,
       min(days_ago)                                                       AS up_days_since_last_order,
       max(days_ago)                                                       AS up_days_since_first_order,
       CAST(max(order_number) - min(order_number) AS double) / nullif(count(*) - 1, 0) AS up_mean_gap_orders,
       (max(order_day) - min(order_day)) / nullif(count(*) - 1, 0)         AS up_mean_gap_days,
       sum(on_the_same_day)                                                AS up_on_the_same_day,
       count_if(orders_ago <= 3 AND reordered = 1)                         AS up_reorders_in_last_3,
       count_if(orders_ago <= 5 AND reordered = 1)                         AS up_reorders_in_last_5
FROM lines
GROUP BY order_id, product_id, user_id, orders_back
