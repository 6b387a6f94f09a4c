-- Known customers alone.
SELECT sale_date,
       country,
       customer_id,
       sum(amount)                                                         AS revenue,
       count(DISTINCT CASE WHEN NOT is_cancellation THEN invoice_no END)   AS invoices
FROM retail_warehouse.sales_lines
WHERE dt <= :dt
  AND customer_id <> 'unknown'
GROUP BY sale_date, country, customer_id
