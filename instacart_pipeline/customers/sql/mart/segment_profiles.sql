-- How the customers of each segment are on average. Sums are exact, of whole numbers and decimals, and divided once:
-- so a mean doesn't depend on the order that an engine adds up in.
WITH everyone AS (
    SELECT count(*)                                                        AS customers
    FROM customers_sandbox.customer_mart
    WHERE dt = :dt
),
segments AS (
    SELECT segment,
           segment_name,
           count(*)                                                        AS customers,
           sum(age)                                                        AS ages,
           count(age)                                                      AS aged,
           -- Distances have two decimals.
           sum(CAST(distance_in_km AS decimal(18, 4)))                     AS distances,
           count(distance_in_km)                                           AS placed,
           sum(orders)                                                     AS orders,
           sum(items)                                                      AS items,
           sum(returns)                                                    AS returns,
           sum(spend)                                                      AS spend,
           sum(gross_margin)                                               AS gross_margin,
           sum(days_since_order)                                           AS days,
           count(days_since_order)                                         AS buyers,
           sum(sessions)                                                   AS sessions
    FROM customers_sandbox.customer_mart
    WHERE dt = :dt
    GROUP BY segment, segment_name
)
SELECT segments.segment,
       segments.segment_name,
       segments.customers,
       CAST(segments.customers AS double) / everyone.customers             AS share,
       CAST(segments.ages AS double) / nullif(segments.aged, 0)            AS mean_age,
       CAST(segments.distances AS double) / nullif(segments.placed, 0)     AS mean_distance_in_km,
       CAST(segments.orders AS double) / segments.customers                AS mean_orders,
       CAST(segments.items AS double) / segments.customers                 AS mean_items,
       CAST(segments.returns AS double) / nullif(segments.items, 0)        AS return_rate,
       CAST(segments.spend AS double) / segments.customers                 AS mean_spend,
       CAST(segments.gross_margin AS double) / segments.customers          AS mean_gross_margin,
       CAST(segments.days AS double) / nullif(segments.buyers, 0)          AS mean_days_since_order,
       CAST(segments.sessions AS double) / segments.customers              AS mean_sessions,
       segments.spend,
       segments.gross_margin
FROM segments
CROSS JOIN everyone
