-- The labels: what was bought in the target order, of the users whose basket is known.
SELECT orders.order_id,
       orders.user_id,
       'train' AS eval_set,  -- by the condition below; a constant is not carried through join and sort
       orders.order_number,
       orders.order_dow,
       orders.order_hour_of_day,
       orders.days_since_prior_order,
       lines.product_id,
       lines.add_to_cart_order,
       lines.reordered
FROM reorder_curated.order_products AS lines
JOIN reorder_curated.orders AS orders ON orders.order_id = lines.order_id
WHERE lines.dt = :dt
  AND orders.dt = :dt
  AND orders.eval_set = 'train'
