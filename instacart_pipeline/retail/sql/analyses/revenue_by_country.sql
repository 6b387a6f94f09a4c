-- Everything sold to each country, postage and fees included.
WITH sales AS (
    SELECT country,
           sum(amount)                                                     AS revenue,
           count(*)                                                        AS lines,
           count(DISTINCT CASE WHEN NOT is_cancellation THEN invoice_no END) AS invoices,
           count(DISTINCT CASE WHEN customer_id <> 'unknown' THEN customer_id END) AS customers
    FROM retail_warehouse.sales_lines
    WHERE dt <= :dt
    GROUP BY country
)
SELECT row_number() OVER (ORDER BY revenue DESC NULLS LAST, country NULLS LAST) AS rank,
       country,
       revenue,
       lines,
       invoices,
       customers
FROM sales
