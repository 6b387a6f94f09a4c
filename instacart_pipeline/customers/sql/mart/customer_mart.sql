-- Each customer's figures beside the segment. A customer without one would break the contract, rather than be left out.
SELECT customers.user_id,
       customers.age,
       customers.gender,
       customers.country,
       customers.state,
       customers.registered_at,
       customers.dc_id,
       customers.nearest_distribution_center,
       customers.distance_in_km,
       customers.orders,
       customers.items,
       customers.returns,
       customers.return_rate,
       customers.spend,
       customers.refunds,
       customers.gross_margin,
       customers.profit_level,
       customers.days_since_order,
       customers.sessions,
       customers.most_traffic_source,
       segments.segment,
       segments.segment_name
FROM customers_features.customers AS customers
LEFT JOIN customers_sandbox.customer_segments AS segments
  ON segments.user_id = customers.user_id
 AND segments.dt = :dt
WHERE customers.dt = :dt
