"""Endpoints: their configurations, their states, and what they answer. A model behind one is really loaded."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field
from typing import Any

from instacart_pipeline_tests.aws_double.jobs import JobFailure, JobTiming
from instacart_pipeline_tests.aws_double.logs import Logs
from instacart_pipeline_tests.aws_double.objects import Objects
from instacart_pipeline_tests.aws_double.paging import page
from instacart_pipeline_tests.aws_double.sagemaker_jobs import arn, now
from instacart_pipeline_tests.aws_double.sagemaker_models import Models, Served
from instacart_pipeline_tests.aws_double.wire import AwsError, Parameters

_LARGEST_BODY = 6_291_456


@dataclass
class _Endpoint:
    name: str
    config: str
    status: str = "Creating"
    failure: str = ""
    served: Served | None = None
    variant: str = ""
    created: float = field(default_factory=now)
    modified: float = field(default_factory=now)


class Endpoints:
    """The part of the API that is about endpoints, and the runtime that asks them. `seconds` is how long bringing up takes."""

    def __init__(self, models: Models, objects: Objects, logs: Logs, pace: JobTiming) -> None:
        self._models, self._objects, self._logs, self._pace = models, objects, logs, pace
        self.seconds = 0.05
        self._configs: dict[str, tuple[float, Parameters]] = {}
        self._known: dict[str, _Endpoint] = {}
        self._tags: dict[str, dict[str, str]] = {}
        self._lock = threading.RLock()
        self._threads: list[threading.Thread] = []
        self._closing = threading.Event()

    def create_endpoint_config(self, parameters: Parameters) -> Parameters:
        """Make a configuration of models that are there."""
        name = parameters["EndpointConfigName"]
        place = arn("endpoint-config", name)
        with self._lock:
            if name in self._configs:
                text = f'Cannot create already existing endpoint configuration "{place}".'
                raise AwsError("ValidationException", text)
            for variant in parameters["ProductionVariants"]:
                self._models.definition(variant["ModelName"])
            self._configs[name] = (now(), parameters)
            self._tag(place, parameters)
        return {"EndpointConfigArn": place}

    def describe_endpoint_config(self, parameters: Parameters) -> Parameters:
        """A configuration."""
        created, given = self._config(parameters["EndpointConfigName"])
        told = {key: value for key, value in given.items() if key != "Tags"}
        name = given["EndpointConfigName"]
        return {**told, "EndpointConfigArn": arn("endpoint-config", name), "CreationTime": created}

    def delete_endpoint_config(self, parameters: Parameters) -> Parameters:
        """Remove a configuration."""
        with self._lock:
            self._config(parameters["EndpointConfigName"])
            del self._configs[parameters["EndpointConfigName"]]
        return {}

    def create_endpoint(self, parameters: Parameters) -> Parameters:
        """Begin to bring up an endpoint."""
        name, config = parameters["EndpointName"], parameters["EndpointConfigName"]
        place = arn("endpoint", name)
        with self._lock:
            if name in self._known:
                raise AwsError("ValidationException", f'Cannot create already existing endpoint "{place}".')
            self._config(config)
            made = _Endpoint(name, config)
            self._known[name] = made
            self._tag(place, parameters)
            self._begin(made, config)
        return {"EndpointArn": place}

    def update_endpoint(self, parameters: Parameters) -> Parameters:
        """Begin to bring another configuration behind an endpoint, which answers by the old one meanwhile."""
        name, config = parameters["EndpointName"], parameters["EndpointConfigName"]
        place = arn("endpoint", name)
        with self._lock:
            found = self._endpoint(name)
            self._config(config)
            if found.status != "InService":
                word = "failed" if found.status == "Failed" else "in-progress"
                raise AwsError("ValidationException", f'Cannot update {word} endpoint "{place}".')
            found.status, found.failure, found.modified = "Updating", "", now()
            self._begin(found, config)
        return {"EndpointArn": place}

    def delete_endpoint(self, parameters: Parameters) -> Parameters:
        """Take an endpoint away."""
        with self._lock:
            found = self._endpoint(parameters["EndpointName"])
            if found.status in ("Creating", "Updating", "RollingBack"):
                place = arn("endpoint", found.name)
                raise AwsError("ValidationException", f'Cannot delete in-progress endpoint "{place}".')
            del self._known[found.name]
            self._tags.pop(arn("endpoint", found.name), None)
        if found.served:
            found.served.close()
        return {}

    def describe_endpoint(self, parameters: Parameters) -> Parameters:
        """An endpoint's state."""
        found = self._endpoint(parameters["EndpointName"])
        return {
            "EndpointName": found.name,
            "EndpointArn": arn("endpoint", found.name),
            "EndpointConfigName": found.config,
            "EndpointStatus": found.status,
            "FailureReason": found.failure or None,
            "CreationTime": found.created,
            "LastModifiedTime": found.modified,
        }

    def list_endpoints(self, parameters: Parameters) -> Parameters:
        """All endpoints."""
        shown, token = page(sorted(self._known), parameters.get("NextToken"), parameters.get("MaxResults") or 10)
        told = [self.describe_endpoint({"EndpointName": name}) for name in shown]
        lacking = ("EndpointConfigName", "FailureReason")
        found = [{key: value for key, value in each.items() if key not in lacking} for each in told]
        return {"Endpoints": found, "NextToken": token}

    def add_tags(self, parameters: Parameters) -> Parameters:
        """Tag a thing."""
        with self._lock:
            self._tag(parameters["ResourceArn"], parameters)
        return {"Tags": parameters["Tags"]}

    def list_tags(self, parameters: Parameters) -> Parameters:
        """A thing's tags."""
        found = self._tags.get(parameters["ResourceArn"], {})
        return {"Tags": [{"Key": key, "Value": value} for key, value in found.items()]}

    def invoke_endpoint(self, parameters: Parameters) -> Parameters:
        """Ask an endpoint; see Served."""
        found = self._known.get(parameters["EndpointName"])
        if found is None or found.served is None:
            owner = arn("", "").split(":")[4]
            text = f"Endpoint {parameters['EndpointName']} of account {owner} not found."
            raise AwsError("ValidationError", text)
        if len(parameters["Body"]) > _LARGEST_BODY:
            raise AwsError("ValidationError", f"Request body is too large: at most {_LARGEST_BODY} bytes", 413)
        answer = found.served.ask(
            parameters["Body"], parameters.get("ContentType") or "text/csv", parameters.get("Accept") or "text/csv"
        )
        if not 200 <= answer.status < 300:
            said = answer.body.decode(errors="replace")
            text = f'Received client error ({answer.status}) from primary with message "{said}". See the logs of the endpoint.'
            details = {"OriginalStatusCode": answer.status, "OriginalMessage": said, "Message": text}
            raise AwsError("ModelError", text, 424, details)
        return {
            "Body": answer.body,
            "ContentType": answer.content_type,
            "InvokedProductionVariant": found.variant,
            "CustomAttributes": parameters.get("CustomAttributes"),
        }

    @property
    def any_up(self) -> bool:
        """Whether there is an endpoint, in whatever state."""
        return bool(self._known)

    def close(self) -> None:
        """End every model's process."""
        self._closing.set()
        for thread in self._threads:
            thread.join(timeout=20)
        for each in self._known.values():
            if each.served:
                each.served.close()

    def _begin(self, endpoint: _Endpoint, config: str) -> None:
        thread = threading.Thread(target=self._bring_up, args=(endpoint, config), daemon=True)
        self._threads.append(thread)
        thread.start()

    def _bring_up(self, endpoint: _Endpoint, config: str) -> None:
        self._closing.wait(self.seconds)
        (variant,) = self._config(config)[1]["ProductionVariants"]
        stream = (f"/aws/sagemaker/Endpoints/{endpoint.name}", f"{variant['VariantName']}/i-{time.time_ns()}")
        failure, served = "", None
        try:
            served = Served(self._models.container(variant["ModelName"]), self._objects, self._logs, stream)
            if served.loaded.status != 200:
                failure = (
                    f"The primary container for production variant {variant['VariantName']} did not pass the ping health check."
                    " Please check CloudWatch logs for this endpoint."
                )
        except (JobFailure, AwsError) as problem:
            failure = str(problem)
        if failure:
            if served:
                served.close()
            with self._lock:
                endpoint.failure = failure
                endpoint.status = "RollingBack" if endpoint.served else "Failed"
            if endpoint.served:
                self._closing.wait(self.seconds)
                endpoint.status = "InService"
            return
        with self._lock:
            before, endpoint.served = endpoint.served, served
            endpoint.config, endpoint.variant = config, variant["VariantName"]
            endpoint.status, endpoint.modified = "InService", now()
        if before:
            self._closing.wait(self.seconds)  # until the requests under way are answered
            before.close()

    def _tag(self, place: str, parameters: Parameters) -> None:
        given: Any = parameters.get("Tags") or ()
        self._tags.setdefault(place, {}).update({each["Key"]: each["Value"] for each in given})

    def _config(self, name: str) -> tuple[float, Parameters]:
        if name not in self._configs:
            place = arn("endpoint-config", name)
            raise AwsError("ValidationException", f'Could not find endpoint configuration "{place}".')
        return self._configs[name]

    def _endpoint(self, name: str) -> _Endpoint:
        if name not in self._known:
            raise AwsError("ValidationException", f'Could not find endpoint "{arn("endpoint", name)}".')
        return self._known[name]
