"""What the profile aws needs: what is set, whether each service answers, and what it lets us do.

Belongs here: one look a service, by the cheapest call that says whether a run would be allowed its own.
"""

import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from functools import partial

from instacart_pipeline.lake.contracts import PARTITION
from instacart_pipeline.lake.errors import PipelineError
from instacart_pipeline.lake.zones import Zone
from instacart_pipeline.resources.aws_account.athena_queries import run_query
from instacart_pipeline.resources.aws_account.code import GLUE_JOBS, require_deployed
from instacart_pipeline.resources.aws_account.errors import AwsDenied, AwsError, AwsNotFound, AwsRefused, AwsUnavailable
from instacart_pipeline.resources.aws_account.lake import AwsLake
from instacart_pipeline.resources.crawler.aws import crawler_name
from instacart_pipeline.resources.doctor import Finding
from instacart_pipeline.resources.lookup_tables import LookupTable
from instacart_pipeline.resources.managed_jobs.attempts import Attempt, Work
from instacart_pipeline.resources.managed_jobs.job_service import JobSucceeded
from instacart_pipeline.resources.stream.aws.checkpoints import CHECKPOINTS
from instacart_pipeline.resources.warehouse.aws.statements import Place, tried
from instacart_pipeline.settings import Settings

_DEPLOY = "Run `instacart-pipeline deploy --apply`."
_SIGN_IN = "Sign in (`aws sso login`, `aws configure`), or set INSTACART_AWS_PROFILE to a profile that is signed in."
_PERMISSIONS = {
    "s3:ListObjectsV2": "s3:ListBucket",
    "s3:HeadObject": "s3:GetObject",
    "s3:DeleteObjects": "s3:DeleteObject",
}
"""Permissions that aren't called as the operation is."""


def examine(
    settings: Settings, lake: AwsLake, systems: tuple[str, ...], tables: Sequence[LookupTable]
) -> Iterator[Finding]:
    """Look at every service that runs of `systems` use, and at the stream and the lookup tables `tables`.

    Makes one query that scans nothing; leaves nothing behind.

    Ends early where every other look would say the same: without credentials, and without a lake.
    """
    look = _Looks(settings, lake)
    found, usable = look.credentials()
    yield found
    if not usable:
        return
    if not settings.lake:
        yield Finding("s3", "bad", "no lake is set", "Set INSTACART_LAKE to s3://bucket or s3://bucket/prefix.")
        return
    yield from look.lake_in_s3()
    yield from look.service("glue catalog", look.catalog)
    for system in systems:
        yield from look.service("glue crawler", partial(look.crawler, system))
    for job in GLUE_JOBS:
        yield from look.service("glue job", partial(look.glue_job, job))
    yield from look.service("athena", look.athena)
    yield from look.service("databrew", look.databrew)
    yield from look.service("sagemaker", look.sagemaker)
    yield from look.service("kinesis", look.stream, missing=_DEPLOY)
    for table in (*tables, CHECKPOINTS):
        yield from look.service("dynamodb", partial(look.lookup_table, table), missing=_DEPLOY)
    yield from look.service("redshift", look.warehouse)
    yield from look.role()
    yield from look.service("sqs", look.queue, missing="Make the queue, or set INSTACART_UPLOAD_QUEUE to one there is.")
    yield from look.service("sns", look.topic, missing="Make the topic, or set INSTACART_ALERT_TOPIC to one there is.")


class _Looks:
    def __init__(self, settings: Settings, lake: AwsLake) -> None:
        self.settings, self.lake, self.session = settings, lake, lake.session

    def service(self, name: str, look: Callable[[], Finding], *, missing: str = "", at: str = "") -> Iterator[Finding]:
        """One look; what AWS refuses becomes a finding that says which permission is missing.

        `missing` is what to do if what was looked for isn't there; `at` is where the look was, if AWS won't say so itself.
        """
        try:
            yield look()
        except AwsError as error:
            remedy = self._allow(error) if isinstance(error, AwsDenied) else error.remedy
            if isinstance(error, AwsNotFound):
                remedy = missing
            yield Finding(name, "bad", f"{f'{at}: ' if at else ''}{_said(error)}", remedy)
        except PipelineError as error:
            yield Finding(name, "bad", str(error))

    def _allow(self, error: AwsError) -> str:
        called = f"{error.service}:{''.join(word.capitalize() for word in error.operation.split('_'))}"
        return f"Allow {_PERMISSIONS.get(called, called)} to {self.identity()}; docs/aws.md lists all."

    def identity(self) -> str:
        """Who the credentials are."""
        try:
            return str(self.session.call("sts", "get_caller_identity")["Arn"])
        except AwsError:
            return "the credentials in use"

    def credentials(self) -> tuple[Finding, bool]:
        """Who we are, and where; and whether the credentials are good for anything, as far as can be told."""
        try:
            told = self.session.call("sts", "get_caller_identity")
        except AwsError as error:
            # STS itself asks for no permission, but a network may keep it from us alone.
            usable = isinstance(error, AwsUnavailable) or error.code.startswith("AccessDenied")
            remedy = _SIGN_IN if isinstance(error, AwsDenied) and not usable else error.remedy
            return Finding("credentials", "bad", _said(error), remedy), usable
        return Finding("credentials", "ok", f"{told['Arn']} in {self.session.region_name}"), True

    def lake_in_s3(self) -> Iterator[Finding]:
        """Each zone can be listed; the work zone also written, by the conditional write that locks need."""
        missing = "Make the bucket, or set INSTACART_LAKE to the lake there is."
        zones: tuple[Zone, ...] = ("raw", "curated", "features", "sandbox", "models")
        for zone in zones:
            prefix = self.lake.zones.zone(zone)

            def listed(prefix: str = prefix) -> Finding:
                self.lake.objects.folders(prefix)
                return Finding("s3", "ok", f"{prefix} can be listed")

            yield from self.service("s3", listed, missing=missing, at=prefix)
        yield from self.service("s3", self._written, missing=missing, at=self.lake.zones.zone("work"))

    def _written(self) -> Finding:
        objects, uri = self.lake.objects, f"{self.lake.zones.zone('work')}/doctor/{uuid.uuid4().hex}.json"
        objects.put(uri, b"{}")
        try:
            objects.text(uri)
            over = objects.swap(uri, {"looked": "again"}, None)
        finally:
            objects.remove(uri)
        if over:
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
        require_deployed(self.session, self.settings.lake, job)
        return Finding("glue job", "ok", f"{job} runs the code at hand")

    def athena(self) -> Finding:
        """The workgroup is there, and a query runs in it to its end."""
        group = self.settings.athena_workgroup
        try:
            found = self.session.call("athena", "get_work_group", WorkGroup=group)["WorkGroup"]
        except AwsRefused as error:
            if "not found" not in error.message:  # Athena has no error of its own for it
                raise
            return Finding("athena", "bad", f"the workgroup {group} is not there", _DEPLOY)
        if found.get("Configuration", {}).get("EnforceWorkGroupConfiguration"):
            remedy = "Turn 'Override client-side settings' off: with it Athena refuses to write tables where the lake wants them."
            return Finding("athena", "bad", f"the workgroup {group} enforces its own output location", remedy)
        work = Work(uuid.uuid4().hex, "doctor.athena", PARTITION, "0")

        def query(attempt: Attempt) -> JobSucceeded:
            return run_query(self.lake.jobs, attempt, "doctor", "SELECT 1", workgroup=group)

        try:
            ended = self.lake.jobs.run_or_reattach(work, query)
        finally:
            with suppress(AwsError):  # it would hide what the query met
                self.lake.objects.remove_below(f"{self.lake.jobs.records.base}/run={work.run}")
        self._remove_result(ended.id)
        return Finding("athena", "ok", f"a query in {group} took {ended.look.running_seconds:.1f} s")

    def _remove_result(self, query: str) -> None:
        told = self.session.call("athena", "get_query_execution", QueryExecutionId=query)["QueryExecution"]
        written = told.get("ResultConfiguration", {}).get("OutputLocation", "")
        for uri in (written, f"{written}.metadata") if written else ():
            self.lake.objects.remove(uri)

    def databrew(self) -> Finding:
        """DataBrew answers."""
        self.session.call("databrew", "list_recipes", MaxResults=1)
        return Finding("databrew", "ok", "answers")

    def sagemaker(self) -> Finding:
        """SageMaker answers for jobs, endpoints and the registry, and the image is one of the region's."""
        for operation in ("list_training_jobs", "list_endpoints", "list_model_package_groups"):
            self.session.call("sagemaker", operation, MaxResults=1)
        image, region = self.settings.model_image, self.session.region_name
        if not image:
            remedy = "Set INSTACART_MODEL_IMAGE to the XGBoost framework image of the region (docs/aws.md)."
            return Finding("sagemaker", "bad", "answers, and no image for models is set", remedy)
        if f".{region}." not in image:
            remedy = (
                "Set INSTACART_MODEL_IMAGE to the image in the region's own registry: SageMaker pulls from no other."
            )
            return Finding("sagemaker", "bad", f"answers, and {image} is not in {region}", remedy)
        return Finding("sagemaker", "ok", f"answers; jobs and endpoints run {image}")

    def stream(self) -> Finding:
        """The stream is there, and keeps records as long as is set."""
        name, hours = self.settings.stream_name, self.settings.stream_retention_hours
        found = self.session.call("kinesis", "describe_stream_summary", StreamName=name)["StreamDescriptionSummary"]
        told = f"{name} is {found['StreamStatus']}, with {found['OpenShardCount']} shards, and keeps records for {found['RetentionPeriodHours']} hours"
        if found["RetentionPeriodHours"] < hours:
            return Finding("kinesis", "note", f"{told}; {hours} are set", _DEPLOY)
        return Finding("kinesis", "ok", told)

    def lookup_table(self, table: LookupTable) -> Finding:
        """A lookup table is there, with its indexes."""
        name = f"{self.settings.lookup_prefix}{table.name}"
        found = self.session.call("dynamodb", "describe_table", TableName=name)["Table"]
        lacking = set(table.indexes) - {index["IndexName"] for index in found.get("GlobalSecondaryIndexes", [])}
        if lacking:
            return Finding("dynamodb", "bad", f"{name} lacks the index {', '.join(sorted(lacking))}", _DEPLOY)
        return Finding("dynamodb", "ok", f"{name} is {found['TableStatus']}")

    def warehouse(self) -> Finding:
        """The workgroup of the warehouse, if there is one, runs a statement."""
        place = Place(self.settings.redshift_workgroup, self.settings.redshift_database)
        if not place.workgroup:
            remedy = "Set INSTACART_REDSHIFT_WORKGROUP to load the retail system's warehouse (docs/aws.md)."
            return Finding("redshift", "note", "no workgroup is set: there is no warehouse", remedy)
        if problem := tried(self.session, place):
            return Finding("redshift", "bad", f"{place.workgroup}: {problem}", "Look at the workgroup in the console.")
        return Finding("redshift", "ok", f"{place.workgroup} runs statements in {place.database}")

    def role(self) -> Iterator[Finding]:
        """Whether a role for the services is set. Whether they may assume it shows when they do."""
        if self.settings.service_role:
            yield Finding("role", "ok", f"services run as {self.settings.service_role}")
        else:
            remedy = "Set INSTACART_SERVICE_ROLE to the ARN of the role that crawlers, Glue, DataBrew and SageMaker jobs run as (docs/aws.md)."
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


def _said(error: AwsError) -> str:
    """What AWS said, without the advice to ask the doctor."""
    return f"{error.service} {error.operation}: {error.code}: {error.message}"
