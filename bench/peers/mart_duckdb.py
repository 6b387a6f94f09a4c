"""The floor of the customer mart: its figures with DuckDB and nothing else.

Belongs here: plain DuckDB SQL, from the CSVs to one Parquet file. Columns that no figure needs are never parsed.
"""

from __future__ import annotations

from datetime import date
from pathlib import Path

import duckdb

from bench.peers import WEEK, arguments

TIMES = ("created_at", "returned_at")

CUSTOMERS = """
WITH customers AS MATERIALIZED (
    SELECT id AS user_id, age, gender, country, state, latitude, longitude, created_at AS registered_at
    FROM users
    WHERE created_at < $as_of
),
away AS (
    SELECT user_id, center.id, center.name,
           floor(2 * 6371 * asin(sqrt(least(1,
               pow(sin(radians(center.latitude - home.latitude) / 2), 2)
               + cos(radians(home.latitude)) * cos(radians(center.latitude)) * pow(sin(radians(center.longitude - home.longitude) / 2), 2)
           ))) * 100 + 0.5) / 100 AS km
    FROM customers AS home, distribution_centers AS center
),
nearest AS (
    SELECT user_id, unnest(arg_min({'dc_id': id, 'nearest_distribution_center': name, 'distance_in_km': km}, (km, id)))
    FROM away
    WHERE km IS NOT NULL
    GROUP BY user_id
),
bought AS (
    SELECT user_id, order_id, item.created_at, CAST(sale_price AS DECIMAL(18, 4)) AS price, CAST(cost AS DECIMAL(18, 4)) AS cost,
           coalesce(status = 'Returned' AND returned_at < $as_of, false) AS returned
    FROM order_items AS item
    JOIN inventory_items AS piece ON piece.id = inventory_item_id
    WHERE item.created_at >= $since AND item.created_at < $as_of AND status <> 'Cancelled'
),
purchases AS (
    SELECT user_id,
           count(DISTINCT order_id)                          AS orders,
           count(*)                                          AS items,
           count(*) FILTER (returned)                        AS returns,
           count(*) FILTER (returned) / count(*)             AS return_rate,
           sum(price)                                        AS spend,
           coalesce(sum(price) FILTER (returned), 0)         AS refunds,
           coalesce(sum(price - cost) FILTER (NOT returned), 0) AS gross_margin,
           max(created_at)                                   AS last_order_at
    FROM bought
    GROUP BY user_id
),
visits AS MATERIALIZED (
    SELECT user_id, session_id, traffic_source, count(*) AS events, max(created_at) AS latest
    FROM events
    WHERE user_id IS NOT NULL AND created_at < $as_of
    GROUP BY ALL
),
sources AS (
    SELECT user_id, traffic_source
    FROM visits
    WHERE traffic_source IS NOT NULL
    GROUP BY user_id, traffic_source
    QUALIFY row_number() OVER (PARTITION BY user_id ORDER BY sum(events) DESC, max(latest) DESC, traffic_source) = 1
),
sessions AS (
    SELECT user_id, count(DISTINCT session_id) AS sessions
    FROM visits
    GROUP BY user_id
)
SELECT user_id, age, gender, country, state, registered_at, dc_id, nearest_distribution_center, distance_in_km,
       coalesce(orders, 0)       AS orders,
       coalesce(items, 0)        AS items,
       coalesce(returns, 0)      AS returns,
       return_rate,
       CAST(coalesce(spend, 0) AS DECIMAL(18, 4))        AS spend,
       CAST(coalesce(refunds, 0) AS DECIMAL(18, 4))      AS refunds,
       CAST(coalesce(gross_margin, 0) AS DECIMAL(18, 4)) AS gross_margin,
       CASE WHEN coalesce(spend, 0) <= 50 THEN 1 WHEN spend < 150 THEN 2 ELSE 3 END AS profit_level,
       date_diff('day', CAST(last_order_at AS DATE), CAST($as_of AS DATE)) AS days_since_order,
       coalesce(sessions, 0)     AS sessions,
       traffic_source            AS most_traffic_source
FROM customers
LEFT JOIN nearest USING (user_id)
LEFT JOIN purchases USING (user_id)
LEFT JOIN sources USING (user_id)
LEFT JOIN sessions USING (user_id)
ORDER BY user_id
"""
TABLES = ("distribution_centers", "users", "inventory_items", "order_items", "events")


def build(raw: Path, out: Path, memory: str) -> None:
    """Write customers.parquet, a row a customer."""
    days = {"as_of": WEEK, "since": date(WEEK.year - 1, WEEK.month, WEEK.day)}
    with duckdb.connect(config={"memory_limit": memory, "temp_directory": str(out / "spilled")}) as db:
        for table in TABLES:
            db.execute(f"CREATE VIEW {table} AS FROM read_csv('{raw / table}.csv', header = true, nullstr = '')")
        query = CUSTOMERS
        for name, day in days.items():
            query = query.replace(f"${name}", f"TIMESTAMP '{day}'")
        db.execute(f"COPY ({query}) TO '{out}/customers.parquet' (FORMAT parquet)")


if __name__ == "__main__":
    build(*arguments(__doc__))
