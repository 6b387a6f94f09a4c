"""The consumer that fills the lookup tables: a line of an invoice each, and what each customer's invoice comes to.

Belongs here: which items are stored, in which order. Doesn't: their keys (retail/lookups.py).

An invoice's own item is made anew of all its lines, after they were stored. An invoice only ever gains lines, and who
stores one looks at the invoice afterwards; so of several that look, the one that finds most lines finds all, and `put_if_greater`
keeps that one's, in whatever order they come in. To look is to count: an invoice that has no more lines than the batch brought has just
these, which needn't be read; most have, since an invoice's lines come together. The lines of any other are read back. Since that costs as
much as the invoice has lines, at every batch that brings some of it, only the first MOST_SUMMED are looked at, and none once there are
more: no invoice, however long, holds up the others.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from instacart_pipeline.resources.lookup_tables import Item, LookupTables, Value
from instacart_pipeline.retail.consumers.consumer import Consumer, RecordLine
from instacart_pipeline.retail.lookups import CUSTOMERS, INVOICES, invoice_item

NAME = "lookups"
BATCH_SIZE = 2_000
MOST_SUMMED = 10_000
"""Lines of an invoice that are summed: the longest of the real ones has 1,114. The lines themselves are stored however many there are."""
_MOST_KNOWN = 10_000
_PENNY_PARTS = 10_000
"""Prices have four decimals; amounts are summed in whole numbers of these."""


@dataclass(frozen=True)
class _Tables:
    tables: LookupTables
    _long: set[str] = field(default_factory=set)
    """Invoices of more than MOST_SUMMED lines, whose sums are stored and don't change any more."""

    def store(self, taken: Sequence[RecordLine]) -> None:
        """Store lines, then the invoices they are of."""
        items = [invoice_item(each.line) for each in taken]
        brought: dict[str, dict[str, Item]] = {}
        for item in items:
            brought.setdefault(str(item["invoice_no"]), {})[str(item["line_key"])] = item
        self.tables.put(INVOICES, items)
        invoices = self._invoices({invoice: brought[invoice] for invoice in sorted(brought.keys() - self._long)})
        self.tables.put_if_greater(CUSTOMERS, invoices, "invoice_lines")
        if len(self._long) > _MOST_KNOWN:
            self._long.clear()
        self._long.update(str(one["invoice_no"]) for one in invoices if not one["complete"])

    def _invoices(self, brought: Mapping[str, Mapping[str, Item]]) -> list[Item]:
        """The items of CUSTOMERS of the invoices of which these lines, by key, were just stored."""
        sizes = self.tables.sizes(INVOICES, list(brought), 1 + max(map(len, brought.values()), default=0))
        invoices: list[Item] = []
        for invoice_no, lines in brought.items():
            if len(lines) == sizes[invoice_no] <= MOST_SUMMED:
                parts = _parts([lines[key] for key in sorted(lines)], complete=True)
            else:
                parts = parts_of(self.tables, invoice_no)
            invoices += parts.values()
        return invoices


def lookups(tables: LookupTables) -> Consumer:
    """The consumer, over its resources."""
    return Consumer(NAME, BATCH_SIZE, 0.0, tables, _Tables(tables).store)


def parts_of(tables: LookupTables, invoice_no: str) -> Mapping[str, Item]:
    """The items of CUSTOMERS of one invoice, by customer, as its lines in INVOICES have it.

    An invoice has one customer, but for mistakes; then each has the part of it that names them. Where none is known, that is UNKNOWN.
    """
    page = tables.query(INVOICES, invoice_no, limit=MOST_SUMMED)
    return _parts(page.items, complete=not page.after)


def _parts(lines: Sequence[Item], *, complete: bool) -> Mapping[str, Item]:
    """The parts of an invoice by customer, of its lines in their order: all, or as many as are summed."""
    by_customer: dict[str, list[Item]] = {}
    for line in lines:
        by_customer.setdefault(str(line["customer_id"]), []).append(line)
    found = len(lines) + (not complete)
    return {customer: _summed(mine, found, complete=complete) for customer, mine in by_customer.items()}


def invoice_of(tables: LookupTables, invoice_no: str) -> Item | None:
    """What an invoice comes to, as an item of CUSTOMERS, whosever its lines are; None if there is none.

    That of its first line's customer, but for invoices of several, by mistake, and for the moment until a line just stored is summed.
    """
    first = tables.query(INVOICES, invoice_no, limit=1).items
    if not first:
        return None
    known = tables.get(CUSTOMERS, str(first[0]["customer_id"]), invoice_no)
    if known is not None and known["lines"] == min(int(known.get("invoice_lines", 0)), MOST_SUMMED):
        return known
    page = tables.query(INVOICES, invoice_no, limit=MOST_SUMMED)
    return _summed(page.items, len(page.items) + bool(page.after), complete=not page.after)


def _summed(lines: Sequence[Item], found: int, *, complete: bool) -> dict[str, Value]:
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
        "invoice_lines": found,
        "complete": complete,
    }


def _written(amount: int) -> str:
    pounds, parts = divmod(abs(amount), _PENNY_PARTS)
    return f"{'-' if amount < 0 else ''}{pounds}.{parts:04}"
