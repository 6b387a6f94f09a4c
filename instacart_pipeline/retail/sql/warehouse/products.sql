-- A product is called what it is called most often: 647 of UCI's codes go by several names.
WITH names AS (
    SELECT product_code,
           description,
           count(*)                                                        AS lines
    FROM retail_warehouse.sales_lines
    WHERE description IS NOT NULL
    GROUP BY product_code, description
),
most AS (
    SELECT product_code, max(lines) AS lines
    FROM names
    GROUP BY product_code
),
called AS (
    SELECT names.product_code, min(names.description) AS description
    FROM names
    JOIN most ON most.product_code = names.product_code AND most.lines = names.lines
    GROUP BY names.product_code
),
sold AS (
    SELECT product_code,
           is_product,
           min(sale_date)                                                  AS first_sold,
           max(sale_date)                                                  AS last_sold
    FROM retail_warehouse.sales_lines
    GROUP BY product_code, is_product
)
SELECT sold.product_code,
       called.description,
       sold.is_product,
       sold.first_sold,
       sold.last_sold
FROM sold
LEFT JOIN called ON called.product_code = sold.product_code
