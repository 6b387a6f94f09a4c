"""What the command line says of a week's customer mart.

Belongs here: counting it. Doesn't: printing (output.py), running the job (running.py).
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from instacart_pipeline.customers.mart_tables import CUSTOMER_MART

if TYPE_CHECKING:
    from instacart_pipeline.cli.run_reports import RunReport

_COUNTED = """SELECT {by}count(*) AS customers, count_if(items > 0) AS buyers,
    CAST(sum(returns) AS double) / nullif(sum(items), 0) AS return_rate, sum(spend) AS spend
    FROM {table} WHERE dt = :dt"""


def mart_of(report: "RunReport") -> Mapping[str, Any] | None:
    """The mart that a run made, in figures: all customers, by profit level and by segment; None if it made none."""
    if not any(made.asset == "/".join(CUSTOMER_MART.asset_key) for made in report.assets):
        return None
    (everyone,) = _counted(report.dt)
    return {
        "dt": report.dt,
        "all": everyone,
        "profit_levels": _counted(report.dt, "profit_level"),
        "segments": _counted(report.dt, "segment", "segment_name"),
    }


def _counted(dt: str, *by: str) -> Sequence[Mapping[str, Any]]:
    """The figures of the customers that share the columns `by`, in their order."""
    from instacart_pipeline.lake.sql import Query  # noqa: PLC0415
    from instacart_pipeline.profiles import build_resources  # noqa: PLC0415  # as the definitions
    from instacart_pipeline.settings import Settings  # noqa: PLC0415

    names = ", ".join(by)
    text = _COUNTED.format(by=f"{names}, " if by else "", table=CUSTOMER_MART.qualified_name)
    if by:
        text += f" GROUP BY {names} ORDER BY {names}"
    query = Query.parse("the mart in figures", text).bind(dt=dt)
    rows: Sequence[Mapping[str, Any]] = build_resources(Settings.from_env()).athena.query(query).table.to_pylist()
    return rows
