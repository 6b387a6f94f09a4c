"""The customer mart over HTTP: sums of any choice of customers, and single ones; its page, and what is looked after meanwhile.

Belongs here: the requests and what is refused of them, and the part of the web application. Doesn't: the sums (mart_sums.py), the data
(mart_weeks.py).
"""

from datetime import date
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Query, Request

from instacart_pipeline.lake.errors import PipelineError
from instacart_pipeline.resources.catalog import Catalog
from instacart_pipeline.resources.table_files import TableFiles
from instacart_pipeline.serving.customers.mart_answers import Customer, MartHealth, Summary
from instacart_pipeline.serving.customers.mart_store import Mart
from instacart_pipeline.serving.customers.mart_sums import Choice, UnknownChoice, add_up, one
from instacart_pipeline.serving.customers.mart_weeks import MartWeeks
from instacart_pipeline.serving.errors import Failed, Refused
from instacart_pipeline.serving.part import Part
from instacart_pipeline.serving.requests import Day

_LISTED = 5
_FAILURES: dict[int | str, dict[str, Any]] = {
    code: {"model": Failed, "description": description}
    for code, description in {
        401: "An API key is needed, and was not given or is not known.",
        404: "There is no such customer, week, country, segment or centre; the message says which there are.",
        422: "A value that can't be taken; the message names it.",
        503: "There is no mart to show yet; the message says how to make it. Retry-After says when to try again.",
    }.items()
}
router = APIRouter(prefix="/v1/mart", responses=_FAILURES, tags=["customers"])


async def _weeks(request: Request) -> MartWeeks:
    found: MartWeeks = request.app.state.customers
    return found


Weeks = Annotated[MartWeeks, Depends(_weeks)]
Week = Annotated[Day, Query(description="A Monday, which the figures are as of; without it, the newest there is.")]
BIGINT: dict[str, Any] = {"ge": -(2**63), "le": 2**63 - 1}


@router.get("", summary="Customers added up: segments, centres, profit levels, returns, traffic sources")
def summary(
    weeks: Weeks,
    week: Week = None,
    country: Annotated[str | None, Query(min_length=1, max_length=200, description="Customers of a country.")] = None,
    segment: Annotated[int | None, Query(ge=1, le=100, description="Customers of a segment.")] = None,
    profit_level: Annotated[int | None, Query(ge=1, le=3, description="Customers of a profit level.")] = None,
    center: Annotated[
        int | None, Query(**BIGINT, description="Customers to whom this distribution centre is the nearest.")
    ] = None,
) -> Summary:
    """Without parameters, the newest week of customers_sandbox.customer_mart; the segments are then its profiles."""
    mart = _as_of(weeks, week)
    try:
        return add_up(mart, Choice(country, segment, profit_level, center), weeks.weeks)
    except UnknownChoice as error:
        raise Refused(404, "unknown_choice", str(error)) from error


@router.get("/customers/{user_id}", summary="One customer's row of the mart")
def customer(weeks: Weeks, user_id: Annotated[int, Path(**BIGINT)], week: Week = None) -> Customer:
    """As of the newest week, or the one asked for."""
    mart = _as_of(weeks, week)
    place = mart.place(user_id)
    if place is None:
        known = mart.numbers["user_id"]
        there = f"There are {len(known):,}, from {known[0]} to {known[-1]}." if len(known) else "There are none."
        raise Refused(404, "unknown_customer", f"No customer {user_id} had registered before {mart.dt}. {there}")
    return one(mart, place)


def _as_of(weeks: MartWeeks, week: date | None) -> Mart:
    if week is None:
        return weeks.current
    try:
        return weeks.of(week.isoformat())
    except KeyError as error:
        told = ", ".join(weeks.weeks[:_LISTED])
        more = f" and {len(weeks.weeks) - _LISTED} before" if len(weeks.weeks) > _LISTED else ""
        raise Refused(
            404, "unknown_week", f"There is no customer mart as of {week}. There is one as of {told}{more}."
        ) from error


def mart_weeks(catalog: Catalog, files: TableFiles) -> MartWeeks:
    """The weeks to be served, of a profile's resources."""
    return MartWeeks(catalog, files)


def customers_part(weeks: MartWeeks, *, look_every: float = 5.0) -> Part:
    """The part. It looks for a new week, or a new version of the newest, every `look_every` seconds."""
    return Part(
        name="customers",
        about="Who are the customers? The customer mart by segment, place, profit level and source, week by week, and one by one.",
        service=weeks,
        routers=(router,),
        health=lambda: health(weeks),
        health_model=MartHealth,
        pages={"/customers": "customers.html"},
        before=weeks.try_to_look,
        meanwhile=(lambda stop: weeks.keep_looking(stop, look_every),),
    )


def health(weeks: MartWeeks) -> MartHealth:
    """Whether customers can be shown, and as of which week."""
    try:
        mart = weeks.current
    except PipelineError as error:
        return MartHealth(status="unavailable" if weeks.trouble else "unused", trouble=[str(error)], week=None)
    newer = [f"A newer week can't be served: {weeks.trouble}"] if weeks.trouble else []
    return MartHealth(status="ok", trouble=newer, week=date.fromisoformat(mart.dt))
