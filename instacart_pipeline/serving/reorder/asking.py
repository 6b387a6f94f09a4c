"""Asking the model: through the endpoint, with rows of the features it wants, whichever version stands behind it by now.

Belongs here: which features those are, the agreement on them, and reading the answer. Doesn't: HTTP (the backends of Endpoints).

A row is nothing but numbers in an order that only the model version knows. So each request names, by a digest, the features it
was made of; a server that was given a version with others refuses it, and the rows are made again for that version.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from instacart_pipeline.container.contract import FEATURES_DIFFER, attributes_of, features_digest
from instacart_pipeline.container.csv_body import as_csv
from instacart_pipeline.lake.errors import PipelineError
from instacart_pipeline.serving.errors import RETRY, Refused

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from instacart_pipeline.resources.endpoints import Endpoints, Reply
    from instacart_pipeline.resources.model_registry import ModelVersion

_PATIENCE_SECONDS = 5.0
"""How long a change of versions may take before a request gives up: the endpoint changes over a moment before or after its name."""
_PAUSE_SECONDS = 0.05
PROBE_SECONDS = 1.0
"""How long it is taken for granted that the model answers, or doesn't, once it was asked whether it does."""


@dataclass(frozen=True)
class Answer:
    """The model's probabilities, and the version that gave them: its label, by its own word, and its card."""

    probabilities: NDArray[np.float64]
    model: str
    card: Mapping[str, Any]


class Model:
    """The model behind the endpoint `name`."""

    def __init__(self, endpoints: Endpoints, name: str) -> None:
        self.endpoints, self.name = endpoints, name
        self._version: ModelVersion | None = None
        self._probed = (0.0, "")
        self._probing = threading.Lock()

    @property
    def version(self) -> ModelVersion:
        """What stands behind the endpoint, as last seen. Raises EndpointNotFound."""
        return self._version or self.look()

    def look(self) -> ModelVersion:
        """What stands behind the endpoint by now."""
        self._version = self.endpoints.deployed(self.name)
        return self._version

    def features(self, version: ModelVersion) -> Sequence[str]:
        """The features that a version wants, in order."""
        return tuple(version.card.get("features", ()))

    def ask(self, rows: Callable[[Sequence[str]], NDArray[np.float32]]) -> Answer:
        """The probabilities for `rows(features)`, made for whichever version answers; NaN is a missing value.

        Raises Refused (502) if the model refuses what it should understand, EndpointUnavailable, EndpointNotFound.
        """
        deadline = time.monotonic() + _PATIENCE_SECONDS
        version = self.version
        while True:
            features = self.features(version)
            matrix = rows(features)
            if not len(matrix):
                return Answer(np.empty(0), version.label, version.card)
            attributes = f"features={features_digest(features)}"
            reply = self.endpoints.invoke(self.name, csv_of(matrix), attributes=attributes)
            if reply.status == 200:
                probabilities = _read(reply, len(matrix))
                label = attributes_of(reply.attributes).get("model", version.label)
                if label != version.label:  # another of the same features answers already, or still
                    version = self.look()
                return Answer(probabilities, label, version.card)
            if not _differ(reply):
                raise _refused(reply)
            if time.monotonic() > deadline:
                raise Refused(
                    503,
                    "unavailable",
                    f"The endpoint {self.name} answers with a version other than the deployed one "
                    f"({version.label}). It may be changing; try again.",
                    RETRY,
                )
            version = self.look()
            if features_digest(self.features(version)) == features_digest(features):
                time.sleep(_PAUSE_SECONDS)

    def pass_on(self, body: bytes, lines: int) -> list[str]:
        """The model's answer to rows as the caller wrote them, a line each. Raises Refused, with the model's words."""
        reply = self.endpoints.invoke(self.name, body)
        if reply.status == 200:
            _read(reply, lines)
            return reply.body.decode().split()
        if 400 <= reply.status < 500 and reply.status != 429:
            raise Refused(422, "refused_by_model", f"The model refuses these rows: {_words(reply)}")
        raise _refused(reply)

    def reachable(self, fields: int) -> str:
        """Why the model can't be asked, or nothing; asked at most once in PROBE_SECONDS, however many want to know."""
        with self._probing:
            when, trouble = self._probed
            if time.monotonic() - when > PROBE_SECONDS:
                trouble = self._probe(fields)
                self._probed = (time.monotonic(), trouble)
            return trouble

    def _probe(self, fields: int) -> str:
        try:
            reply = self.endpoints.invoke(self.name, b"," * (fields - 1) + b"\n")
        except PipelineError as error:
            return str(error)
        return "" if reply.status == 200 else f"The model answers {reply.status}: {_words(reply)}"


def csv_of(matrix: NDArray[np.float32]) -> bytes:
    """Rows as CSV, NaN as an empty field."""
    import pyarrow as pa  # noqa: PLC0415  # takes a while to load

    columns = [pa.array(column, from_pandas=True) for column in np.ascontiguousarray(matrix.T)]
    return as_csv(pa.RecordBatch.from_arrays(columns, names=[str(number) for number in range(len(columns))]))


def _read(reply: Reply, lines: int) -> NDArray[np.float64]:
    try:
        probabilities = np.array([float(line) for line in reply.body.split()])
    except ValueError:
        probabilities = np.empty(0)
    if len(probabilities) != lines or not bool(((probabilities >= 0) & (probabilities <= 1)).all()):
        raise Refused(
            502,
            "model_failed",
            f"The model answered {lines} rows with something else than a probability each. Look at its log.",
            RETRY,
        )
    return probabilities


def _differ(reply: Reply) -> bool:
    return reply.status == 400 and reply.body.strip() == FEATURES_DIFFER.encode()


def _refused(reply: Reply) -> Refused:
    if reply.status in (429, 503):
        return Refused(503, "unavailable", f"The model can't answer now: {_words(reply)}", RETRY)
    return Refused(502, "model_failed", f"The model answered {reply.status}: {_words(reply)}", RETRY)


def _words(reply: Reply) -> str:
    return reply.body.decode(errors="replace").strip()[:500] or "no reason given"
