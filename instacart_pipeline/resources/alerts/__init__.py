"""Alerts: telling people that a run failed, or that something else needs them.

Belongs here: what an alert says and promises.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any

from dagster import ConfigurableResource

from instacart_pipeline.lake.errors import PipelineError


@dataclass(frozen=True)
class Alert:
    """A failed run: which job and day, the first error's text, and the run's id and page to look it up by.

    With a `title` it is something else, which the title says in a line and `error` in full; `run_id` is then the incident's own id.
    """

    run_id: str
    job: str
    dt: str
    error: str
    link: str = ""
    title: str = ""


class AlertUnderWay(PipelineError):
    """Another process is sending the alert, or died doing so. Sending it again later says which."""


class Alerts(ConfigurableResource[Any], ABC):
    """Sends alerts."""

    @abstractmethod
    def send(self, alert: Alert) -> bool:
        """Send an alert, once a run or incident: returns False, having sent nothing, if it was alerted before.

        Raises PipelineError if it was not sent; then it may be sent again.
        """
