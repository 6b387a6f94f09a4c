"""Whether two contenders made the same customer mart: each row and figure of it, read from their Parquet files.

Belongs here: what counts as the same. Doesn't: where a contender keeps its file.
"""

from __future__ import annotations

from collections.abc import Sequence

import duckdb

TEXTS = ("gender", "country", "state", "nearest_distribution_center", "most_traffic_source")
WHOLE = ("age", "dc_id", "orders", "items", "returns", "profit_level", "days_since_order", "sessions")
NUMBERS = ("return_rate", "distance_in_km", "spend", "refunds", "gross_margin")
"""Compared to a billionth: pandas adds prices up as floats."""
TIMES = ("registered_at",)


def unlike(one: Sequence[str], other: Sequence[str]) -> list[str]:
    """What the two don't agree on, a line a column and one for users whom only one of them has; empty if nothing.

    Each is a list of Parquet files that make up a mart.
    """
    checks = [
        f"count(*) FILTER (in_both AND NOT same_{column}) AS {column}" for column in (*TEXTS, *WHOLE, *NUMBERS, *TIMES)
    ]
    same = [
        *(f"a.{name} IS NOT DISTINCT FROM b.{name} AS same_{name}" for name in TEXTS),
        *(f"CAST(a.{name} AS BIGINT) IS NOT DISTINCT FROM CAST(b.{name} AS BIGINT) AS same_{name}" for name in WHOLE),
        *(
            f"(a.{name} IS NULL) = (b.{name} IS NULL) AND coalesce(abs(CAST(a.{name} AS DOUBLE) - CAST(b.{name} AS DOUBLE)) "
            f"<= 1e-9 * greatest(1, abs(CAST(b.{name} AS DOUBLE))), true) AS same_{name}"
            for name in NUMBERS
        ),
        *(
            f"CAST(a.{name} AS TIMESTAMPTZ) IS NOT DISTINCT FROM CAST(b.{name} AS TIMESTAMPTZ) AS same_{name}"
            for name in TIMES
        ),
    ]
    with duckdb.connect() as db:
        db.execute("SET TimeZone = 'UTC'")
        answer = db.execute(
            f"""
            SELECT count(*) FILTER (NOT in_both) AS users, {", ".join(checks)}
            FROM (
                SELECT a.user_id IS NOT NULL AND b.user_id IS NOT NULL AS in_both, {", ".join(same)}
                FROM read_parquet({_listed(one)}) AS a
                FULL JOIN read_parquet({_listed(other)}) AS b USING (user_id)
            )
            """
        )
        names = [str(column[0]) for column in answer.description or ()]
        counts = answer.fetchall()[0]
    return [f"{name}: other in {count:,} rows" for name, count in zip(names, counts, strict=True) if count]


def _listed(files: Sequence[str]) -> str:
    return "[" + ", ".join("'" + file.replace("'", "''") + "'" for file in files) + "]"
