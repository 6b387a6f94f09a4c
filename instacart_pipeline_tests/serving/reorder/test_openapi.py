"""The API held to its own OpenAPI document by Schemathesis: made-up requests, no failure of ours, every answer as described."""

from __future__ import annotations

from collections import Counter
from typing import Any

import httpx
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis import GenerationMode

from instacart_pipeline_tests.serving.reorder import shop

Case = schemathesis.Case[Any]
USERS = [*map(str, shop.CHANCES), "3"]
BOUNDED = settings(
    deadline=None,
    derandomize=True,
    phases=(Phase.explicit, Phase.generate),
    suppress_health_check=list(HealthCheck),
)


def test_every_answer_is_as_described(url: str, client: httpx.Client, examples: int) -> None:
    schema = schemathesis.openapi.from_dict(client.get("/openapi.json").json())
    found: list[Any] = list(schema.get_all_operations())
    operations = [one.ok() for one in found]
    assert len(operations) == 9
    answers: Counter[int] = Counter()

    def unsound(case: Case) -> None:
        answer = case.call(base_url=url)
        answers[answer.status_code] += 1
        if b"refused_by_model" not in answer.content:  # there is a number that the test's model can't take
            case.validate_response(answer)

    def sound(case: Case) -> None:
        # Of made-up users few exist, so half of the requests are about one that does.
        if "user_id" in case.path_parameters and answers.total() % 2:
            case.path_parameters["user_id"] = USERS[answers.total() % len(USERS)]
        unsound(case)

    modes: Any = ((GenerationMode.POSITIVE, sound), (GenerationMode.NEGATIVE, unsound))
    for operation in operations:
        for mode, hold in modes:
            # Nothing can be wrong about a request without parameters or body.
            if mode is GenerationMode.POSITIVE or operation.definition.raw.keys() & {"parameters", "requestBody"}:
                settings(BOUNDED, max_examples=examples)(
                    given(case=operation.as_strategy(generation_mode=mode))(hold)
                )()
    assert answers[200] > 3 * examples
    assert answers[422] > examples
