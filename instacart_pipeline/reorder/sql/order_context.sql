-- Every order with its place in its user's history: how many orders back from the last one, and how many days since the first.
-- The bucket parts users for good: a user keeps it from day to day, so whoever is held out of training stays so.
SELECT order_id,
       user_id,
       eval_set,
       order_number,
       max(order_number) OVER (PARTITION BY user_id) - order_number AS orders_back,
       order_dow,
       order_hour_of_day,
       days_since_prior_order,
       sum(coalesce(days_since_prior_order, 0)) OVER (PARTITION BY user_id ORDER BY order_number) AS order_day,
       count(days_since_prior_order) OVER (PARTITION BY user_id ORDER BY order_number) AS order_gaps,
       -- Knuth's multiplicative hash; the first remainder keeps the product within 64 bits.
       CAST(floor(CAST((user_id % 1000003) * 2654435761 % 4294967296 AS double) / 42949672.96) AS bigint) AS user_bucket
FROM reorder_curated.orders
WHERE dt = :dt
