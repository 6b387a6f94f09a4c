-- What a user had bought of each department before an order, and how lately.
SELECT pair.order_id,
       catalogue.department_id,
       sum(pair.up_orders)                                                 AS ud_orders,
       count(*)                                                            AS ud_products,
       sum(pair.up_in_last_1)                                              AS ud_in_last_1,
       sum(pair.up_in_last_3)                                              AS ud_in_last_3,
       min(pair.up_days_since_last_order)                                  AS ud_days_since_last_order
FROM reorder_features.up_rhythm AS pair
JOIN reorder_curated.products AS catalogue ON catalogue.product_id = pair.product_id
WHERE pair.dt = :dt
  AND catalogue.dt = :dt
GROUP BY pair.order_id, catalogue.department_id
