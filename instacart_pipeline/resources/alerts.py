"""Alerts: telling people that a run failed.

Belongs here: what an alert says and promises. Its twins: local/alerts.py, aws/alerts.py.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any

from dagster import ConfigurableResource

from instacart_pipeline.lake.errors import PipelineError


@dataclass(frozen=True)
class Alert:
    """A failed run: which job and day, the first error's text, and the run's id and page to look it up by."""

    run_id: str
    job: str
    dt: str
    error: str
    link: str = ""


class AlertUnderWay(PipelineError):
    """Another process is sending the alert, or died doing so. Sending it again later says which."""


class Alerts(ConfigurableResource[Any], ABC):
    """Sends alerts."""

    @abstractmethod
    def send(self, alert: Alert) -> bool:
        """Send an alert, once a run: returns False, having sent nothing, if the run was alerted before.

        Raises PipelineError if it was not sent; then it may be sent again.
        """
