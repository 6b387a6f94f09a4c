-- When the latest thing happened that a week's dump tells of, before the as-of day; NULL if nothing did.
WITH happened AS (
    SELECT max(created_at) AS latest
    FROM customers_curated.orders
    WHERE dt = :dt
      AND created_at < CAST(:dt AS timestamp)
    UNION ALL
    SELECT max(created_at)
    FROM customers_curated.events
    WHERE dt = :dt
      AND created_at < CAST(:dt AS timestamp)
)

SELECT max(latest) AS latest
FROM happened
