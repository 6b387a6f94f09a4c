-- As the dimension names products, but by what was known on the day.
WITH names AS (
    SELECT product_code,
           description,
           count(*)                                                        AS lines
    FROM retail_warehouse.sales_lines
    WHERE dt <= :dt
      AND is_product
    GROUP BY product_code, description
),
most AS (
    SELECT product_code, max(CASE WHEN description IS NOT NULL THEN lines END) AS lines
    FROM names
    GROUP BY product_code
)
SELECT most.product_code,
       min(names.description)                                              AS description
FROM most
LEFT JOIN names ON names.product_code = most.product_code AND names.lines = most.lines
GROUP BY most.product_code
