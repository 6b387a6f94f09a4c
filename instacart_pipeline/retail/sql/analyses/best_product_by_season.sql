-- Net of cancellations, else a product that was ordered and cancelled on one day is the winter's best; products alone, else postage is the autumn's.
WITH sales AS (
    SELECT dates.season,
           lines.product_code,
           sum(lines.amount)                                               AS revenue,
           sum(lines.quantity)                                             AS quantity
    FROM retail_warehouse.sales_lines AS lines
    LEFT JOIN retail_warehouse.dates AS dates ON dates.sale_date = lines.sale_date
    WHERE lines.dt <= :dt
      AND lines.is_product
    GROUP BY dates.season, lines.product_code
),
ranked AS (
    SELECT season,
           product_code,
           revenue,
           quantity,
           row_number() OVER (PARTITION BY season ORDER BY revenue DESC NULLS LAST, product_code NULLS LAST) AS place
    FROM sales
),
best AS (
    SELECT season, product_code, revenue, quantity
    FROM ranked
    WHERE place = 1
),
-- What they were called most often by the day.
names AS (
    SELECT product_code,
           description,
           count(*)                                                        AS lines
    FROM retail_warehouse.sales_lines
    WHERE dt <= :dt
      AND description IS NOT NULL
    GROUP BY product_code, description
),
most AS (
    SELECT product_code, max(lines) AS lines
    FROM names
    GROUP BY product_code
)
SELECT best.season,
       best.product_code,
       min(names.description)                                              AS description,
       best.revenue,
       best.quantity
FROM best
LEFT JOIN most ON most.product_code = best.product_code
LEFT JOIN names ON names.product_code = most.product_code AND names.lines = most.lines
GROUP BY best.season, best.product_code, best.revenue, best.quantity
