"""What the profile aws needs: what is set, whether each service answers, and what it lets us do.

Belongs here: one look a service, by the cheapest call that says whether a run would be allowed its own.
"""

import uuid
from collections.abc import Callable, Iterator
from functools import partial

from instacart_pipeline.lake.contracts import PARTITION
from instacart_pipeline.lake.errors import PipelineError
from instacart_pipeline.lake.zones import Zone
from instacart_pipeline.resources.aws.athena_queries import run_query
from instacart_pipeline.resources.aws.attempts import Attempt, Work
from instacart_pipeline.resources.aws.code import GLUE_JOBS, hold_deployed
from instacart_pipeline.resources.aws.crawler import crawler_name
from instacart_pipeline.resources.aws.errors import AwsDenied, AwsError, AwsNotFound
from instacart_pipeline.resources.aws.job_service import Ended
from instacart_pipeline.resources.aws.lake import AwsLake
from instacart_pipeline.resources.findings import Finding
from instacart_pipeline.settings import Settings

_DEPLOY = "Run `instacart-pipeline deploy --apply`."


def examine(settings: Settings, lake: AwsLake, systems: tuple[str, ...]) -> Iterator[Finding]:
    """Look at every service that runs of `systems` use. Makes one query that scans nothing; leaves nothing behind."""
    look = _Looks(settings, lake)
    yield from look.credentials()
    if not settings.lake:
        yield Finding("s3", "bad", "no lake is set", "Set INSTACART_LAKE to s3://bucket or s3://bucket/prefix.")
        return
    yield from look.lake_in_s3()
    yield from look.service("glue catalog", "glue:GetDatabases", look.catalog)
    for system in systems:
        yield from look.service("glue crawler", "glue:GetCrawler", partial(look.crawler, system))
    for job in GLUE_JOBS:
        yield from look.service("glue job", "glue:GetJob", partial(look.glue_job, job))
    yield from look.service("athena", "athena:StartQueryExecution", look.athena)
    yield from look.service("databrew", "databrew:ListRecipes", look.databrew)
    yield from look.role()
    yield from look.service("sqs", "sqs:GetQueueAttributes", look.queue)
    yield from look.service("sns", "sns:GetTopicAttributes", look.topic)


class _Looks:
    def __init__(self, settings: Settings, lake: AwsLake) -> None:
        self.settings, self.lake, self.session = settings, lake, lake.session

    def service(self, name: str, permission: str, look: Callable[[], Finding]) -> Iterator[Finding]:
        """One look; what AWS refuses becomes a finding that says which permission is missing."""
        try:
            yield look()
        except AwsDenied as error:
            yield Finding(name, "bad", str(error), f"Allow {permission} to {self.identity()}; docs/aws.md lists all.")
        except PipelineError as error:
            yield Finding(name, "bad", str(error))

    def identity(self) -> str:
        """Who the credentials are."""
        try:
            return str(self.session.call("sts", "get_caller_identity")["Arn"])
        except AwsError:
            return "the credentials in use"

    def credentials(self) -> Iterator[Finding]:
        """Who we are, and where."""
        try:
            told = self.session.call("sts", "get_caller_identity")
            yield Finding("credentials", "ok", f"{told['Arn']} in {self.session.region_name}")
        except AwsError as error:
            yield Finding("credentials", "bad", str(error))

    def lake_in_s3(self) -> Iterator[Finding]:
        """Each zone can be listed; the work zone also written, by the conditional write that locks need."""
        zones: tuple[Zone, ...] = ("raw", "curated", "features", "sandbox")
        for zone in zones:
            prefix = self.lake.zones.zone(zone)

            def listed(prefix: str = prefix) -> Finding:
                self.lake.objects.folders(prefix)
                return Finding("s3", "ok", f"{prefix} can be listed")

            yield from self.service("s3", f"s3:ListBucket on {prefix}", listed)
        yield from self.service("s3", "s3:PutObject, s3:GetObject and s3:DeleteObject", self._written)

    def _written(self) -> Finding:
        uri = f"{self.lake.zones.zone('work')}/doctor/{uuid.uuid4().hex}.json"
        etag = self.lake.objects.swap(uri, {"looked": "at"}, None)
        again = self.lake.objects.swap(uri, {"looked": "again"}, None)
        self.lake.objects.remove(uri, etag)
        if not etag or again:
            remedy = "Use a bucket of Amazon S3 itself: locks and job records stand on its conditional writes."
            return Finding("s3", "bad", f"{uri} was written over although the write was conditional", remedy)
        return Finding("s3", "ok", f"{self.lake.zones.zone('work')} can be written, read and deleted")

    def catalog(self) -> Finding:
        """The catalog answers."""
        found = self.session.call("glue", "get_databases", MaxResults=1)
        return Finding("glue catalog", "ok", "answers" if found["DatabaseList"] else "answers, and is empty")

    def crawler(self, system: str) -> Finding:
        """A system's crawler is there."""
        try:
            state = self.session.call("glue", "get_crawler", Name=crawler_name(system))["Crawler"]["State"]
        except AwsNotFound:
            return Finding("glue crawler", "bad", f"{crawler_name(system)} is not there", _DEPLOY)
        return Finding("glue crawler", "ok", f"{crawler_name(system)} is {state}")

    def glue_job(self, job: str) -> Finding:
        """A Glue job is there, and runs the code at hand."""
        hold_deployed(self.session, self.settings.lake, job)
        return Finding("glue job", "ok", f"{job} runs the code at hand")

    def athena(self) -> Finding:
        """The workgroup is there, and a query runs in it to its end."""
        group = self.settings.athena_workgroup
        try:
            found = self.session.call("athena", "get_work_group", WorkGroup=group)["WorkGroup"]
        except AwsError as error:
            if isinstance(error, AwsDenied):
                raise
            return Finding("athena", "bad", f"the workgroup {group} is not there: {error.message}", _DEPLOY)
        if found.get("Configuration", {}).get("EnforceWorkGroupConfiguration"):
            remedy = "Turn 'Override client-side settings' off: with it Athena refuses to write tables where the lake wants them."
            return Finding("athena", "bad", f"the workgroup {group} enforces its own output location", remedy)

        def query(attempt: Attempt) -> Ended:
            return run_query(self.lake.jobs, attempt, "doctor", "SELECT 1", workgroup=group)

        ended = self.lake.jobs.carry_out(Work(uuid.uuid4().hex, "doctor.athena", PARTITION, "0"), query)
        return Finding("athena", "ok", f"a query in {group} took {ended.look.running_seconds:.1f} s")

    def databrew(self) -> Finding:
        """DataBrew answers."""
        self.session.call("databrew", "list_recipes", MaxResults=1)
        return Finding("databrew", "ok", "answers")

    def role(self) -> Iterator[Finding]:
        """Whether a role for the services is set. Whether they may assume it shows when they do."""
        if self.settings.service_role:
            yield Finding("role", "ok", f"services run as {self.settings.service_role}")
        else:
            remedy = "Set INSTACART_SERVICE_ROLE to the ARN of the role that crawlers, Glue and DataBrew jobs run as (docs/aws.md)."
            yield Finding("role", "bad", "no role for services is set", remedy)

    def queue(self) -> Finding:
        """The queue of upload notices, if there is one."""
        if not self.settings.upload_queue:
            remedy = "Set INSTACART_UPLOAD_QUEUE to have uploads noticed at once, wherever in the past they are."
            return Finding("sqs", "note", "no queue is set: recent days are listed instead", remedy)
        told = self.session.call(
            "sqs",
            "get_queue_attributes",
            QueueUrl=self.settings.upload_queue,
            AttributeNames=["ApproximateNumberOfMessages", "RedrivePolicy"],
        )["Attributes"]
        waiting = told.get("ApproximateNumberOfMessages", "0")
        if "RedrivePolicy" not in told:
            remedy = "Give the queue a redrive policy: a message that can't be read comes back for ever otherwise."
            return Finding("sqs", "note", f"{waiting} messages wait; there is no dead-letter queue", remedy)
        return Finding("sqs", "ok", f"{waiting} messages wait")

    def topic(self) -> Finding:
        """The topic of alerts, if there is one."""
        if not self.settings.alert_topic:
            return Finding("sns", "note", "no topic is set: alerts are only logged", "Set INSTACART_ALERT_TOPIC.")
        self.session.call("sns", "get_topic_attributes", TopicArn=self.settings.alert_topic)
        return Finding("sns", "ok", f"alerts go to {self.settings.alert_topic}")
