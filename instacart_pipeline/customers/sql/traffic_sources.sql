-- What brings each customer to the site most often, of all events before the as-of day; ghost events are nobody's. Events are many, so they are
-- grouped as they are read, and only a customer's few sources are ranked. Counting sessions apart reads two columns once more, and is cheaper than
-- to group by session and source in one.
WITH sources AS (
    SELECT user_id,
           nullif(trim(traffic_source), '') AS traffic_source,
           count(*)                         AS events,
           max(created_at)                  AS latest
    FROM customers_curated.events
    WHERE dt = :dt
      AND user_id IS NOT NULL
      AND created_at < CAST(:dt AS timestamp)
    GROUP BY user_id, nullif(trim(traffic_source), '')
),

sessions AS (
    SELECT user_id,
           count(DISTINCT session_id) AS sessions
    FROM customers_curated.events
    WHERE dt = :dt
      AND user_id IS NOT NULL
      AND created_at < CAST(:dt AS timestamp)
    GROUP BY user_id
),

-- An event that doesn't say what brought it counts as an event, but is no source.
ranked AS (
    SELECT user_id,
           traffic_source,
           sum(events) OVER (PARTITION BY user_id) AS events,
           row_number() OVER (
               PARTITION BY user_id
               ORDER BY CASE WHEN traffic_source IS NULL THEN 1 ELSE 0 END NULLS LAST,
                        events DESC NULLS LAST,
                        latest DESC NULLS LAST,
                        traffic_source NULLS LAST
           ) AS place
    FROM sources
)

SELECT top.user_id,
       top.traffic_source           AS most_traffic_source,
       visited.sessions,
       CAST(top.events AS bigint)   AS events
FROM ranked AS top
JOIN sessions AS visited ON visited.user_id = top.user_id
JOIN customers_curated.users AS customer ON customer.id = top.user_id
WHERE top.place = 1
  AND customer.dt = :dt
  AND customer.created_at < CAST(:dt AS timestamp)
