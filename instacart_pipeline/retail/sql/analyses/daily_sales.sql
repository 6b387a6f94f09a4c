-- What the dashboard adds up: so few rows that it needs no warehouse to do so.
SELECT sale_date,
       country,
       sum(amount)                                                         AS revenue,
       sum(quantity)                                                       AS quantity,
       count(*)                                                            AS lines,
       count(DISTINCT CASE WHEN NOT is_cancellation THEN invoice_no END)   AS invoices
FROM retail_warehouse.sales_lines
WHERE dt <= :dt
GROUP BY sale_date, country
