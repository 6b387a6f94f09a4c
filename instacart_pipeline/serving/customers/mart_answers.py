"""What is answered about customers, as the OpenAPI document says it.

Belongs here: the shapes of answers and their descriptions. Doesn't: filling them (mart_sums.py).

Amounts are text, in US dollars with four decimals, so that no reader rounds them. All of them are of the year before the week's Monday.
"""

from datetime import date, datetime
from typing import Annotated

from pydantic import BaseModel, Field

from instacart_pipeline.serving.part import PartHealth

Amount = Annotated[
    str,
    Field(
        pattern=r"^-?\d+\.\d{4}$",
        description="US dollars with four decimals; text, so that it stays exact.",
        examples=["1250.5000"],
    ),
]
Share = Annotated[float, Field(ge=0, le=1, description="A part of 1.")]


class Choice(BaseModel):
    """What was asked for."""

    country: str | None
    segment: int | None
    profit_level: int | None
    center: int | None


class SegmentName(BaseModel):
    """A segment that can be asked for."""

    segment: int
    name: str


class CenterName(BaseModel):
    """A distribution centre that can be asked for."""

    id: int
    name: str


class Choices(BaseModel):
    """What can be asked for."""

    weeks: list[date] = Field(description="Mondays, the newest first.")
    countries: list[str] = Field(description="In the order of the alphabet.")
    segments: list[SegmentName]
    profit_levels: list[int]
    centers: list[CenterName]


class Sums(BaseModel):
    """Some customers, added up: what they bought in the last year."""

    customers: int
    buyers: int = Field(description="Those who bought anything.")
    orders: int
    items: int
    returns: int = Field(description="Of these items, those that came back.")
    return_rate: Share | None = Field(description="Returns by items; null without items.")
    spend: Amount = Field(description="What the items cost the customers, those returned later too.")
    refunds: Amount = Field(description="Of those returned.")
    revenue: Amount = Field(description="spend - refunds.")
    gross_margin: Amount = Field(description="The revenue less what the shop paid for the items that were kept.")


class Group(Sums):
    """Some of the customers."""

    share: Share = Field(description="Of the customers in all groups of the list together; 0 if there are none.")


class Segment(Group):
    """A segment, on average: means are of its customers of whom the figure is known, and null if there are none."""

    segment: int
    name: str
    mean_age: float | None
    mean_distance_in_km: float | None = Field(description="To the nearest distribution centre.")
    mean_orders: float | None
    mean_items: float | None
    mean_spend: Amount | None = Field(description="Rounded.")
    mean_gross_margin: Amount | None = Field(description="Rounded.")
    mean_days_since_order: float | None = Field(description="Of those who ordered in the last year.")
    mean_sessions: float | None


class Center(Group):
    """A distribution centre, and the customers to whom it is the nearest."""

    id: int | None = Field(description="null: customers whose place is not known.")
    name: str | None
    latitude: float | None = Field(description="Degrees north; null if it is not known.")
    longitude: float | None = Field(description="Degrees east.")
    mean_distance_in_km: float | None
    near: int = Field(description="Customers at most 500 km away.")
    near_share: Share | None = Field(description="Of its customers; null without any.")


class ProfitLevel(Group):
    """Customers of a profit level. By spend: 1 up to 50, 2 below 150, 3 from 150."""

    profit_level: int


class Country(Group):
    """Customers of a country."""

    country: str | None = Field(description="null: not known.")


class AgeBand(Group):
    """Customers from one age to another, both included."""

    first: int | None = Field(description="null: the age is not known.")
    last: int | None = Field(description="null: no bound, or the age is not known.")


class TrafficSource(Group):
    """Customers whom the same thing brings to the site most often."""

    source: str | None = Field(description="null: none is known.")


class Summary(BaseModel):
    """The customers of a choice. A list that a parameter chooses from is of all its groups, whichever is chosen, to be compared."""

    as_of: date = Field(description="A Monday: what happened before it counts.")
    since: date = Field(description="The first day of the last year, which ends before as_of.")
    choice: Choice
    choices: Choices
    totals: Sums
    segments: list[Segment]
    centers: list[Center]
    profit_levels: list[ProfitLevel]
    countries: list[Country] = Field(description="Most customers first.")
    age_bands: list[AgeBand] = Field(description="The youngest first.")
    traffic_sources: list[TrafficSource] = Field(description="Most customers first.")


class Customer(BaseModel):
    """A customer's row of the mart; customers_sandbox.customer_mart in the data dictionary says what each field is."""

    as_of: date = Field(description="A Monday: what happened before it counts.")
    user_id: int
    age: int | None
    gender: str | None
    country: str | None
    state: str | None
    registered_at: datetime = Field(description="UTC.")
    dc_id: int | None
    nearest_distribution_center: str | None
    distance_in_km: float | None
    orders: int
    items: int
    returns: int
    return_rate: Share | None
    spend: Amount
    refunds: Amount
    gross_margin: Amount
    profit_level: int
    days_since_order: int | None
    sessions: int
    most_traffic_source: str | None
    segment: int
    segment_name: str


class MartHealth(PartHealth):
    """Whether customers can be shown, and as of which week."""

    week: date | None = Field(description="The newest Monday that is served.")
