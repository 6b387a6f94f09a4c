-- Products alone: postage and fees are no product's sales.
SELECT sale_date,
       country,
       product_code,
       sum(amount)                                                         AS revenue,
       sum(quantity)                                                       AS quantity
FROM retail_warehouse.sales_lines
WHERE dt <= :dt
  AND is_product
GROUP BY sale_date, country, product_code
