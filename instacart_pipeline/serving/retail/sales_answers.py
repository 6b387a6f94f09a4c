"""What is answered about sales, as the OpenAPI document says it.

Belongs here: the shapes of answers and their descriptions. Doesn't: filling them (sales_sums.py).

Amounts are text, in pounds with four decimals, so that no reader rounds them. They are net: cancellations count with negative amounts.
"""

from datetime import date
from typing import Annotated, Literal

from pydantic import BaseModel, Field

from instacart_pipeline.serving.part import PartHealth

Amount = Annotated[
    str,
    Field(
        pattern=r"^-?\d+\.\d{4}$",
        description="Net, in pounds sterling with four decimals; text, so that it stays exact.",
        examples=["8187806.3640"],
    ),
]
Partial = Annotated[bool, Field(description="Whether it begins before or ends after the days that were added up.")]
SeasonName = Literal["winter", "spring", "summer", "autumn"]
Invoices = Annotated[int, Field(description="Cancellations not counted.")]


class Choice(BaseModel):
    """What was asked for."""

    country: str | None
    first: date | None = Field(description="The parameter `from`.")
    last: date | None = Field(description="The parameter `to`.")


class Choices(BaseModel):
    """What can be asked for."""

    countries: list[str] = Field(description="In the order of the alphabet.")
    first_day: date | None = Field(description="The first day that something was sold on.")
    last_day: date = Field(description="The day that the data are as of.")


class Days(BaseModel):
    """Days from the first to the last, both included."""

    first: date
    last: date


class Totals(BaseModel):
    """All of the choice: everything on the invoices, postage and fees included."""

    revenue: Amount
    quantity: int = Field(description="Pieces, net.")
    lines: int
    invoices: Invoices
    revenue_per_invoice: Amount | None = Field(description="Net revenue by invoices, rounded; null without an invoice.")
    customers: int = Field(description="Known ones.")


class Month(BaseModel):
    """A month that something was sold in."""

    month: str = Field(examples=["2011-01"])
    revenue: Amount
    partial: Partial


class Quarter(BaseModel):
    """A quarter that something was sold in."""

    quarter: str = Field(examples=["2011Q1"])
    revenue: Amount
    partial: Partial


class Week(BaseModel):
    """A week that something was sold in, from Monday on."""

    week_start: date
    revenue: Amount
    quantity: int = Field(description="Pieces, net.")
    invoices: Invoices
    partial: Partial


class ProductSold(BaseModel):
    """A product in a season, all years together."""

    product_code: str
    description: str | None
    revenue: Amount
    quantity: int = Field(description="Pieces, net.")


class Season(BaseModel):
    """A meteorological season, with its products of the highest net revenue; no postage, no fees."""

    season: SeasonName
    products: list[ProductSold] = Field(description="The highest first; of equals the first product code.")


class Customer(BaseModel):
    """A known customer."""

    rank: int = Field(description="1 is the highest net revenue; of equals the first customer_id.")
    customer_id: str
    country: str = Field(description="Of the customer's latest day; of several the first in the alphabet.")
    revenue: Amount
    invoices: Invoices


class Country(BaseModel):
    """A country, by dates alone: the chosen country does not leave the others out."""

    rank: int = Field(description="1 is the highest net revenue; of equals the first in the alphabet.")
    country: str
    revenue: Amount
    lines: int
    invoices: Invoices
    customers: int = Field(description="Known ones.")


class Sales(BaseModel):
    """The sales of a country, or of all, on some days, or on all."""

    as_of: date = Field(description="The day that the data are as of: everything sold up to it counts.")
    choice: Choice
    choices: Choices
    covered: Days | None = Field(description="The chosen days as far as there are data; null if there are none.")
    totals: Totals
    months: list[Month]
    quarters: list[Quarter]
    weeks: list[Week]
    seasons: list[Season]
    customers: list[Customer]
    countries: list[Country] = Field(description="All of them at the chosen days, whichever country is chosen.")


class SalesHealth(PartHealth):
    """Whether sales can be shown, and as of which day."""

    day: str | None = Field(description="The day that the data are as of.")
