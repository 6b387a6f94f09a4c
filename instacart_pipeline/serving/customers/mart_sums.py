"""Adding customers up, by the definitions of the mart and of the segments' profiles (customers/sql/).

Belongs here: the sums and their order. Doesn't: HTTP (mart.py), the shapes of answers (mart_answers.py says them).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import date, datetime, timedelta, timezone
from typing import Any

from instacart_pipeline.customers.assets import a_year_before
from instacart_pipeline.serving.columns import amount, shared_out
from instacart_pipeline.serving.customers import mart_answers as answers
from instacart_pipeline.serving.customers.mart_groups import Groups
from instacart_pipeline.serving.customers.mart_store import AGES, LEVELS, Mart

_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
_Sums = Mapping[str, int]


class UnknownChoice(LookupError):
    """A choice that the week has no customers for; the text says what there is."""


@dataclass(frozen=True)
class Choice:
    """Which customers are to be added up; None is no bound."""

    country: str | None = None
    segment: int | None = None
    profit_level: int | None = None
    center: int | None = None


def add_up(mart: Mart, choice: Choice, weeks: Sequence[str]) -> answers.Summary:
    """Everything about the choice. `weeks` are the Mondays that can be asked for. Raises UnknownChoice."""
    chosen = _codes(mart, choice)
    as_of = date.fromisoformat(mart.dt)
    all_chosen = mart.groups.of(chosen)

    def by(dimension: str, count: int) -> list[_Sums]:
        """The parts of a dimension; its own choice leaves none of them out."""
        others = {name: code for name, code in chosen.items() if name != dimension}
        groups: Groups = all_chosen if others == chosen else mart.groups.of(others)
        return list(groups.by(dimension, count + 1))

    countries, sources = mart.names["country"], mart.names["most_traffic_source"]
    return answers.Summary(
        as_of=as_of,
        since=a_year_before(mart.dt),
        choice=answers.Choice(**asdict(choice)),
        choices=answers.Choices(
            weeks=[date.fromisoformat(week) for week in weeks],
            countries=list(countries),
            segments=[answers.SegmentName(segment=number, name=name) for number, name in mart.segments],
            profit_levels=list(LEVELS),
            centers=[answers.CenterName(id=center.id, name=center.name) for center in mart.centers],
        ),
        totals=answers.Sums(**_sums(all_chosen.total())),
        segments=_segments(mart, by("segment", len(mart.segments))),
        centers=_centers(mart, by("center", len(mart.centers))),
        profit_levels=[
            answers.ProfitLevel(profit_level=level, **part)
            for level, part in zip(LEVELS, _parts(by("level", len(LEVELS))[:-1]), strict=True)
        ],
        countries=[
            answers.Country(country=name, **part)
            for name, part in _most_first(countries, by("country", len(countries)))
        ],
        age_bands=_age_bands(by("age", len(AGES))),
        traffic_sources=[
            answers.TrafficSource(source=name, **part)
            for name, part in _most_first(sources, by("source", len(sources)))
        ],
    )


def one(mart: Mart, place: int) -> answers.Customer:
    """The row of the customer who stands at a place of the columns."""
    number = {name: int(column[place]) for name, column in mart.numbers.items() if name != "registered_at"}
    center = mart.centers[number["center"]] if number["center"] >= 0 else None
    segment, segment_name = mart.segments[number["segment_place"]]
    registered = int(mart.numbers["registered_at"][place].astype("datetime64[us]").astype(int))
    return answers.Customer(
        as_of=date.fromisoformat(mart.dt),
        user_id=number["user_id"],
        age=_known(number["age"]),
        gender=mart.text("gender", place),
        country=mart.text("country", place),
        state=mart.text("state", place),
        registered_at=_EPOCH + timedelta(microseconds=registered),
        dc_id=center.id if center else None,
        nearest_distribution_center=center.name if center else None,
        distance_in_km=None if number["distance"] < 0 else number["distance"] / 100,
        orders=number["orders"],
        items=number["items"],
        returns=number["returns"],
        return_rate=_ratio(number["returns"], number["items"]),
        spend=amount(number["spend"]),
        refunds=amount(number["refunds"]),
        gross_margin=amount(number["gross_margin"]),
        profit_level=number["profit_level"],
        days_since_order=_known(number["days_since_order"]),
        sessions=number["sessions"],
        most_traffic_source=mart.text("most_traffic_source", place),
        segment=segment,
        segment_name=segment_name,
    )


def _codes(mart: Mart, choice: Choice) -> dict[str, int]:
    def code(what: str, known: Sequence[Any], asked: Any, listed: Sequence[str]) -> int:
        try:
            return list(known).index(asked)
        except ValueError:
            there = ", ".join(listed) or "none"
            raise UnknownChoice(f"There is no {what} {asked!r} as of {mart.dt}. There is: {there}.") from None

    found = {}
    if choice.country is not None:
        found["country"] = code("country", mart.names["country"], choice.country, mart.names["country"])
    if choice.segment is not None:
        listed = [f"{number} ({name})" for number, name in mart.segments]
        found["segment"] = code("segment", [number for number, _ in mart.segments], choice.segment, listed)
    if choice.profit_level is not None:
        found["level"] = code("profit level", LEVELS, choice.profit_level, [str(level) for level in LEVELS])
    if choice.center is not None:
        listed = [f"{center.id} ({center.name})" for center in mart.centers]
        found["center"] = code("centre", [center.id for center in mart.centers], choice.center, listed)
    return found


def _sums(added: _Sums) -> dict[str, Any]:
    return {
        **{name: added[name] for name in ("customers", "buyers", "orders", "items", "returns")},
        "return_rate": _ratio(added["returns"], added["items"]),
        **{name: amount(added[name]) for name in ("spend", "refunds", "gross_margin")},
        "revenue": amount(added["spend"] - added["refunds"]),
    }


def _parts(parts: Sequence[_Sums]) -> list[dict[str, Any]]:
    together = sum(part["customers"] for part in parts)
    return [{**_sums(part), "share": part["customers"] / together if together else 0.0} for part in parts]


def _most_first(names: Sequence[str], parts: Sequence[_Sums]) -> list[tuple[str | None, dict[str, Any]]]:
    """Names with their parts, those with customers only; of equals the first name, and what has none last."""
    named = zip((*names, None), _parts(parts), strict=True)
    there = [(name, part) for name, part in named if part["customers"]]
    return sorted(there, key=lambda pair: -pair[1]["customers"])  # the sort keeps the order of the names among equals


def _segments(mart: Mart, parts: Sequence[_Sums]) -> list[answers.Segment]:
    return [
        answers.Segment(
            segment=number,
            name=name,
            **part,
            mean_age=_ratio(added["age"], added["aged"]),
            mean_distance_in_km=_ratio(added["distance"], 100 * added["placed"]),
            mean_orders=_ratio(added["orders"], added["customers"]),
            mean_items=_ratio(added["items"], added["customers"]),
            mean_spend=_mean_amount(added["spend"], added["customers"]),
            mean_gross_margin=_mean_amount(added["gross_margin"], added["customers"]),
            mean_days_since_order=_ratio(added["days_since_order"], added["dated"]),
            mean_sessions=_ratio(added["sessions"], added["customers"]),
        )
        for (number, name), part, added in zip(mart.segments, _parts(parts[:-1]), parts[:-1], strict=True)
    ]


def _centers(mart: Mart, parts: Sequence[_Sums]) -> list[answers.Center]:
    unknown = [] if parts[-1]["customers"] == 0 else [None]
    return [
        answers.Center(
            id=center.id if center else None,
            name=center.name if center else None,
            latitude=center.latitude if center else None,
            longitude=center.longitude if center else None,
            **part,
            mean_distance_in_km=_ratio(added["distance"], 100 * added["placed"]),
            near=added["near"],
            near_share=_ratio(added["near"], added["placed"]),
        )
        for center, part, added in zip([*mart.centers, *unknown], _parts(parts), parts, strict=False)
    ]


def _age_bands(parts: Sequence[_Sums]) -> list[answers.AgeBand]:
    bounds = [*zip(AGES, (*(age - 1 for age in AGES[1:]), None), strict=True), (None, None)]
    return [
        answers.AgeBand(first=first, last=last, **part)
        for (first, last), part in zip(bounds, _parts(parts), strict=True)
        if part["customers"]
    ]


def _ratio(part: int, whole: int) -> float | None:
    return part / whole if whole else None


def _mean_amount(total: int, count: int) -> str | None:
    return amount(shared_out(total, count)) if count else None


def _known(number: int) -> int | None:
    return None if number < 0 else number
