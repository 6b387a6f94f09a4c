-- The distribution centre nearest to each customer whose place is known, by the haversine formula. Degrees become radians before anything else is
-- done with them.
WITH homes AS (
    SELECT id                 AS user_id,
           radians(latitude)  AS latitude,
           radians(longitude) AS longitude
    FROM customers_curated.users
    WHERE dt = :dt
      AND created_at < CAST(:dt AS timestamp)
      AND latitude IS NOT NULL
      AND longitude IS NOT NULL
),

centers AS (
    SELECT id,
           name,
           radians(latitude)  AS latitude,
           radians(longitude) AS longitude
    FROM customers_curated.distribution_centers
    WHERE dt = :dt
),

chords AS (
    SELECT home.user_id,
           center.id,
           center.name,
           power(sin((center.latitude - home.latitude) / 2), 2)
           + cos(home.latitude) * cos(center.latitude) * power(sin((center.longitude - home.longitude) / 2), 2) AS haversine
    FROM homes AS home
    CROSS JOIN centers AS center
),

-- Between antipodes the last digit may make it more than 1, of which there is no arcsine. Rounded by floor, as engines round halves differently.
away AS (
    SELECT user_id,
           id,
           name,
           CAST(floor(2 * 6371 * asin(sqrt(least(haversine, 1e0))) * 100 + 0.5e0) AS double) / 100 AS distance_in_km
    FROM chords
),

ranked AS (
    SELECT user_id,
           id,
           name,
           distance_in_km,
           row_number() OVER (PARTITION BY user_id ORDER BY distance_in_km NULLS LAST, id NULLS LAST) AS place
    FROM away
)

SELECT user_id,
       id   AS dc_id,
       name AS nearest_distribution_center,
       distance_in_km
FROM ranked
WHERE place = 1
