"""The sales of a country and some days, for the dashboard: its address, its page, what is looked after meanwhile.

Belongs here: the request and what is refused of it, and the part of the web application. Doesn't: the sums (sales_sums.py), the data
(sales_store.py).
"""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request

from instacart_pipeline.lake.errors import PipelineError
from instacart_pipeline.resources.catalog import Catalog
from instacart_pipeline.resources.table_files import TableFiles
from instacart_pipeline.serving.errors import Failed, Refused
from instacart_pipeline.serving.part import Part
from instacart_pipeline.serving.requests import Day
from instacart_pipeline.serving.retail.sales_answers import Sales, SalesHealth
from instacart_pipeline.serving.retail.sales_store import SalesDays
from instacart_pipeline.serving.retail.sales_sums import Choice, add_up

_FAILURES: dict[int | str, dict[str, Any]] = {
    code: {"model": Failed, "description": description}
    for code, description in {
        401: "An API key is needed, and was not given or is not known.",
        404: "Nothing was ever sold to that country.",
        422: "A value that can't be taken; the message names it.",
        503: "There are no sales to show yet; the message says how to make them. Retry-After says when to try again.",
    }.items()
}
router = APIRouter(prefix="/v1", responses=_FAILURES, tags=["sales"])


async def _days(request: Request) -> SalesDays:
    found: SalesDays = request.app.state.sales
    return found


@router.get("/sales", summary="Net sales by time, product, customer and country")
def sales(
    days: Annotated[SalesDays, Depends(_days)],
    country: Annotated[
        str | None,
        Query(min_length=1, max_length=100, description="One country, as it stands on the invoices; without it, all."),
    ] = None,
    first: Annotated[Day, Query(alias="from", description="The first day; without it, the first there is.")] = None,
    last: Annotated[Day, Query(alias="to", description="The last day; without it, the last there is.")] = None,
    top: Annotated[int, Query(ge=1, le=100, description="How many products a season, and customers, to list.")] = 10,
) -> Sales:
    """Without parameters, the same numbers as the tables of the analyses in retail_sandbox."""
    if first and last and first > last:
        raise Refused(422, "invalid", f"from: {first} is after to: {last}. Turn them round.")
    store = days.current
    try:
        return add_up(store, Choice(country, first, last), top)
    except KeyError as error:
        raise Refused(
            404,
            "unknown_country",
            f"Nothing was sold to {country!r} up to {store.dt}. There are sales to {', '.join(store.countries) or 'no country yet'}.",
        ) from error


def sales_days(catalog: Catalog, files: TableFiles) -> SalesDays:
    """The sales to be served, of a profile's resources."""
    return SalesDays(catalog, files)


def sales_part(days: SalesDays, *, look_every: float = 5.0) -> Part:
    """The part. It looks for a new day, or a new version of the day, every `look_every` seconds."""
    return Part(
        name="sales",
        about="What was sold, when, where and to whom? Net sales by month, product, customer and country.",
        service=days,
        routers=(router,),
        health=lambda: health(days),
        health_model=SalesHealth,
        pages={"/sales": "sales.html"},
        before=days.try_to_look,
        meanwhile=(lambda stop: days.keep_looking(stop, look_every),),
    )


def health(days: SalesDays) -> SalesHealth:
    """Whether sales can be shown, and as of which day."""
    try:
        store = days.current
    except PipelineError as error:
        return SalesHealth(status="unavailable" if days.trouble else "unused", trouble=[str(error)], day=None)
    newer = [f"A newer day can't be served: {days.trouble}"] if days.trouble else []
    return SalesHealth(status="ok", trouble=newer, day=store.dt)
