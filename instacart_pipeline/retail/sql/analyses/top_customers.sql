-- Known customers by net revenue. They live where the latest line by the day says, whatever the dimension says by now.
WITH sales AS (
    SELECT customer_id,
           sum(amount)                                                     AS revenue,
           count(DISTINCT CASE WHEN NOT is_cancellation THEN invoice_no END) AS invoices,
           max(invoice_time)                                               AS latest
    FROM retail_warehouse.sales_lines
    WHERE dt <= :dt
      AND customer_id <> 'unknown'
    GROUP BY customer_id
),
ranked AS (
    SELECT customer_id,
           revenue,
           invoices,
           latest,
           row_number() OVER (ORDER BY revenue DESC NULLS LAST, customer_id NULLS LAST) AS place
    FROM sales
)
SELECT ranked.place                                                        AS rank,
       ranked.customer_id,
       min(lines.country)                                                  AS country,
       ranked.revenue,
       ranked.invoices
FROM ranked
JOIN retail_warehouse.sales_lines AS lines
  ON lines.customer_id = ranked.customer_id
 AND lines.invoice_time = ranked.latest
WHERE ranked.place <= 100
GROUP BY ranked.place, ranked.customer_id, ranked.revenue, ranked.invoices
