"""Invoices out: those of a customer, one of them, its lines; each found by its key in the lookup tables.

Belongs here: these addresses. Doesn't: which sale a cancellation takes back (retail/cancellations.py), what an invoice comes to
(retail/consumers/lookups.py).
"""

from typing import Annotated, Any
from urllib.parse import quote

from fastapi import APIRouter, Path, Query
from fastapi.responses import RedirectResponse

from instacart_pipeline.lake.errors import InputInvalid
from instacart_pipeline.resources.lookup_tables import Item, LookupTable, LookupTables, Page
from instacart_pipeline.retail.cancellations import cancelled_sale
from instacart_pipeline.retail.consumers.lookups import invoice_of
from instacart_pipeline.retail.lookups import BY_PRODUCT, CUSTOMERS, INVOICES
from instacart_pipeline.serving.errors import Failed, Refused
from instacart_pipeline.serving.retail.answers import (
    Cancels,
    CustomerInvoice,
    CustomerInvoices,
    InvoiceLine,
    InvoiceLines,
)
from instacart_pipeline.serving.retail.service import FAILURES, Served

_NOT_FOUND: dict[int | str, dict[str, Any]] = {
    404: {"model": Failed, "description": "There is no such invoice or customer, or not yet."}
}
router = APIRouter(prefix="/v1", responses={**FAILURES, **_NOT_FOUND}, tags=["invoices"])

CustomerId = Annotated[str, Path(min_length=1, max_length=64, description="The customer's number, as 17850.")]
InvoiceNo = Annotated[str, Path(min_length=1, max_length=64, description="The invoice's number, as 536365 or C536379.")]
Limit = Annotated[int, Query(ge=1, le=1000, description="How many to list at most.")]
After = Annotated[str, Query(max_length=2000, description="The `after` of the page before.")]
_MOMENT = "A line that was just sent takes a moment to be found."


@router.get("/customers/{customer_id:path}/invoices", summary="The invoices of a customer")
def customer_invoices(
    service: Served, customer_id: CustomerId, limit: Limit = 100, after: After = ""
) -> CustomerInvoices:
    """By invoice number as text, descending: cancellations (C...) first, then sales, the newest first in each."""
    page = _page(service.lookups, CUSTOMERS, customer_id, after, limit, descending=True)
    if not page.items and not after:
        raise Refused(404, "unknown_customer", f"There are no invoices of a customer {customer_id}. {_MOMENT}")
    return CustomerInvoices(
        customer_id=customer_id,
        invoices=[CustomerInvoice.model_validate(item) for item in page.items],
        after=page.after or None,
    )


@router.get("/invoices/{invoice_no:path}/lines", summary="The lines of an invoice")
def invoice_lines(service: Served, invoice_no: InvoiceNo, limit: Limit = 100, after: After = "") -> InvoiceLines:
    """In the order of time. A cancelled line names the sale it takes back."""
    page = _page(service.lookups, INVOICES, invoice_no, after, limit)
    if not page.items and not after:
        raise _no_invoice(invoice_no)
    sales = _Sales(service.lookups)
    return InvoiceLines(
        invoice_no=invoice_no,
        lines=[
            InvoiceLine.model_validate({"description": None, **item, "cancels": sales.cancelled_by(item)})
            for item in page.items
        ],
        after=page.after or None,
    )


@router.get("/invoices/{invoice_no:path}", summary="What an invoice comes to")
def invoice(service: Served, invoice_no: InvoiceNo) -> CustomerInvoice:
    """Of all its lines that are stored so far; of very long ones see `complete`."""
    found = invoice_of(service.lookups, invoice_no)
    if found is None:
        raise _no_invoice(invoice_no)
    return CustomerInvoice.model_validate(found)


@router.get(
    "/transactions",
    summary="The original's address: the invoices of a customer",
    status_code=307,
    response_class=RedirectResponse,
    responses={307: {"description": "It is at /v1/customers/{customer_id}/invoices."}},
    tags=["transactions"],
)
def transactions(
    customer_id: Annotated[str, Query(alias="CustomerID", min_length=1, max_length=64)],
) -> RedirectResponse:
    """Leads to the invoices of the customer."""
    return RedirectResponse(f"/v1/customers/{quote(customer_id, safe='')}/invoices", 307)


class _Sales:
    """The sales that cancelled lines take back; each product of a customer is looked up once."""

    def __init__(self, lookups: LookupTables) -> None:
        self._lookups = lookups
        self._found: dict[str, list[dict[str, Any]]] = {}

    def cancelled_by(self, line: Item) -> Cancels | None:
        product = str(line.get("customer_product", ""))
        if not product or not line["is_cancellation"]:
            return None
        if product not in self._found:
            self._found[product] = self._lookups.all_of(INVOICES, product, index=BY_PRODUCT)
        sale = cancelled_sale(line, self._found[product])
        return Cancels(invoice_no=str(sale["invoice_no"]), line_id=str(sale["line_id"])) if sale else None


def _page(
    lookups: LookupTables, table: LookupTable, partition: str, after: str, limit: int, *, descending: bool = False
) -> Page:
    try:
        return lookups.query(table, partition, after=after, limit=limit, descending=descending)
    except InputInvalid as error:
        raise Refused(422, "invalid", f"after: {error}") from None


def _no_invoice(invoice_no: str) -> Refused:
    return Refused(404, "unknown_invoice", f"There is no invoice {invoice_no}. {_MOMENT}")
