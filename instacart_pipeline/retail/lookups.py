"""The lookup tables of the retail system: which there are, and their items.

Belongs here: keys and attributes. Doesn't: who fills them (consumers/), who reads them (serving/retail/).
"""

from __future__ import annotations

from instacart_pipeline.resources.lookup_tables import LookupTable

CUSTOMERS = LookupTable("customers", "customer_id", "invoice_no")
"""An invoice of a customer: customer_id, invoice_no, invoice_time (of its first line), country, lines, quantity, amount, is_cancellation."""

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
"""What was answered to a request with an Idempotency-Key: idempotency_key, digest (of its body), answer (JSON), expires."""

ALL = (CUSTOMERS, INVOICES, DEAD_LETTERS, REQUESTS)
