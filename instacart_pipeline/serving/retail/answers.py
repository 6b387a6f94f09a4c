"""What the addresses of transactions and invoices answer with, as the OpenAPI document says it.

Belongs here: the shapes of answers and their descriptions. Doesn't: filling them; the dashboard's (sales_answers.py).
"""

from pydantic import BaseModel, Field

from instacart_pipeline.serving.errors import Problem
from instacart_pipeline.serving.part import PartHealth

AMOUNT = r"^-?\d+\.\d{4}$"


class Rejected(BaseModel):
    """A line that was not accepted."""

    line: int = Field(ge=1, description="Its number: from 1 on in the list, or below the header.")
    reason: str


class Accepted(BaseModel):
    """What became of the lines of a request. Accepted ones are stored for good."""

    accepted: int = Field(ge=0)
    rejected: list[Rejected] = Field(description="The first 1,000 of those that were not accepted.")
    rejected_lines: int = Field(ge=0, description="How many were not accepted.")
    line_ids: list[str] | None = Field(
        default=None,
        description="The ids of the accepted lines, in their order; told of up to 1,000 lines of JSON, or asked for.",
    )


class NoneAccepted(Accepted):
    """No line was accepted."""

    error: Problem


class Cancels(BaseModel):
    """The sale that a cancelled line takes back: the customer's latest earlier line of that product with at least that quantity."""

    invoice_no: str
    line_id: str


class InvoiceLine(BaseModel):
    """A line of an invoice."""

    line_id: str
    invoice_no: str
    stock_code: str
    description: str | None
    quantity: int
    invoice_time: str = Field(description="The shop's local time, as 2010-12-01 08:26:00.")
    unit_price: str = Field(pattern=AMOUNT)
    customer_id: str = Field(description="'unknown' if it isn't known.")
    country: str
    repeat: int
    is_product: bool
    is_cancellation: bool
    cancels: Cancels | None = Field(description="Of a cancelled line, the sale it takes back, if there is one.")


class InvoiceLines(BaseModel):
    """Lines of an invoice, in the order of time. `after` goes on where they end; it is null at the end."""

    invoice_no: str
    lines: list[InvoiceLine]
    after: str | None


class CustomerInvoice(BaseModel):
    """What an invoice of a customer comes to."""

    customer_id: str
    invoice_no: str
    invoice_time: str = Field(description="Of its first line.")
    country: str
    lines: int
    quantity: int
    amount: str = Field(pattern=AMOUNT, description="Pounds sterling; below 0 on a cancellation.")
    is_cancellation: bool
    complete: bool = Field(
        default=True,
        description="false on an invoice of more than 10,000 lines: the sums are of so many of them. All are found at its `lines`.",
    )


class CustomerInvoices(BaseModel):
    """Invoices of a customer. `after` goes on where they end; it is null at the end."""

    customer_id: str
    invoices: list[CustomerInvoice]
    after: str | None


class ConsumerBehind(BaseModel):
    """How far a consumer is behind the stream."""

    records: int | None = Field(description="Records it has not dealt with yet; null where they can't be counted.")
    seconds: float = Field(description="How long the oldest of them has waited.")


class RetailHealth(PartHealth):
    """Whether lines are taken, and how far those who read them are behind."""

    consumers: dict[str, ConsumerBehind]
    dead_letters: int = Field(description="Records that consumers could make nothing of.")
