-- The day's lines of invoices, cleaned as retail/lines.py cleans them, whichever way they came by: a row a line, nothing doubled.
WITH came AS (
    SELECT invoiceno, stockcode, description, quantity, invoicedate, unitprice, customerid, country,
           CAST(NULL AS int) AS sent_repeat,
           1                 AS by_upload,
           0                 AS by_stream
    FROM retail_curated.uploaded_lines
    WHERE dt = :dt
    UNION ALL
    SELECT invoiceno, stockcode, description, quantity, invoicedate, unitprice, customerid, country, repeat, 0, 1
    FROM retail_curated.streamed_lines
    WHERE dt = :dt
),

trimmed AS (
    SELECT TRIM(BOTH ' ' FROM invoiceno)                AS invoice_no,
           TRIM(BOTH ' ' FROM stockcode)                AS stock_code,
           NULLIF(TRIM(BOTH ' ' FROM description), '')  AS description,
           quantity,
           DATE_TRUNC('second', invoicedate)            AS invoice_time,
           unitprice                                    AS unit_price,
           COALESCE(TRIM(BOTH ' ' FROM customerid), '') AS customer,
           TRIM(BOTH ' ' FROM country)                  AS country,
           sent_repeat, by_upload, by_stream
    FROM came
),

-- Lines of other days are left out; a check says how many there are. Some tool made numbers of the customers: 17850.0 is 17850. What came by
-- the stream was cleaned of that before.
of_the_day AS (
    SELECT invoice_no, stock_code, description, quantity,
           DATE_FORMAT(invoice_time, '%Y-%m-%d %H:%i:%s') AS written_time,
           invoice_time, unit_price,
           COALESCE(
               NULLIF(
                   CASE
                       WHEN by_upload = 1 AND customer LIKE '%.0' THEN TRIM(BOTH ' ' FROM SUBSTR(customer, 1, LENGTH(customer) - 2))
                       ELSE customer
                   END,
                   ''
               ),
               'unknown'
           ) AS customer_id,
           country, sent_repeat, by_upload, by_stream
    FROM trimmed
    WHERE DATE_FORMAT(invoice_time, '%Y-%m-%d') = :dt
),

-- A file means each of its lines that are alike in everything, so they are counted; which is which can't matter. The stream gives a line once or
-- more often, and the line says itself which repeat it is.
counted AS (
    SELECT invoice_no, stock_code, description, quantity, written_time, invoice_time, unit_price, customer_id, country, by_upload, by_stream,
           CASE
               WHEN by_upload = 1
                   THEN ROW_NUMBER() OVER (
                       PARTITION BY invoice_no, stock_code, description, quantity, written_time, invoice_time, unit_price, customer_id,
                                    country, sent_repeat, by_upload, by_stream
                       ORDER BY invoice_no NULLS LAST
                   )
               ELSE sent_repeat
           END AS repeat
    FROM of_the_day
),

lines AS (
    SELECT invoice_no, stock_code, description, quantity, written_time, invoice_time, unit_price, customer_id, country, repeat,
           MAX(by_upload) AS by_upload,
           MAX(by_stream) AS by_stream
    FROM counted
    GROUP BY invoice_no, stock_code, description, quantity, written_time, invoice_time, unit_price, customer_id, country, repeat
)

-- In what is digested each text comes after its length, so that no two lines are written the same.
SELECT LOWER(TO_HEX(MD5(TO_UTF8(
           CAST(quantity AS varchar) || '|' || written_time || '|' || CAST(unit_price AS varchar)
           || '|' || CAST(LENGTH(invoice_no) AS varchar) || '|' || invoice_no
           || '|' || CAST(LENGTH(stock_code) AS varchar) || '|' || stock_code
           || '|' || CAST(LENGTH(customer_id) AS varchar) || '|' || customer_id
           || '|' || CAST(LENGTH(country) AS varchar) || '|' || country
           || '|' || CAST(LENGTH(COALESCE(description, '')) AS varchar) || '|' || COALESCE(description, '')
       )))) || '-' || CAST(repeat AS varchar)                                              AS line_id,
       invoice_no,
       stock_code,
       description,
       quantity,
       invoice_time,
       unit_price,
       CAST(quantity * unit_price AS decimal(18, 4))                                       AS amount,  -- the intake's ranges see that it fits
       customer_id,
       country,
       REGEXP_LIKE(stock_code, '^[0-9]{5}')                                                AS is_product,
       invoice_no LIKE 'C%'                                                                AS is_cancellation,
       repeat,
       CASE WHEN by_upload = 0 THEN 'stream' WHEN by_stream = 0 THEN 'upload' ELSE 'both' END AS came_by
FROM lines
