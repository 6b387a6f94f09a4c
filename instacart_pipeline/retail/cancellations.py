"""What a cancellation takes back: the rule, on items of the lookup tables.

Belongs here: which sale a cancelled line undoes. The same rule, for whole days, stands in sql/warehouse/cancellations.sql. The records name no
sale themselves, and the sale may come by the stream after its cancellation, so the rule is applied when somebody asks, never stored.
"""

from __future__ import annotations

from collections.abc import Iterable

from instacart_pipeline.resources.lookup_tables import Item


def cancelled_sale(cancelled: Item, candidates: Iterable[Item]) -> Item | None:
    """The sale that a line of a cancellation takes back, or None; both are items of lookups.INVOICES.

    `candidates` are lines of the same customer and product: those of the index lookups.BY_PRODUCT under the cancelled line's own
    `customer_product`; a line without that has an unknown customer, and takes back nothing that can be told. Which order they come in
    doesn't matter. A sale is a line of another invoice, no cancellation, not later, of at least the quantity cancelled. Of several it is
    one at the same price before any other; then the latest; of the same time the last by invoice_no, then by line_id, as texts.
    """
    product = cancelled.get("customer_product")
    if not product or not cancelled["is_cancellation"] or int(cancelled["quantity"]) >= 0:
        return None
    sales = [
        sale
        for sale in candidates
        if sale.get("customer_product") == product
        and not sale["is_cancellation"]
        and sale["invoice_no"] != cancelled["invoice_no"]
        and int(sale["quantity"]) >= -int(cancelled["quantity"])
        and str(sale["invoice_time"]) <= str(cancelled["invoice_time"])
    ]
    return max(sales, key=lambda sale: _preference(sale, cancelled), default=None)


def _preference(sale: Item, cancelled: Item) -> tuple[bool, str, str, str]:
    same_price = sale["unit_price"] == cancelled["unit_price"]
    return same_price, str(sale["invoice_time"]), str(sale["invoice_no"]), str(sale["line_id"])
