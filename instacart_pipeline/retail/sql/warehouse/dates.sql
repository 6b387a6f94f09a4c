-- Texts of months and quarters sort as time does.
SELECT DISTINCT
       sale_date,
       substr(CAST(sale_date AS varchar), 1, 7)                            AS month,
       substr(CAST(sale_date AS varchar), 1, 4)
           || CASE WHEN month(sale_date) <= 3 THEN 'Q1'
                   WHEN month(sale_date) <= 6 THEN 'Q2'
                   WHEN month(sale_date) <= 9 THEN 'Q3'
                   ELSE 'Q4' END                                           AS quarter,
       CAST(date_trunc('week', sale_date) AS date)                         AS week_start,  -- some engines make a timestamp of it
       CASE WHEN month(sale_date) IN (12, 1, 2) THEN 'winter'
            WHEN month(sale_date) <= 5 THEN 'spring'
            WHEN month(sale_date) <= 8 THEN 'summer'
            ELSE 'autumn' END                                              AS season
FROM retail_warehouse.sales_lines
