"""The pictures of the analyses.

Belongs here: drawing rows that are computed elsewhere. Each is a small PNG, 800 pixels wide, as it is kept with the asset's metadata. Amounts
are net, in thousands of pounds.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping, Sequence
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any

from instacart_pipeline.lake.contracts import TableContract
from instacart_pipeline.retail import sandbox_tables as s

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Rows = Sequence[Mapping[str, Any]]
Chart = Callable[[Rows, str], bytes]

_SALES, _TO_COME, _QUIET, _TEXT = "#0a6e4f", "#8fc1ae", "#6b7a8f", "#2f3a45"
_SEASONS = ("winter", "spring", "summer", "autumn")
_SHOWN = 15
_LONGEST = 34
"""Characters of a name that fit beside its bar."""


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
            color=_SALES,
            linewidth=1.8,
            marker="o",
            markersize=3.5,
        )
        if date.fromisoformat(dt) < last + timedelta(days=6):
            axes.plot([last], [amounts[last]], "o", markersize=7, markerfacecolor="white", markeredgecolor=_SALES)
            axes.annotate(
                "so far", (last, amounts[last]), (0, -18), textcoords="offset points", ha="center", color=_QUIET
            )
        months = sorted({week.replace(day=1) for week in weeks if week.replace(day=1) >= first})
        shown = months[:: len(months) // 14 + 1]
        axes.set_xticks(shown, [_month(f"{day:%Y-%m}", with_year=place == 0) for place, day in enumerate(shown)])
        axes.set_ylim(bottom=min(0.0, *amounts.values()))

    return _picture("Net revenue by week", dt, draw if amounts else _nothing)


def best_product_by_season(rows: Rows, dt: str) -> bytes:
    """A bar a season, with the product and its pieces."""
    told = sorted(rows, key=lambda row: _SEASONS.index(row["season"]))
    names = [f"{row['season'].capitalize()}\n{_short(row['description'] or row['product_code'])}" for row in told]
    notes = [f"{row['quantity']:,} pieces" for row in told]
    return _bars("Best product of each season", names, told, dt, notes)


def top_customers(rows: Rows, dt: str) -> bytes:
    """A bar a customer, the first fifteen."""
    told = sorted(rows, key=lambda row: row["rank"])[:_SHOWN]
    names = [_short(f"{row['customer_id']}  {row['country']}") for row in told]
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
        beside = f"not drawn: {_short(home['country'])}, {_thousands(home['revenue']):,.0f}{share}"
    notes = [f"{row['invoices']:,} invoices" for row in told]
    return _bars("Net revenue by country", [_short(row["country"]) for row in told], told, dt, notes, beside)


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
        drawn = axes.bar(range(len(names)), heights, 0.7, color=[_TO_COME if still else _SALES for still in lasting])
        notes = [
            f"{height:,.0f}" + ("\nso far" if still else "") for height, still in zip(heights, lasting, strict=True)
        ]
        axes.bar_label(drawn, notes, padding=3, fontsize=9, color=_TEXT)
        axes.set_xticks(range(len(names)), names)
        axes.margins(y=0.14)
        axes.grid(visible=False, axis="x")

    return _picture(title, dt, draw if heights else _nothing)


def _bars(title: str, names: list[str], rows: Rows, dt: str, notes: list[str], beside: str = "") -> bytes:
    lengths = [_thousands(row["revenue"]) for row in rows]

    def draw(axes: Axes) -> None:
        drawn = axes.barh(range(len(names)), lengths, 0.7, color=_SALES)
        told = [f"{length:,.0f}   {note}" for length, note in zip(lengths, notes, strict=True)]
        axes.bar_label(drawn, told, padding=4, fontsize=9, color=_TEXT)
        axes.set_yticks(range(len(names)), names, parse_math=False)
        axes.invert_yaxis()
        axes.margins(x=0.3)
        axes.grid(visible=False, axis="y")
        axes.set(xlabel="thousand pounds" + (f"; {beside}" if beside else ""), ylabel="")

    return _picture(title, dt, draw if lengths else _nothing)


def _picture(title: str, dt: str, draw: Callable[[Any], None]) -> bytes:
    from matplotlib.figure import Figure  # noqa: PLC0415  # Figure alone needs no screen and no global state
    from matplotlib.layout_engine import ConstrainedLayoutEngine  # noqa: PLC0415
    from matplotlib.ticker import StrMethodFormatter  # noqa: PLC0415

    figure = Figure(figsize=(8, 4.6), layout=ConstrainedLayoutEngine(w_pad=0.14, h_pad=0.1))
    axes = figure.subplots()
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color("#c5ccd4")
    axes.tick_params(colors=_TEXT, labelsize=9, length=0)
    axes.grid(alpha=0.25)
    axes.set_axisbelow(True)
    axes.set_ylabel("thousand pounds", color=_QUIET)
    axes.yaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
    draw(axes)
    axes.set_xlabel(axes.get_xlabel(), color=_QUIET, parse_math=False)
    axes.set_title(title, loc="left", color=_TEXT, fontsize=12, fontweight="bold")
    axes.set_title(f"as of {dt}", loc="right", color=_QUIET, fontsize=9)
    made = io.BytesIO()
    figure.savefig(made, dpi=100, format="png")
    return made.getvalue()


def _nothing(axes: Axes) -> None:
    axes.set_axis_off()
    axes.text(0.5, 0.5, "nothing sold yet", ha="center", transform=axes.transAxes, color=_QUIET)


def _thousands(amount: Any) -> float:
    return float(amount) / 1000


def _month(month: str, *, with_year: bool) -> str:
    first = date.fromisoformat(f"{month}-01")
    return f"{first:%b}\n{first:%Y}" if with_year or first.month == 1 else f"{first:%b}"


def _ends_month(dt: str) -> bool:
    return (date.fromisoformat(dt) + timedelta(days=1)).day == 1


def _short(name: str) -> str:
    """A name in one line of bounded length. Clients choose names, so they are drawn as they are, with parse_math=False."""
    name = "".join(char if char.isprintable() else " " for char in name)
    return name if len(name) <= _LONGEST else f"{name[: _LONGEST - 1]}…"
