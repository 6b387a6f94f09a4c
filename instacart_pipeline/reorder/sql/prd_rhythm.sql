-- A product over all users, seen from as many orders back: what is bought of it, how often again, and at what intervals.
WITH products AS (
    SELECT pair.product_id,
           pair.orders_back,
           sum(pair.up_orders)                                             AS prod_orders,
           sum(pair.up_reorders)                                           AS prod_reorders,
           count(*)                                                        AS prod_first_orders,
           count_if(pair.up_orders > 1)                                    AS prod_second_orders,
           sum(pair.up_in_last_1)                                          AS prod_in_last_1,
           sum(pair.up_in_last_3)                                          AS prod_in_last_3,
           count_if(pair.up_in_last_1 = 1 AND pair.up_orders > 1)          AS prod_reorders_in_last_1,
           sum(pair.up_reorders_in_last_3)                                 AS prod_reorders_in_last_3,
           count_if(pair.up_orders > pair.up_in_last_1)                    AS prod_holders,
           avg(pair.up_orders_fading)                                      AS prod_mean_orders_fading,
           avg(pair.up_mean_gap_orders)                                    AS prod_mean_gap_orders,
           avg(pair.up_mean_gap_days)                                      AS prod_mean_gap_days,
           sum(pair.up_average_cart_position * pair.up_orders) / sum(pair.up_orders) AS prod_average_cart_position
    FROM reorder_features.up_rhythm AS pair
    WHERE pair.dt = :dt
    GROUP BY pair.product_id, pair.orders_back
),
aisles AS (
    SELECT catalogue.aisle_id,
           products.orders_back,
           CAST(sum(products.prod_reorders) AS double) / sum(products.prod_orders) AS aisle_reorder_ratio
    FROM products
    JOIN reorder_curated.products AS catalogue ON catalogue.product_id = products.product_id
    WHERE catalogue.dt = :dt
    GROUP BY catalogue.aisle_id, products.orders_back
),
departments AS (
    SELECT catalogue.department_id,
           products.orders_back,
           CAST(sum(products.prod_reorders) AS double) / sum(products.prod_orders) AS department_reorder_ratio
    FROM products
    JOIN reorder_curated.products AS catalogue ON catalogue.product_id = products.product_id
    WHERE catalogue.dt = :dt
    GROUP BY catalogue.department_id, products.orders_back
)
SELECT products.product_id,
       products.orders_back,
       products.prod_orders,
       products.prod_reorders,
       products.prod_first_orders,
       products.prod_second_orders,
       products.prod_in_last_1,
       products.prod_in_last_3,
       products.prod_reorders_in_last_1,
       products.prod_reorders_in_last_3,
       products.prod_holders,
       products.prod_mean_orders_fading,
       products.prod_mean_gap_orders,
       products.prod_mean_gap_days,
       products.prod_average_cart_position,
       aisles.aisle_reorder_ratio,
       departments.department_reorder_ratio
FROM products
JOIN reorder_curated.products AS catalogue ON catalogue.product_id = products.product_id
JOIN aisles ON aisles.aisle_id = catalogue.aisle_id AND aisles.orders_back = products.orders_back
JOIN departments ON departments.department_id = catalogue.department_id AND departments.orders_back = products.orders_back
WHERE catalogue.dt = :dt
