-- What became of the lines that each day was given: how many came which way, how many of them are of another day, how many were published.
WITH streamed AS (
    -- The stream gives a line once or more often; it counts once.
    SELECT DISTINCT
           dt,
           TRIM(BOTH ' ' FROM invoiceno)               AS invoice_no,
           TRIM(BOTH ' ' FROM stockcode)               AS stock_code,
           NULLIF(TRIM(BOTH ' ' FROM description), '') AS description,
           quantity,
           DATE_TRUNC('second', invoicedate)           AS invoice_time,
           unitprice,
           NULLIF(TRIM(BOTH ' ' FROM customerid), '')  AS customer_id,
           TRIM(BOTH ' ' FROM country)                 AS country,
           repeat
    FROM retail_curated.streamed_lines
    WHERE dt BETWEEN :first AND :last
),

counted AS (
    SELECT dt,
           1 AS uploaded,
           0 AS streamed,
           CASE WHEN DATE_FORMAT(invoicedate, '%Y-%m-%d') = dt THEN 0 ELSE 1 END AS elsewhere,
           0 AS both_ways,
           0 AS published
    FROM retail_curated.uploaded_lines
    WHERE dt BETWEEN :first AND :last
    UNION ALL
    SELECT dt, 0, 1, CASE WHEN DATE_FORMAT(invoice_time, '%Y-%m-%d') = dt THEN 0 ELSE 1 END, 0, 0
    FROM streamed
    UNION ALL
    SELECT dt, 0, 0, 0, CASE WHEN came_by = 'both' THEN 1 ELSE 0 END, 1
    FROM retail_curated.transactions
    WHERE dt BETWEEN :first AND :last
)

SELECT dt,
       SUM(uploaded)  AS uploaded,
       SUM(streamed)  AS streamed,
       SUM(elsewhere) AS elsewhere,
       SUM(both_ways) AS both_ways,
       SUM(published) AS published
FROM counted
GROUP BY dt
