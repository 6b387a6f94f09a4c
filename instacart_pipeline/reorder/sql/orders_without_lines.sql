-- How many of a day's prior and train orders there are, and how many of them have no line.
SELECT COUNT(*)                                                             AS orders,
       COUNT_IF(o.eval_set = 'prior' AND l.order_id IS NULL)                AS prior_without_lines,
       COUNT_IF(o.eval_set = 'train' AND l.order_id IS NULL)                AS train_without_lines
FROM reorder_curated.orders AS o
LEFT JOIN (
    SELECT DISTINCT order_id
    FROM reorder_curated.order_products
    WHERE dt = :dt
) AS l
    ON l.order_id = o.order_id
WHERE o.dt = :dt
  AND o.eval_set IN ('prior', 'train')
