-- What a user had bought of each aisle before an order, and how lately.
SELECT pair.order_id,
       catalogue.aisle_id,
       sum(pair.up_orders)                                                 AS ua_orders,
       count(*)                                                            AS ua_products,
       sum(pair.up_in_last_1)                                              AS ua_in_last_1,
       sum(pair.up_in_last_3)                                              AS ua_in_last_3,
       min(pair.up_days_since_last_order)                                  AS ua_days_since_last_order
FROM reorder_features.up_rhythm AS pair
JOIN reorder_curated.products AS catalogue ON catalogue.product_id = pair.product_id
WHERE pair.dt = :dt
  AND catalogue.dt = :dt
GROUP BY pair.order_id, catalogue.aisle_id
