"""The lookup tables of the retail system: which there are, and their items.

Belongs here: keys and attributes. Doesn't: who fills them (consumers/), who reads them (serving/retail/).
"""

from __future__ import annotations

from instacart_pipeline.resources.lookup_tables import LookupTable, Value
from instacart_pipeline.retail.lines import Line
from instacart_pipeline.retail.tables import UNKNOWN

CUSTOMERS = LookupTable("customers", "customer_id", "invoice_no")
"""An invoice of a customer: customer_id, invoice_no, invoice_time (of its first line), country, lines, quantity, amount, is_cancellation;
invoice_lines, how many lines of any customer the invoice had when these were summed; complete, whether that was all of them.
Those whose customer isn't known are found under UNKNOWN."""

BY_PRODUCT = "by_product"
INVOICES = LookupTable(
    "invoices",
    "invoice_no",
    "line_key",
    indexes={BY_PRODUCT: ("customer_product", "line_key")},
)
"""A line of an invoice: the fields of Line, line_id, is_product, is_cancellation. `line_key` is `<invoice_time>#<line_id>`, so that an invoice's
lines lie in the order of time; `customer_product` is `<customer_id>#<stock code in capitals>`, of known customers alone."""

DEAD_LETTERS = LookupTable("dead_letters", "consumer", "position")
"""A record that a consumer could make nothing of: consumer, position (`<shard>#<sequence, padded to 60>`), key, data (base64), reason, at."""

REQUESTS = LookupTable("requests", "idempotency_key", expires="expires")
"""A request with an Idempotency-Key: idempotency_key (`<caller>#<key>`, by whose API key it came), digest (of its body, which its
answer follows from), stored (how many of its lines are), expires."""

ALL = (CUSTOMERS, INVOICES, DEAD_LETTERS, REQUESTS)


def customer_product(customer_id: str, stock_code: str) -> str:
    """The key of BY_PRODUCT under which a known customer's lines of a product are found, however the code is capitalised."""
    return f"{customer_id}#{stock_code.upper()}"


def invoice_item(line: Line) -> dict[str, Value]:
    """A line as an item of INVOICES. A missing description, and an unknown customer's `customer_product`, are left out."""
    line_id = line.line_id
    item: dict[str, Value] = {
        "invoice_no": line.invoice_no,
        "line_key": f"{line.invoice_time}#{line_id}",
        "line_id": line_id,
        "stock_code": line.stock_code,
        "quantity": line.quantity,
        "invoice_time": line.invoice_time,
        "unit_price": line.unit_price,
        "customer_id": line.customer_id,
        "country": line.country,
        "repeat": line.repeat,
        "is_product": line.is_product,
        "is_cancellation": line.is_cancellation,
    }
    if line.description is not None:
        item["description"] = line.description
    if line.customer_id != UNKNOWN:
        item["customer_product"] = customer_product(line.customer_id, line.stock_code)
    return item
