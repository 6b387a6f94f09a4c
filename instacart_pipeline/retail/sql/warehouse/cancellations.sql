-- The records name no sale that a cancellation takes back, so it is looked for: the same customer's and product's, not later, of at least as many
-- pieces. The same rule for one line stands in cancellations.py; a test holds the two together.
WITH cancelled AS (
    SELECT line_id, invoice_no, invoice_time, customer_id, product_code, quantity, unit_price
    FROM retail_warehouse.sales_lines
    WHERE is_cancellation
),
candidates AS (
    SELECT cancelled.line_id,
           sales.line_id                                                   AS cancels_line_id,
           sales.invoice_no                                                AS cancels_invoice_no,
           row_number() OVER (
               PARTITION BY cancelled.line_id
               ORDER BY CASE WHEN sales.unit_price = cancelled.unit_price THEN 0 ELSE 1 END,
                        sales.invoice_time DESC NULLS LAST,
                        sales.invoice_no DESC NULLS LAST,
                        sales.line_id DESC NULLS LAST
           )                                                               AS preference
    FROM cancelled
    JOIN retail_warehouse.sales_lines AS sales
      ON sales.customer_id = cancelled.customer_id
     AND sales.product_code = cancelled.product_code
    WHERE NOT sales.is_cancellation
      AND cancelled.customer_id <> 'unknown'
      AND cancelled.quantity < 0
      AND sales.quantity >= -cancelled.quantity
      AND sales.invoice_time <= cancelled.invoice_time
)
SELECT cancelled.line_id,
       cancelled.invoice_no,
       candidates.cancels_line_id,
       candidates.cancels_invoice_no
FROM cancelled
LEFT JOIN candidates ON candidates.line_id = cancelled.line_id AND candidates.preference = 1
