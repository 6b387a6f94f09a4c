-- One row a customer as of the day: who and where, the last year's purchases, and what brings the customer. Who bought nothing has zeros, no rate
-- of returns, and profit level 1.
WITH customers AS (
    SELECT users.id                                             AS user_id,
           users.age,
           users.gender,
           users.country,
           users.state,
           users.created_at                                     AS registered_at,
           nearest.dc_id,
           nearest.nearest_distribution_center,
           nearest.distance_in_km,
           coalesce(bought.orders, 0)                           AS orders,
           coalesce(bought.items, 0)                            AS items,
           coalesce(bought.returns, 0)                          AS returns,
           bought.return_rate,
           coalesce(bought.spend, CAST(0 AS decimal(18, 4)))    AS spend,
           coalesce(bought.refunds, CAST(0 AS decimal(18, 4)))  AS refunds,
           coalesce(bought.gross_margin, CAST(0 AS decimal(18, 4))) AS gross_margin,
           bought.last_order_at,
           coalesce(visited.sessions, 0)                        AS sessions,
           visited.most_traffic_source
    FROM customers_curated.users AS users
    LEFT JOIN customers_features.nearest_centers AS nearest ON nearest.user_id = users.id AND nearest.dt = :dt
    LEFT JOIN customers_features.purchases AS bought ON bought.user_id = users.id AND bought.dt = :dt
    LEFT JOIN customers_features.traffic_sources AS visited ON visited.user_id = users.id AND visited.dt = :dt
    WHERE users.dt = :dt
      AND users.created_at < CAST(:dt AS timestamp)
)

SELECT user_id,
       age,
       gender,
       country,
       state,
       registered_at,
       dc_id,
       nearest_distribution_center,
       distance_in_km,
       orders,
       items,
       returns,
       return_rate,
       spend,
       refunds,
       gross_margin,
       CASE WHEN spend <= 50 THEN 1 WHEN spend < 150 THEN 2 ELSE 3 END           AS profit_level,
       date_diff('day', CAST(last_order_at AS date), CAST(:dt AS date))          AS days_since_order,
       sessions,
       most_traffic_source
FROM customers
