-- How the customers compare with the rows of customer_segments: each is meant to be in one segment, and nobody else in any.
WITH counted AS (
    SELECT user_id,
           1 AS known,
           0 AS placed
    FROM customers_features.customers
    WHERE dt = :dt
    UNION ALL
    SELECT user_id, 0, 1
    FROM customers_sandbox.customer_segments
    WHERE dt = :dt
),

by_user AS (
    SELECT user_id,
           sum(known)  AS known,
           sum(placed) AS placed
    FROM counted
    GROUP BY user_id
)

SELECT count_if(known > 0)                AS customers,
       count_if(known > 0 AND placed = 1) AS placed_once,
       count_if(known > 0 AND placed = 0) AS missing,
       count_if(placed > 1)               AS doubled,
       count_if(known = 0)                AS strangers
FROM by_user
