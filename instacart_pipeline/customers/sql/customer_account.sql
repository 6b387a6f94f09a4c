-- How the customers who registered before the as-of day compare with the rows of customers: each is meant to have one row, and nobody else any.
WITH counted AS (
    SELECT id AS user_id,
           1  AS registered,
           0  AS listed
    FROM customers_curated.users
    WHERE dt = :dt
      AND created_at < CAST(:dt AS timestamp)
    UNION ALL
    SELECT user_id, 0, 1
    FROM customers_features.customers
    WHERE dt = :dt
),

by_user AS (
    SELECT user_id,
           sum(registered) AS registered,
           sum(listed)     AS listed
    FROM counted
    GROUP BY user_id
)

SELECT count_if(registered > 0)                AS registered,
       count_if(registered > 0 AND listed = 1) AS listed_once,
       count_if(registered > 0 AND listed = 0) AS missing,
       count_if(listed > 1)                    AS doubled,
       count_if(registered = 0)                AS strangers
FROM by_user
