"""Asking the model, whatever stands behind the endpoint: which rows it gets, and what becomes of every answer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from instacart_pipeline.container.contract import FEATURES_DIFFER, features_digest
from instacart_pipeline.lake.artefacts import Artefact
from instacart_pipeline.resources.endpoints import Canary, Deployed, Endpoints, Reply
from instacart_pipeline.resources.model_registry import ModelVersion
from instacart_pipeline.serving.errors import Refused
from instacart_pipeline.serving.reorder import asking

VALUES = {"chance": 0.5, "user_orders": 5.0, "up_orders": float("nan")}


class Answering(Endpoints):
    """An endpoint in memory: `answer` is asked with each body and its attributes, `standing` is what is said to stand behind it."""

    answer: Any
    standing: Any

    def deploy(self, name: str, version: ModelVersion, canary: Canary) -> Deployed:
        raise NotImplementedError

    def deployed(self, name: str) -> ModelVersion:
        del name
        found: ModelVersion = self.standing[-1]
        return found

    def invoke(
        self, name: str, body: bytes, *, content_type: str = "text/csv", accept: str = "text/csv", attributes: str = ""
    ) -> Reply:
        del name, content_type, accept
        reply: Reply = self.answer(body, attributes)
        return reply


def version(number: int, *features: str) -> ModelVersion:
    artefact = Artefact("reorder", "model", "2026-11-20", f"v{number}", "/nowhere", "digest")
    return ModelVersion("reorder", number, "Approved", artefact, {}, {"features": list(features)})


def model(answer: Callable[[bytes, str], Reply], standing: Sequence[ModelVersion] = ()) -> asking.Model:
    """The model behind an endpoint of which the last of `standing` stands; without any, a version of all VALUES."""
    return asking.Model(Answering(answer=answer, standing=standing or [version(1, *VALUES)]), "reorder")


def rows(features: Sequence[str]) -> NDArray[np.float32]:
    return np.array([[VALUES[name] for name in features]] * 2, np.float32)


def always(status: int, body: bytes) -> Callable[[bytes, str], Reply]:
    return lambda _body, _attributes: Reply(status, body, "text/csv")


def test_rows_are_sent_as_csv_with_empty_fields_and_the_digest_of_their_features() -> None:
    asked: list[tuple[bytes, str]] = []

    def answer(body: bytes, attributes: str) -> Reply:
        asked.append((body, attributes))
        return Reply(200, b"0.25\n0.5\n", "text/csv", "model=reorder/1")

    answered = model(answer).ask(rows)
    assert asked == [(b"0.5,5,\n0.5,5,\n", f"features={features_digest(tuple(VALUES))}")]
    assert (answered.probabilities.tolist(), answered.model) == ([0.25, 0.5], "reorder/1")


def test_no_rows_ask_nobody() -> None:
    answered = model(always(500, b"asked")).ask(lambda _: np.empty((0, 3), np.float32))
    assert (len(answered.probabilities), answered.model) == (0, "reorder/1")


@pytest.mark.parametrize(
    ("status", "body", "refused", "code", "words"),
    [
        (500, b"no model was deployed yet", 502, "model_failed", "answered 500: no model was deployed yet"),
        (503, b"", 503, "unavailable", "The model can't answer now: no reason given"),
        (429, b"slow down", 503, "unavailable", "slow down"),
        (400, b"out of paper", 502, "model_failed", "answered 400: out of paper"),
        (200, b"0.5\n" * 3, 502, "model_failed", "2 rows with something else than a probability each"),
        (200, b"a\n" * 2, 502, "model_failed", "something else than a probability each"),
        (200, b"1.5\n" * 2, 502, "model_failed", "something else than a probability each"),
        (200, b"nan\n" * 2, 502, "model_failed", "something else than a probability each"),
        (200, b"\xff\xfe", 502, "model_failed", "something else than a probability each"),
    ],
)
def test_a_model_that_fails_is_never_said_to_be_the_callers_fault(
    status: int, body: bytes, refused: int, code: str, words: str
) -> None:
    with pytest.raises(Refused, match=words) as error:
        model(always(status, body)).ask(rows)
    assert (error.value.status, error.value.code, error.value.headers) == (refused, code, {"Retry-After": "2"})


@pytest.mark.parametrize(("status", "refused"), [(400, 422), (415, 422), (429, 503), (500, 502)])
def test_rows_of_the_callers_own_that_the_model_refuses_are_the_callers_fault(status: int, refused: int) -> None:
    with pytest.raises(Refused, match="row 1 is odd") as error:
        model(always(status, b"row 1 is odd")).pass_on(b"1,2\n", 1)
    assert error.value.status == refused


def test_rows_are_made_again_for_a_version_that_took_over_with_other_features() -> None:
    before, after = version(1, *VALUES), version(2, *reversed(VALUES))
    standing = [before]

    def answer(body: bytes, attributes: str) -> Reply:
        if standing[-1] is before:
            standing.append(after)  # it takes over while it is asked
        if attributes != f"features={features_digest(tuple(reversed(VALUES)))}":
            return Reply(400, FEATURES_DIFFER.encode(), "text/plain")
        assert body == b",5,0.5\n,5,0.5\n"
        return Reply(200, b"0.5\n0.5\n", "text/csv", "model=reorder/2")

    asked = model(answer, standing)
    answered = asked.ask(rows)
    assert (answered.model, answered.card["features"]) == ("reorder/2", [*reversed(VALUES)])


def test_a_version_of_the_same_features_that_took_over_is_named_by_its_own_word() -> None:
    standing = [version(1, *VALUES)]

    def answer(_body: bytes, _attributes: str) -> Reply:
        standing.append(version(2, *VALUES))
        return Reply(200, b"0.5\n0.5\n", "text/csv", "model=reorder/2")

    asked = model(answer, standing)
    assert asked.ask(rows).model == "reorder/2"
    assert asked.version.number == 2


def test_a_server_that_never_agrees_on_the_features_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    now, asked = [0.0], [0]

    def differ(_body: bytes, _attributes: str) -> Reply:
        asked[0] += 1
        return Reply(400, FEATURES_DIFFER.encode(), "text/plain")

    def sleep(seconds: float) -> None:
        now[0] += seconds

    monkeypatch.setattr(asking, "time", SimpleNamespace(monotonic=lambda: now[0], sleep=sleep))
    with pytest.raises(Refused, match=r"answers with a version other than the deployed one \(reorder/1\)") as error:
        model(differ).ask(rows)
    assert error.value.status == 503
    assert asked[0] == pytest.approx(asking._PATIENCE_SECONDS / asking._PAUSE_SECONDS, abs=2)


def test_whether_the_model_answers_is_asked_once_a_second_however_many_want_to_know(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now, asked = [10.0], list[bytes]()

    def answer(body: bytes, _attributes: str) -> Reply:
        asked.append(body)
        return Reply(500, b"broken", "text/plain") if len(asked) == 1 else Reply(200, b"0.5\n", "text/csv")

    monkeypatch.setattr(asking, "time", SimpleNamespace(monotonic=lambda: now[0]))
    probed = model(answer)
    assert [probed.reachable(3) for _ in range(3)] == ["The model answers 500: broken"] * 3
    assert asked == [b",,\n"]
    now[0] += 1.5
    assert probed.reachable(3) == ""
    assert len(asked) == 2
