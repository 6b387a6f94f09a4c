-- What each customer bought in the year up to the as-of day: items ordered from :since on and before :dt, and not cancelled. An item counts as
-- returned once it was, before the as-of day. Prices come as floats; as decimals their sums are exact, in whatever order they are taken.
WITH bought AS (
    SELECT item.user_id,
           item.order_id,
           item.created_at,
           CAST(item.sale_price AS decimal(18, 4)) AS price,
           CAST(piece.cost AS decimal(18, 4))      AS cost,
           CASE
               WHEN item.status = 'Returned' AND item.returned_at < CAST(:dt AS timestamp) THEN 1
               ELSE 0
           END AS returned
    FROM customers_curated.order_items AS item
    JOIN customers_curated.inventory_items AS piece ON piece.id = item.inventory_item_id
    JOIN customers_curated.users AS customer ON customer.id = item.user_id
    WHERE item.dt = :dt
      AND piece.dt = :dt
      AND customer.dt = :dt
      AND customer.created_at < CAST(:dt AS timestamp)
      AND item.created_at >= CAST(:since AS timestamp)
      AND item.created_at < CAST(:dt AS timestamp)
      AND item.status <> 'Cancelled'
)

SELECT user_id,
       count(DISTINCT order_id)                       AS orders,
       count(*)                                       AS items,
       CAST(sum(returned) AS bigint)                  AS returns,
       CAST(sum(returned) AS double) / count(*)       AS return_rate,
       CAST(sum(price) AS decimal(18, 4))             AS spend,
       CAST(sum(CASE WHEN returned = 1 THEN price ELSE CAST(0 AS decimal(18, 4)) END) AS decimal(18, 4))        AS refunds,
       CAST(sum(CASE WHEN returned = 1 THEN CAST(0 AS decimal(18, 4)) ELSE price - cost END) AS decimal(18, 4)) AS gross_margin,
       max(created_at)                                AS last_order_at
FROM bought
GROUP BY user_id
