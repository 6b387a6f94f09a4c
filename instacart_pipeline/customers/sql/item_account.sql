-- How the items ordered before the as-of day agree with their orders.
WITH orders AS (
    SELECT order_id,
           user_id,
           status,
           num_of_item
    FROM customers_curated.orders
    WHERE dt = :dt
      AND created_at < CAST(:dt AS timestamp)
),

items AS (
    SELECT item.order_id,
           count(*)                                                 AS items,
           count_if(item.user_id <> orders.user_id)                 AS of_another_user,
           count_if(item.status <> orders.status)                   AS of_another_status,
           count_if(item.status = 'Returned' AND item.returned_at IS NULL) AS returned_undated
    FROM customers_curated.order_items AS item
    JOIN orders ON orders.order_id = item.order_id
    WHERE item.dt = :dt
    GROUP BY item.order_id
)

SELECT count(*)                                                          AS orders,
       CAST(coalesce(sum(items.items), 0) AS bigint)                     AS items,
       CAST(coalesce(sum(items.of_another_user), 0) AS bigint)           AS of_another_user,
       CAST(coalesce(sum(items.of_another_status), 0) AS bigint)         AS of_another_status,
       CAST(coalesce(sum(items.returned_undated), 0) AS bigint)          AS returned_undated,
       count_if(orders.num_of_item <> coalesce(items.items, 0))          AS orders_of_another_count
FROM orders
LEFT JOIN items ON items.order_id = orders.order_id
