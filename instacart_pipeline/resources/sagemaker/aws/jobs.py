"""SageMaker's jobs as the managed-job core sees them: training, tuning, processing and transform, each by its name.

Belongs here: names, looking, stopping, and starting a job by a request. Doesn't: what a request is made of
(training.py, tuning.py, processing.py, transform.py).

A name is unique for ever, and made of the work and its token: so a job whose start went unanswered is found by its name,
and one that is in use already is our own.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Any, ClassVar

from instacart_pipeline.lake.errors import JobFailed, SettingsInvalid
from instacart_pipeline.resources.aws_account.errors import (
    AwsBusy,
    AwsConflict,
    AwsNotFound,
    AwsRefused,
    log_cleanup_errors,
)
from instacart_pipeline.resources.aws_account.lake import AwsLake
from instacart_pipeline.resources.aws_account.objects import Objects
from instacart_pipeline.resources.aws_account.session import AwsSession
from instacart_pipeline.resources.managed_jobs import prices
from instacart_pipeline.resources.managed_jobs.attempts import Attempt, Work
from instacart_pipeline.resources.managed_jobs.job_service import (
    JobService,
    JobStatus,
    JobSucceeded,
    State,
    log_tail,
    streams_of,
)

OUR_TAGS = [{"Key": "created_by", "Value": "instacart_pipeline"}]
"""The tags of everything that is made in SageMaker."""
_TOKEN_DIGITS = 16
_OVER = ("stopping", "succeeded", "failed", "timed out", "stopped")
_NO_ROOM = re.compile(r"service limit '(.+?)' is (\d+) Instances?.*request delta of (\d+) Instances?")


class SageMakerJobs(JobService):
    """Jobs of one kind, by name. `noun` is the kind in the API's words, `group` its log group; `base` is the work zone's prefix.

    What a job needs only while it runs lies below `base`/sagemaker/<name>, and goes with it.
    """

    noun: ClassVar[str]
    group: ClassVar[str]
    page: ClassVar[str]
    longest: ClassVar[int] = 63
    states: ClassVar[dict[str, State]] = {
        "InProgress": "running",
        "Stopping": "stopping",
        "Completed": "succeeded",
        "Failed": "failed",
        "Stopped": "stopped",
        "MaxRuntimeExceeded": "timed out",
    }

    def __init__(self, session: AwsSession, base: str) -> None:
        super().__init__(session)
        self.base = base

    def describe(self, job: str, *, once: bool = False) -> dict[str, Any]:
        """What SageMaker says of a job."""
        return self.session.call("sagemaker", f"describe_{self.operation}", once=once, **{f"{self.noun}Name": job})

    def look(self, job: str) -> JobStatus:
        """See JobService."""
        found = self.describe(job, once=True)
        state = found[f"{self.noun}Status"]
        if state == "Stopped" and found.get("SecondaryStatus") == "MaxRuntimeExceeded":
            state = "MaxRuntimeExceeded"
        queued, running = self.lasted(found)
        cost = prices.sagemaker(self.instance(found), running)
        usage = {"instance": self.instance(found)} if self.instance(found) else {}
        return JobStatus(state, self.reason(found), queued, running, usage, cost)

    def stop(self, job: str) -> None:
        """See JobService. SageMaker refuses to stop what has ended."""
        try:
            self.session.call("sagemaker", f"stop_{self.operation}", once=True, **{f"{self.noun}Name": job})
        except (AwsRefused, AwsNotFound):
            if self.states.get(self.look(job).state) not in _OVER:
                raise

    def link(self, job: str) -> str:
        """See JobService."""
        region = self.session.region_name
        return f"https://{region}.console.aws.amazon.com/sagemaker/home?region={region}#/{self.page}/{job}"

    def log_tail(self, job: str) -> Sequence[str]:
        """See JobService."""
        return log_tail(self.session, streams_of(self.session, f"/aws/sagemaker/{self.group}", f"{job}/"))

    def left(self, work: Work, token: str) -> str | None:
        """See JobService."""
        return self.started(self.name_of(work, token))

    def remove(self, work: Work, token: str) -> None:
        """See JobService."""
        with log_cleanup_errors(f"What {self.scratch(work, token)} holds"):
            Objects(self.session).remove_below(self.scratch(work, token))

    def started(self, name: str) -> str | None:
        """The job of that name, if there is one: a call, tried once."""
        try:
            self.describe(name, once=True)
        except AwsNotFound:
            return None
        return name

    def name_of(self, work: Work, token: str) -> str:
        """The name of a work's job."""
        return job_name(f"{work.table}-{work.dt}", token, self.longest)

    def scratch(self, work: Work, token: str) -> str:
        """The prefix of what is there only for the job."""
        return f"{self.base}/sagemaker/{self.name_of(work, token)}"

    def lasted(self, found: Mapping[str, Any]) -> tuple[float, float]:
        """Seconds in which a job waited and ran, by its description."""
        start, end = self.when(found)
        created = found["CreationTime"]
        queued = (start - created).total_seconds() if start else 0.0
        return max(0.0, queued), (end - start).total_seconds() if start and end else 0.0

    def when(self, found: Mapping[str, Any]) -> tuple[datetime | None, datetime | None]:
        """When a job began and ended."""
        kind = self.noun.removesuffix("Job")
        return found.get(f"{kind}StartTime"), found.get(f"{kind}EndTime")

    def reason(self, found: Mapping[str, Any]) -> str:
        """Why a job failed."""
        return str(found.get("FailureReason") or "")

    def instance(self, found: Mapping[str, Any]) -> str:
        """The type of a job's only instance."""
        del found
        return ""

    @property
    def operation(self) -> str:
        """The end of the names of the operations on a job."""
        return re.sub(r"(?<!^)([A-Z])", r"_\1", self.noun).lower()


class TrainingJobs(SageMakerJobs):
    """Training jobs."""

    name = "SageMaker training job"
    noun, group, page = "TrainingJob", "TrainingJobs", "jobs"

    def instance(self, found: Mapping[str, Any]) -> str:
        """See SageMakerJobs."""
        return str(found["ResourceConfig"].get("InstanceType", ""))


class ProcessingJobs(SageMakerJobs):
    """Processing jobs."""

    name = "SageMaker processing job"
    noun, group, page = "ProcessingJob", "ProcessingJobs", "processing-jobs"

    def reason(self, found: Mapping[str, Any]) -> str:
        """See SageMakerJobs. The script's own last words are the exit message."""
        return " ".join(str(found[key]) for key in ("FailureReason", "ExitMessage") if found.get(key))

    def instance(self, found: Mapping[str, Any]) -> str:
        """See SageMakerJobs."""
        return str(found["ProcessingResources"]["ClusterConfig"].get("InstanceType", ""))


class TransformJobs(SageMakerJobs):
    """Batch transform jobs. The model that is made for one bears its name, and goes with it."""

    name = "SageMaker transform job"
    noun, group, page = "TransformJob", "TransformJobs", "transform-jobs"

    def instance(self, found: Mapping[str, Any]) -> str:
        """See SageMakerJobs."""
        return str(found["TransformResources"].get("InstanceType", ""))

    def remove(self, work: Work, token: str) -> None:
        """See JobService."""
        name = self.name_of(work, token)
        with log_cleanup_errors(f"The SageMaker model {name}"), suppress(AwsNotFound):
            self.session.call("sagemaker", "delete_model", ModelName=name)
        super().remove(work, token)


class TuningJobs(SageMakerJobs):
    """Tuning jobs. What their trainings cost is not in the description, and is summed up by whoever lists them."""

    name = "SageMaker tuning job"
    noun, group, page = "HyperParameterTuningJob", "TrainingJobs", "hyper-tuning-jobs"
    longest = 32

    def when(self, found: Mapping[str, Any]) -> tuple[datetime | None, datetime | None]:
        """See SageMakerJobs."""
        return found["CreationTime"], found.get("HyperParameterTuningEndTime")


KINDS: tuple[type[SageMakerJobs], ...] = (TrainingJobs, TuningJobs, ProcessingJobs, TransformJobs)


@dataclass(frozen=True)
class SageMakerContext:
    """What all jobs are made with: the lake, the image they run in, the role they run as, and the types of their instances."""

    lake: AwsLake
    image: str
    role: str
    training_instance: str
    transform_instance: str

    def require_set(self) -> None:
        """Raise SettingsInvalid naming what is not set."""
        given = (("INSTACART_MODEL_IMAGE", self.image), ("INSTACART_SERVICE_ROLE", self.role))
        missing = [name for name, value in given if not value]
        if missing:
            raise SettingsInvalid(f"SageMaker jobs need {' and '.join(missing)}; docs/aws.md says what to set them to.")

    @property
    def deadline(self) -> int:
        """Seconds after which SageMaker itself ends a job that nobody is left to stop."""
        return max(60, int(self.lake.jobs.deadline_seconds))

    def run(
        self, kind: type[SageMakerJobs], attempt: Attempt, job: str, prepare: Callable[[str, str], dict[str, Any]]
    ) -> JobSucceeded:
        """Run the job `job` of an attempt. `prepare(name, scratch)` puts what it needs in place, and gives the rest of the request.

        Raises as ManagedJobs.run does. What it needed only while it ran is gone afterwards.
        """
        self.require_set()
        session, service = self.lake.session, kind(self.lake.session, self.lake.zones.zone("work"))

        def start(token: str) -> str:
            name = service.name_of(attempt.work, token)
            request = prepare(name, service.scratch(attempt.work, token))
            try:
                session.call(
                    "sagemaker",
                    f"create_{service.operation}",
                    once=True,
                    Tags=OUR_TAGS,
                    **{f"{kind.noun}Name": name},
                    **request,
                )
            except AwsConflict:
                # A name is used once for ever: it is our own, started by a call whose answer was lost.
                return name
            except AwsBusy as busy:
                require_room(busy)
                raise
            return name

        return self.lake.jobs.run(
            attempt, job, service, start, lambda token: service.started(service.name_of(attempt.work, token))
        )

    def clear(self, kind: type[SageMakerJobs], attempt: Attempt, job: str) -> None:
        """Remove what the job `job` of an attempt needed only while it ran."""
        kind(self.lake.session, self.lake.zones.zone("work")).remove(attempt.work, attempt.token(job))


def job_name(title: str, token: str, longest: int = 63) -> str:
    """A name as SageMaker allows it, which says what it is of and holds the first digits of the token."""
    plain = re.sub(r"[^a-zA-Z0-9]+", "-", title).strip("-")[: longest - _TOKEN_DIGITS - 1].strip("-")
    return f"{plain}-{token[:_TOKEN_DIGITS]}"


def require_room(busy: AwsBusy) -> None:
    """Raise JobFailed if a quota is so small that no other job's end makes room. New accounts have none of most instances."""
    found = _NO_ROOM.search(busy.message)
    if found and int(found[2]) < int(found[3]):
        raise JobFailed(
            f"The account's quota '{found[1]}' is {found[2]}, and {found[3]} is needed. Ask for a higher one in the console of "
            f"Service Quotas, or set another instance type (docs/aws.md)."
        ) from busy
