"""The consumer that fills the lookup tables: a line of an invoice each, and what each customer's invoice comes to.

Belongs here: which items are stored, in which order. Doesn't: their keys (retail/lookups.py).

An invoice's own item is made anew of all its lines, which are read back after they were stored. An invoice only ever gains lines, and who
stores one looks at the invoice afterwards; so of several that look, the one that finds most lines finds all, and `put_if_greater`
keeps that one's, in whatever order they come in.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from instacart_pipeline.resources.lookup_tables import Item, LookupTables, Value
from instacart_pipeline.retail.consumers.consumer import Consumer, Taken
from instacart_pipeline.retail.lookups import CUSTOMERS, INVOICES, invoice_item

NAME = "lookups"
BATCH_SIZE = 2_000
_PENNY_PARTS = 10_000
"""Prices have four decimals; amounts are summed in whole numbers of these."""


@dataclass(frozen=True)
class _Tables:
    tables: LookupTables

    def store(self, taken: Sequence[Taken]) -> None:
        """Store lines, then the invoices they are of."""
        self.tables.put(INVOICES, [invoice_item(each.line) for each in taken])
        touched = dict.fromkeys(each.line.invoice_no for each in taken)
        invoices = [
            one for invoice in touched for one in invoices_of_customers(self.tables.all_of(INVOICES, invoice)).values()
        ]
        self.tables.put_if_greater(CUSTOMERS, invoices, "lines")


def lookups(tables: LookupTables) -> Consumer:
    """The consumer, over its resources."""
    return Consumer(NAME, BATCH_SIZE, 0.0, tables, _Tables(tables).store)


def invoices_of_customers(lines: Iterable[Item]) -> Mapping[str, Item]:
    """The items of CUSTOMERS of one invoice, by customer: of all its lines, in the order of time, as INVOICES has them.

    An invoice has one customer, but for mistakes; then each has the part of it that names them. Where none is known, that is UNKNOWN.
    """
    by_customer: dict[str, list[Item]] = {}
    for line in lines:
        by_customer.setdefault(str(line["customer_id"]), []).append(line)
    return {customer: summed(mine) for customer, mine in by_customer.items()}


def summed(lines: Sequence[Item]) -> dict[str, Value]:
    """What lines of an invoice come to, as an item of CUSTOMERS: of items of INVOICES in the order of time."""
    first = lines[0]
    amount = sum(int(line["quantity"]) * int(str(line["unit_price"]).replace(".", "")) for line in lines)
    return {
        "customer_id": first["customer_id"],
        "invoice_no": first["invoice_no"],
        "invoice_time": first["invoice_time"],
        "country": first["country"],
        "lines": len(lines),
        "quantity": sum(int(line["quantity"]) for line in lines),
        "amount": _written(amount),
        "is_cancellation": first["is_cancellation"],
    }


def _written(amount: int) -> str:
    pounds, parts = divmod(abs(amount), _PENNY_PARTS)
    return f"{'-' if amount < 0 else ''}{pounds}.{parts:04}"
