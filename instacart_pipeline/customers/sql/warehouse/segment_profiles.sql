-- The week's profiles as they are, and which week it is.
SELECT CAST(:dt AS date)                                                  AS as_of,
       segment,
       segment_name,
       customers,
       share,
       mean_age,
       mean_distance_in_km,
       mean_orders,
       mean_items,
       return_rate,
       mean_spend,
       mean_gross_margin,
       mean_days_since_order,
       mean_sessions,
       spend,
       gross_margin
FROM customers_sandbox.segment_profiles
WHERE dt = :dt
