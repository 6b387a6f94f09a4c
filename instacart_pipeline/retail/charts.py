"""The pictures of the analyses.

Belongs here: drawing rows that are computed elsewhere. Each is a small PNG, 800 pixels wide, as it is kept with the asset's metadata. Amounts
are net, in thousands of pounds.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any

from instacart_pipeline.lake.contracts import TableContract
from instacart_pipeline.orchestration.pictures import MAIN, PALE, QUIET, TEXT, Draw, bars, chart, nothing, short
from instacart_pipeline.retail import sandbox_tables as s

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Rows = Sequence[Mapping[str, Any]]
Chart = Callable[[Rows, str], bytes]

_NOTHING = nothing("nothing sold yet")
_SEASONS = ("winter", "spring", "summer", "autumn")
_SHOWN = 15


def monthly_revenue(rows: Rows, dt: str) -> bytes:
    """A column a month; the month of `dt` is paler while it lasts."""
    told = sorted(rows, key=lambda row: row["month"])
    names = [_month(row["month"], with_year=place == 0) for place, row in enumerate(told)]
    return _columns(
        "Net revenue by month", names, told, [row["month"] == dt[:7] and not _ends_month(dt) for row in told], dt
    )


def quarterly_revenue(rows: Rows, dt: str) -> bytes:
    """A column a quarter; the quarter of `dt` is paler while it lasts."""
    told = sorted(rows, key=lambda row: row["quarter"])
    names = [f"{row['quarter'][4:]} {row['quarter'][:4]}" for row in told]
    now = f"{dt[:4]}Q{(int(dt[5:7]) + 2) // 3}"
    lasting = not (_ends_month(dt) and int(dt[5:7]) % 3 == 0)
    return _columns("Net revenue by quarter", names, told, [row["quarter"] == now and lasting for row in told], dt)


def weekly_sales(rows: Rows, dt: str) -> bytes:
    """A line over the weeks; a week without sales breaks it, and the week of `dt` is an open point while it lasts."""
    amounts = {row["week_start"]: _thousands(row["revenue"]) for row in rows}

    def draw(axes: Axes) -> None:
        first, last = min(amounts), max(amounts)
        weeks = [first + timedelta(weeks=number) for number in range((last - first).days // 7 + 1)]
        axes.plot(
            weeks,
            [amounts.get(week, float("nan")) for week in weeks],
            color=MAIN,
            linewidth=1.8,
            marker="o",
            markersize=3.5,
        )
        if date.fromisoformat(dt) < last + timedelta(days=6):
            axes.plot([last], [amounts[last]], "o", markersize=7, markerfacecolor="white", markeredgecolor=MAIN)
            axes.annotate(
                "so far", (last, amounts[last]), (0, -18), textcoords="offset points", ha="center", color=QUIET
            )
        months = sorted({week.replace(day=1) for week in weeks if week.replace(day=1) >= first})
        shown = months[:: len(months) // 14 + 1]
        axes.set_xticks(shown, [_month(f"{day:%Y-%m}", with_year=place == 0) for place, day in enumerate(shown)])
        axes.set_ylim(bottom=min(0.0, *amounts.values()))

    return _picture("Net revenue by week", dt, draw if amounts else _NOTHING)


def best_product_by_season(rows: Rows, dt: str) -> bytes:
    """A bar a season, with the product and its pieces."""
    told = sorted(rows, key=lambda row: _SEASONS.index(row["season"]))
    names = [f"{row['season'].capitalize()}\n{short(row['description'] or row['product_code'])}" for row in told]
    notes = [f"{row['quantity']:,} pieces" for row in told]
    return _bars("Best product of each season", names, told, dt, notes)


def top_customers(rows: Rows, dt: str) -> bytes:
    """A bar a customer, the first fifteen."""
    told = sorted(rows, key=lambda row: row["rank"])[:_SHOWN]
    names = [short(f"{row['customer_id']}  {row['country']}") for row in told]
    notes = [f"{row['invoices']:,} invoices" for row in told]
    return _bars(f"Top {len(told)} customers", names, told, dt, notes)


def revenue_by_country(rows: Rows, dt: str) -> bytes:
    """A bar a country, the first fifteen. One that sells more than all others together is told below instead: it would flatten them."""
    ordered = sorted(rows, key=lambda row: row["rank"])
    total = sum(row["revenue"] for row in ordered)
    told, beside = ordered[:_SHOWN], ""
    if len(ordered) > 1 and ordered[0]["revenue"] > total - ordered[0]["revenue"]:
        home, told = ordered[0], ordered[1 : _SHOWN + 1]
        share = f", {float(home['revenue'] / total):.0%} of all" if total > 0 else ""
        beside = f"not drawn: {short(home['country'])}, {_thousands(home['revenue']):,.0f}{share}"
    notes = [f"{row['invoices']:,} invoices" for row in told]
    return _bars("Net revenue by country", [short(row["country"]) for row in told], told, dt, notes, beside)


OF: Mapping[TableContract, Chart] = {
    s.MONTHLY_REVENUE: monthly_revenue,
    s.QUARTERLY_REVENUE: quarterly_revenue,
    s.WEEKLY_SALES: weekly_sales,
    s.BEST_PRODUCT_BY_SEASON: best_product_by_season,
    s.TOP_CUSTOMERS: top_customers,
    s.REVENUE_BY_COUNTRY: revenue_by_country,
}
"""The picture of each analysis that has one: from its rows and its day to a PNG."""


def _columns(title: str, names: list[str], rows: Rows, lasting: list[bool], dt: str) -> bytes:
    heights = [_thousands(row["revenue"]) for row in rows]

    def draw(axes: Axes) -> None:
        drawn = axes.bar(range(len(names)), heights, 0.7, color=[PALE if still else MAIN for still in lasting])
        notes = [
            f"{height:,.0f}" + ("\nso far" if still else "") for height, still in zip(heights, lasting, strict=True)
        ]
        axes.bar_label(drawn, notes, padding=3, fontsize=9, color=TEXT)
        axes.set_xticks(range(len(names)), names)
        axes.margins(y=0.14)
        axes.grid(visible=False, axis="x")

    return _picture(title, dt, draw if heights else _NOTHING)


def _bars(title: str, names: list[str], rows: Rows, dt: str, notes: list[str], beside: str = "") -> bytes:
    lengths = [_thousands(row["revenue"]) for row in rows]

    unit = "thousand pounds" + (f"; {beside}" if beside else "")
    return _picture(title, dt, bars(names, lengths, notes, unit=unit) if lengths else _NOTHING)


def _picture(title: str, dt: str, draw: Draw) -> bytes:
    return chart(title, dt, draw, unit="thousand pounds")


def _thousands(amount: Any) -> float:
    return float(amount) / 1000


def _month(month: str, *, with_year: bool) -> str:
    first = date.fromisoformat(f"{month}-01")
    return f"{first:%b}\n{first:%Y}" if with_year or first.month == 1 else f"{first:%b}"


def _ends_month(dt: str) -> bool:
    return (date.fromisoformat(dt) + timedelta(days=1)).day == 1
