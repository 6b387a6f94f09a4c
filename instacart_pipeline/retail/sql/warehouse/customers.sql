-- A customer lives where the latest invoice says: eight of UCI's have had several countries.
WITH known AS (
    SELECT customer_id,
           min(sale_date)                                                  AS first_invoice,
           max(sale_date)                                                  AS last_invoice,
           max(invoice_time)                                               AS latest,
           count(DISTINCT CASE WHEN NOT is_cancellation THEN invoice_no END) AS invoices
    FROM retail_warehouse.sales_lines
    WHERE customer_id <> 'unknown'
    GROUP BY customer_id
)
SELECT known.customer_id,
       min(lines.country)                                                  AS country,
       known.first_invoice,
       known.last_invoice,
       known.invoices
FROM known
JOIN retail_warehouse.sales_lines AS lines ON lines.customer_id = known.customer_id AND lines.invoice_time = known.latest
GROUP BY known.customer_id, known.first_invoice, known.last_invoice, known.invoices
