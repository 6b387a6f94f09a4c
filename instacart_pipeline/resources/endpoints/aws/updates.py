"""Endpoints of SageMaker coming to stand on a configuration, as jobs of the managed-job core.

Belongs here: how such a change is looked at, and when it has failed. Doesn't: which configuration, and the canary (__init__.py).
"""

from collections.abc import Sequence
from typing import Any, ClassVar

from instacart_pipeline.resources.aws_account.errors import AwsNotFound
from instacart_pipeline.resources.managed_jobs.attempts import Work
from instacart_pipeline.resources.managed_jobs.job_service import JobService, JobStatus, State, log_tail

_STREAMS = 2
_AT_WORK = ("Creating", "Updating", "SystemUpdating", "RollingBack")


class EndpointUpdates(JobService):
    """Changes of endpoints, by "endpoint/configuration".

    SageMaker can't break one off: a change whose run is stopped goes on to its end, and the next deployment starts from there.
    """

    name = "SageMaker endpoint update"
    states: ClassVar[dict[str, State]] = {
        **dict.fromkeys(_AT_WORK, "running"),
        "InService": "succeeded",
        "RolledBack": "failed",
        "Failed": "failed",
        "UpdateRollbackFailed": "failed",
        "OutOfService": "failed",
        "Deleting": "stopping",
        "Deleted": "stopped",
    }

    def look(self, job: str) -> JobStatus:
        """See JobService."""
        name, config = job.split("/")
        try:
            found = self.session.call("sagemaker", "describe_endpoint", once=True, EndpointName=name)
        except AwsNotFound:
            return JobStatus("Deleted", "The endpoint was deleted.")
        state, reason = found["EndpointStatus"], found.get("FailureReason") or ""
        if state == "InService" and found.get("EndpointConfigName") != config:
            state = "RolledBack"
            reason = reason or f"it stands on {found.get('EndpointConfigName')} instead"
        return JobStatus(state, reason)

    def stop(self, job: str) -> None:
        """See JobService. There is nothing that stops it; it ends by itself."""

    def link(self, job: str) -> str:
        """See JobService."""
        region, (name, _) = self.session.region_name, job.split("/")
        return f"https://{region}.console.aws.amazon.com/sagemaker/home?region={region}#/endpoints/{name}"

    def log_tail(self, job: str) -> Sequence[str]:
        """See JobService. The newest streams are those of the instances that came up last."""
        group = f"/aws/sagemaker/Endpoints/{job.split('/', maxsplit=1)[0]}"
        try:
            found = self.session.call(
                "logs",
                "describe_log_streams",
                logGroupName=group,
                orderBy="LastEventTime",
                descending=True,
                limit=_STREAMS,
            )
        except AwsNotFound:
            return ()
        return log_tail(self.session, [(group, str(stream["logStreamName"])) for stream in found["logStreams"]])

    def left(self, work: Work, token: str) -> str | None:
        """See JobService. One that nobody noted ends by itself as well."""
        del work, token
        return None


def at_work(found: dict[str, Any]) -> bool:
    """Whether an endpoint, by its description, is on its way to another state."""
    return found["EndpointStatus"] in (*_AT_WORK, "Deleting")
