"""Endpoints on AWS: real-time endpoints of SageMaker, a configuration a model version.

Belongs here: bringing a version behind an endpoint, holding it to its canary, and going back. Doesn't: watching the change
(updates.py).

A configuration's name says the version and a digest of all it is made of, so that the same one is made once. The endpoint's tag
`answered` names the configuration that last answered its canary: what a failed deployment goes back to, and what a
deployment whose process was killed between the change and the canary is known by.
"""

import hashlib
import json
import re
import time
from contextlib import suppress
from typing import Any

from botocore.exceptions import ClientError
from dagster import ResourceDependency, get_dagster_logger

from instacart_pipeline.lake.artefacts import MODEL
from instacart_pipeline.lake.errors import JobFailed, PipelineError, SettingsInvalid
from instacart_pipeline.resources.aws_account.errors import AwsConflict, AwsNotFound, AwsThrottled, AwsUnavailable
from instacart_pipeline.resources.aws_account.lake import AwsLake
from instacart_pipeline.resources.endpoints import (
    Canary,
    Deployed,
    DeploymentFailed,
    EndpointNotFound,
    Endpoints,
    EndpointUnavailable,
    Reply,
)
from instacart_pipeline.resources.endpoints.aws.updates import EndpointUpdates, at_work
from instacart_pipeline.resources.managed_jobs.attempts import Attempt, Work
from instacart_pipeline.resources.managed_jobs.job_service import DeadlinePassed, JobSucceeded
from instacart_pipeline.resources.model_registry import ModelVersion
from instacart_pipeline.resources.sagemaker.aws.artefacts import serving_environment
from instacart_pipeline.resources.sagemaker.aws.jobs import OUR_TAGS

_ANSWERED = "answered"
_RECORDS = "_endpoints"
"""The prefix of the models zone with the version that each configuration was made of."""
_VARIANT = "only"
_OVERTAKEN = 3
"""How often a change is tried that another deployment came in the way of."""
_ELSEWHERE = ("InService", "Updating", "SystemUpdating")
_OK, _NO_CONTENT, _TOO_LARGE = 200, 204, 413


class AwsEndpoints(Endpoints):
    """Endpoints of one instance of type `instance`, in the framework image `image`, as the IAM role `role`."""

    lake: ResourceDependency[AwsLake]
    image: str
    role: str
    instance: str

    def deploy(self, name: str, version: ModelVersion, canary: Canary) -> Deployed:
        """See Endpoints. The change is SageMaker's blue/green: the old instances answer until the new ones are healthy.

        The canary is asked after that, so a version that is healthy and fails its canary answers until it is taken back.
        """
        self._require_set()
        started = time.perf_counter()
        config = self._config(version)
        work = Work.named(f"endpoint.{name}", "now", config, {})
        ended = self.lake.jobs.run_or_reattach(
            work, lambda attempt: self._deploy(attempt, name, version, config, canary)
        )
        service = ended.facts() if ended else {}
        service.pop("estimated_cost_usd", None)  # an endpoint costs by the hour, not by the change
        return Deployed(name, version, time.perf_counter() - started, service)

    def deployed(self, name: str) -> ModelVersion:
        """See Endpoints."""
        found = self._described(name)
        if found is None or found["EndpointStatus"] in ("Creating", "Failed"):
            raise self._not_found(name)
        return ModelVersion.from_json(json.loads(self.lake.objects.text(self._record(found["EndpointConfigName"]))))

    def invoke(
        self, name: str, body: bytes, *, content_type: str = "text/csv", accept: str = "text/csv", attributes: str = ""
    ) -> Reply:
        """See Endpoints."""
        given: dict[str, Any] = {"EndpointName": name, "Body": body, "ContentType": content_type, "Accept": accept}
        if attributes:
            given["CustomAttributes"] = attributes
        try:
            return self.lake.session.doing("sagemaker-runtime", "invoke_endpoint", lambda client: _asked(client, given))
        except AwsNotFound as error:
            raise self._not_found(name) from error
        except (AwsThrottled, AwsUnavailable) as error:
            raise EndpointUnavailable(f"The endpoint {name} does not answer: {error}") from error

    def _deploy(
        self, attempt: Attempt, name: str, version: ModelVersion, config: str, canary: Canary
    ) -> JobSucceeded | None:
        found = self._settled(name)
        before = self._answered(found) if found else ""
        if found and found["EndpointConfigName"] == config and found["EndpointStatus"] == "InService":
            if before == config:
                return None
            # Brought here by a process that died before it could ask: it is held to its canary now.
            ended = None
        else:
            self._make(version, config)
            ended = self._changed(attempt, name, config, found, version, before)
        problem = self._problem(name, canary)
        if problem:
            self._take_back(attempt, name, config, before)
            raise self._failed(name, version, before, problem)
        arn = (self._described(name) or {})["EndpointArn"]
        tags = [{"Key": _ANSWERED, "Value": config}]
        self.lake.session.call("sagemaker", "add_tags", ResourceArn=arn, Tags=tags)
        return ended

    def _changed(
        self,
        attempt: Attempt,
        name: str,
        config: str,
        found: dict[str, Any] | None,
        version: ModelVersion,
        before: str,
    ) -> JobSucceeded:
        """Bring the endpoint to a configuration. Raises DeploymentFailed if SageMaker can't; then it stands as it did.

        Whoever deploys at the same time may come first: then it is tried again.
        """
        for number in range(_OVERTAKEN):
            try:
                return self._run(attempt, f"deploy {number}", name, config, found)
            except JobFailed as error:  # noqa: PERF203  # one change at a time, each of minutes
                now = self._described(name) or {}
                overtaken = now.get("EndpointStatus") in _ELSEWHERE and not now.get("FailureReason")
                if overtaken and not isinstance(error, DeadlinePassed) and number < _OVERTAKEN - 1:
                    found = self._settled(name)
                    continue
                if now.get("EndpointStatus") == "Failed":
                    self._delete(name)  # all that can be done with it
                    if before:
                        self._run(attempt, "make again", name, before, None)
                raise self._failed(name, version, before, str(error)) from error
        raise AssertionError("the last try returns or raises")

    def _run(self, attempt: Attempt, job: str, name: str, config: str, found: dict[str, Any] | None) -> JobSucceeded:
        session = self.lake.session

        def start(token: str) -> str:
            del token
            given: dict[str, Any] = {"EndpointName": name, "EndpointConfigName": config}
            if found is None:
                with suppress(AwsConflict):  # by a call whose answer was lost
                    session.call("sagemaker", "create_endpoint", once=True, **given, Tags=OUR_TAGS)
            elif not self._is_on(name, config):
                session.call("sagemaker", "update_endpoint", once=True, **given, RetainDeploymentConfig=False)
            return f"{name}/{config}"

        def find(token: str) -> str | None:
            del token
            return f"{name}/{config}" if self._is_on(name, config) else None

        return self.lake.jobs.run(attempt, job, EndpointUpdates(session), start, find)

    def _is_on(self, name: str, config: str) -> bool:
        """Whether an endpoint stands on a configuration, or is on its way to one: which else would it be?"""
        found = self._described(name)
        return found is not None and (at_work(found) or found["EndpointConfigName"] == config)

    def _take_back(self, attempt: Attempt, name: str, config: str, before: str) -> None:
        """Bring the endpoint to where it was before `config`. What goes wrong is logged: the canary's failure is the one to raise."""
        try:
            if before and before != config:
                self._run(attempt, "take back", name, before, self._described(name))
            else:
                self._delete(name)
        except PipelineError as error:
            get_dagster_logger().error(
                f"The endpoint {name} could not be taken back and stands on {config}, which failed its canary: {error} "
                f"The next deployment asks it again."
            )

    def _problem(self, name: str, canary: Canary) -> str:
        """What is wrong with the answer to a canary; empty if nothing is."""
        try:
            reply = self.invoke(name, canary.body, content_type=canary.content_type)
        except (EndpointUnavailable, EndpointNotFound) as error:
            return str(error)
        text = reply.body.decode(errors="replace")
        lines = len(text.splitlines())
        if reply.status == _OK and lines == canary.lines:
            return ""
        return f"It answered the canary with status {reply.status} and {lines} lines where 200 and {canary.lines} were due: {text[:300]}"

    def _make(self, version: ModelVersion, config: str) -> None:
        """Make model and configuration, unless they are there: their name says all they are made of."""
        call, artefact = self.lake.session.call, version.artefact
        self.lake.objects.put(self._record(config), json.dumps(version.as_json()).encode())
        container = {
            "Image": self.image,
            "ModelDataUrl": f"{artefact.location}/{MODEL}",
            "Environment": serving_environment(artefact),
        }
        model: dict[str, Any] = {
            "ModelName": config,
            "PrimaryContainer": container,
            "ExecutionRoleArn": self.role,
            "Tags": OUR_TAGS,
        }
        with suppress(AwsConflict):
            call("sagemaker", "create_model", **model)
        variant = {
            "VariantName": _VARIANT,
            "ModelName": config,
            "InitialInstanceCount": 1,
            "InstanceType": self.instance,
            "InitialVariantWeight": 1.0,
        }
        with suppress(AwsConflict):
            call(
                "sagemaker",
                "create_endpoint_config",
                EndpointConfigName=config,
                ProductionVariants=[variant],
                Tags=OUR_TAGS,
            )

    def _settled(self, name: str) -> dict[str, Any] | None:
        """The endpoint's description once it is in service, or None. Waits for a change under way; removes a failed endpoint."""
        deadline, pause = time.monotonic() + self.lake.jobs.deadline_seconds, self.lake.jobs.poll_seconds
        while (found := self._described(name)) is not None:
            if not at_work(found):
                if found["EndpointStatus"] != "Failed":
                    return found
                self._delete(name)
            if time.monotonic() > deadline:
                raise JobFailed(
                    f"The endpoint {name} is still {found['EndpointStatus']}; deploy again once it is in service."
                )
            time.sleep(pause)
            pause = min(pause * 1.5, self.lake.jobs.poll_seconds * 15)
        return None

    def _delete(self, name: str) -> None:
        with suppress(AwsNotFound):
            self.lake.session.call("sagemaker", "delete_endpoint", EndpointName=name)

    def _described(self, name: str) -> dict[str, Any] | None:
        try:
            return self.lake.session.call("sagemaker", "describe_endpoint", EndpointName=name)
        except AwsNotFound:
            return None

    def _answered(self, found: dict[str, Any]) -> str:
        pages = self.lake.session.pages("sagemaker", "list_tags", ResourceArn=found["EndpointArn"])
        tags = {each["Key"]: each["Value"] for page in pages for each in page["Tags"]}
        return str(tags.get(_ANSWERED, ""))

    def _config(self, version: ModelVersion) -> str:
        """The name of the configuration of a version."""
        made_of = [version.artefact.location, version.artefact.serve, self.image, self.role, self.instance]
        digest = hashlib.sha256(json.dumps(made_of).encode()).hexdigest()[:10]
        end = f"-{version.number}-{digest}"
        return f"{re.sub(r'[^a-zA-Z0-9]+', '-', version.group).strip('-')[: 63 - len(end)]}{end}"

    def _record(self, config: str) -> str:
        return f"{self.lake.zones.zone('models')}/{_RECORDS}/{config}.json"

    def _require_set(self) -> None:
        given = (("INSTACART_MODEL_IMAGE", self.image), ("INSTACART_SERVICE_ROLE", self.role))
        if missing := [name for name, value in given if not value]:
            raise SettingsInvalid(f"Endpoints need {' and '.join(missing)}; docs/aws.md says what to set them to.")

    def _not_found(self, name: str) -> EndpointNotFound:
        return EndpointNotFound(
            f"There is no SageMaker endpoint {name} in {self.lake.session.region_name}. Deploy an approved version first."
        )

    @staticmethod
    def _failed(name: str, version: ModelVersion, before: str, problem: str) -> DeploymentFailed:
        stands = f"{before} still stands behind it" if before else "nothing stands behind it yet"
        return DeploymentFailed(
            f"{version.label} (artefact {version.artefact.location}) was not brought behind the endpoint {name}; {stands}.\n{problem}"
        )


def _asked(client: Any, given: dict[str, Any]) -> Reply:
    """The answer of an endpoint. What the model refuses is an answer too: SageMaker wraps it in an error of its own."""
    try:
        told = client.invoke_endpoint(**given)
    except ClientError as error:
        if error.response.get("ResponseMetadata", {}).get("HTTPStatusCode") == _TOO_LARGE:
            return Reply(_TOO_LARGE, str(error).encode(), "text/plain")
        if error.response.get("Error", {}).get("Code") != "ModelError":
            raise
        status = int(error.response.get("OriginalStatusCode") or 500)
        return Reply(status, str(error.response.get("OriginalMessage") or "").encode(), "text/plain")
    body = told["Body"].read()
    status = _OK if body or given["Body"] else _NO_CONTENT
    return Reply(status, body, told.get("ContentType", ""), told.get("CustomAttributes", ""))
