-- The last year's spend and items, counted twice: as customers has them, and from the curated items alone, by the statuses that are a purchase.
WITH listed AS (
    SELECT sum(spend) AS spend,
           sum(items) AS items
    FROM customers_features.customers
    WHERE dt = :dt
),

sold AS (
    SELECT sum(CAST(sale_price AS decimal(18, 4))) AS spend,
           count(*)                                AS items
    FROM customers_curated.order_items
    WHERE dt = :dt
      AND status IN ('Complete', 'Returned', 'Processing', 'Shipped')
      AND CAST(created_at AS date) >= CAST(:since AS date)
      AND CAST(created_at AS date) < CAST(:dt AS date)
      AND user_id IN (
          SELECT id
          FROM customers_curated.users
          WHERE dt = :dt
            AND CAST(created_at AS date) < CAST(:dt AS date)
      )
)

SELECT CAST(coalesce(listed.spend, CAST(0 AS decimal(18, 4))) AS decimal(18, 4)) AS spend,
       CAST(coalesce(listed.items, 0) AS bigint)                                 AS items,
       CAST(coalesce(sold.spend, CAST(0 AS decimal(18, 4))) AS decimal(18, 4))   AS sold_for,
       sold.items                                                                AS sold
FROM listed
CROSS JOIN sold
