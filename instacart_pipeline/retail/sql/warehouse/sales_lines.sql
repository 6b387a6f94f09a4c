-- The fact: the day's lines as they are, and what they are added up by.
SELECT line_id,
       invoice_no,
       invoice_time,
       CAST(invoice_time AS date)                                          AS sale_date,
       stock_code,
       upper(stock_code)                                                   AS product_code,
       description,
       customer_id,
       country,
       quantity,
       unit_price,
       amount,
       is_product,
       is_cancellation
FROM retail_curated.transactions
WHERE dt = :dt
