"""The addresses of transactions and invoices held to their OpenAPI document by Schemathesis: made-up requests, no failure of ours."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis import GenerationMode
from schemathesis.specs.openapi.checks import negative_data_rejection, positive_data_acceptance

from instacart_pipeline_tests.serving.retail.sales_client import SalesClient, a_line, sales_client
from instacart_pipeline_tests.tiers import costs

Case = schemathesis.Case[Any]
BOUNDED = settings(
    deadline=None,
    derandomize=True,
    phases=(Phase.explicit, Phase.generate),
    suppress_health_check=list(HealthCheck),
)
ACCEPTANCE: list[Any] = [positive_data_acceptance, negative_data_rejection]
KNOWN = {"customer_id": "17850", "invoice_no": "536365"}


@pytest.fixture
@costs("contract")
def served(folder: Path) -> Iterator[SalesClient]:
    """A desk over HTTP, with invoices of a customer."""
    with sales_client(folder, over_http=True) as opened:
        opened.post([a_line(), a_line(Quantity=5), a_line(InvoiceNo="C536365", Quantity=-2)]).raise_for_status()
        opened.fill_lookups()
        yield opened


def test_every_answer_is_as_described(served: SalesClient, examples: int) -> None:
    schema = schemathesis.openapi.from_dict(served.client.get("/openapi.json").json())
    found: list[Any] = list(schema.get_all_operations())
    operations = [one.ok() for one in found]
    assert len(operations) == 8
    answers: Counter[tuple[str, int]] = Counter()

    def unsound(case: Case) -> None:
        answer = case.call(base_url=str(served.client.base_url), allow_redirects=False)
        answers[case.operation.path, answer.status_code] += 1
        # Lines may be spelled and written in more ways than a schema says; which of them are accepted is test_ingest.py's.
        case.validate_response(answer, excluded_checks=ACCEPTANCE if case.method == "POST" else [])

    def sound(case: Case) -> None:
        case.query.pop("after", None)  # it comes from a page, and can't be made up
        # Of made-up invoices and customers few exist, so half of the requests are about ones that do.
        if answers.total() % 2:
            case.path_parameters.update({name: KNOWN[name] for name in case.path_parameters})
        if answers.total() % 4 == 3 and isinstance(case.body, dict) and case.media_type == "application/json":
            case.body = {**case.body, **a_line()}
        unsound(case)

    modes: Any = ((GenerationMode.POSITIVE, sound), (GenerationMode.NEGATIVE, unsound))
    for operation in operations:
        for mode, hold in modes:
            # Nothing can be wrong about a request without parameters or body.
            if mode is GenerationMode.POSITIVE or operation.definition.raw.keys() & {"parameters", "requestBody"}:
                settings(BOUNDED, max_examples=examples)(
                    given(case=operation.as_strategy(generation_mode=mode))(hold)
                )()
    by_path = {path: {status for (at, status) in answers if at == path} for path, _ in answers}
    assert {200, 422} <= by_path["/v1/transactions"]
    assert {200, 404} <= by_path["/v1/invoices/{invoice_no}"]
    assert {200, 422} <= by_path["/v1/customers/{customer_id}/invoices"]
    assert not [status for _, status in answers if status >= 500]
