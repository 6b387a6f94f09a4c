-- A day that the dimension lacks would make a week NULL, which the contract refuses; by an inner join its sales would vanish.
SELECT dates.week_start,
       sum(lines.amount)                                                   AS revenue,
       sum(lines.quantity)                                                 AS quantity,
       count(DISTINCT CASE WHEN NOT lines.is_cancellation THEN lines.invoice_no END) AS invoices
FROM retail_warehouse.sales_lines AS lines
LEFT JOIN retail_warehouse.dates AS dates ON dates.sale_date = lines.sale_date
WHERE lines.dt <= :dt
GROUP BY dates.week_start
