"""The model registry on AWS: model package groups and packages of SageMaker.

Belongs here: what of a version SageMaker keeps, and what lies beside it. A package holds texts of 256 characters, so the whole
of a version (its artefact, metrics and card) is a record in the models zone, written once; number, status and reason are SageMaker's.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

from dagster import ResourceDependency

from instacart_pipeline.lake.artefacts import MODEL, Artefact
from instacart_pipeline.lake.errors import ArtefactNotFound, SettingsInvalid
from instacart_pipeline.resources.aws_account.errors import AwsConflict, AwsNotFound
from instacart_pipeline.resources.aws_account.lake import AwsLake
from instacart_pipeline.resources.model_registry import ModelRegistry, ModelVersion, Status
from instacart_pipeline.resources.sagemaker.aws.artefacts import REGISTERED, serving_environment

_LONGEST_TEXT, _LONGEST_REASON, _LONGEST_CARD = 256, 1024, 100_000
_MOST_METRICS = 30
"""Of the fifty properties that a package may have; the record beside it has all."""
_PAGE = 100


class AwsModelRegistry(ModelRegistry):
    """Versions are model packages that name the framework image `image`. A group is made when its first version is entered."""

    lake: ResourceDependency[AwsLake]
    image: str

    def register(
        self, group: str, artefact: Artefact, metrics: Mapping[str, float], card: Mapping[str, Any]
    ) -> ModelVersion:
        """See ModelRegistry. Raises SettingsInvalid if no image is set."""
        if not self.image:
            raise SettingsInvalid(
                "A model version names its image. Set INSTACART_MODEL_IMAGE; docs/aws.md says to what."
            )
        uri, objects = self._record(group, artefact), self.lake.objects
        record = {"artefact": json.loads(artefact.record()), "metrics": dict(metrics), "card": dict(card)}
        held = objects.held(uri)
        if held is None:
            # Before the package, so that there is never a version without its record.
            objects.swap(uri, record, None)
            held = objects.held(uri)
        told: dict[str, Any] = held.content if held else record
        arn = told.get("arn") or self._entered(group, uri)
        if arn is None:
            with suppress(AwsConflict):
                self.lake.session.call("sagemaker", "create_model_package_group", ModelPackageGroupName=group)
            arn = self._enter(group, artefact, uri, told)
        if held and "arn" not in told:
            objects.swap(uri, {**told, "arn": arn}, held)
        return self.version(arn)

    def decide(self, version: ModelVersion, status: Status, reason: str) -> ModelVersion:
        """See ModelRegistry."""
        arn = self._arn(version.group, version.number)
        self.lake.session.call(
            "sagemaker",
            "update_model_package",
            ModelPackageArn=arn,
            ModelApprovalStatus=status,
            ApprovalDescription=reason[:_LONGEST_REASON],
        )
        return self.version(arn)

    def versions(self, group: str) -> Sequence[ModelVersion]:
        """See ModelRegistry. Two calls a version, and one a page of a hundred."""
        return [self.version(arn) for arn in self._arns(group)]

    def champion(self, group: str) -> ModelVersion | None:
        """See ModelRegistry. Three calls, however many versions there are."""
        arns = self._arns(group, ModelApprovalStatus="Approved")
        return self.version(arns[0]) if arns else None

    def version(self, arn: str) -> ModelVersion:
        """The version that is the package `arn`."""
        found = self.lake.session.call("sagemaker", "describe_model_package", ModelPackageName=arn)
        record = json.loads(self.lake.objects.text(found["CustomerMetadataProperties"]["record"]))
        return ModelVersion(
            group=found["ModelPackageGroupName"],
            number=int(found["ModelPackageVersion"]),
            status=found["ModelApprovalStatus"],
            artefact=Artefact.of(json.dumps(record["artefact"])),
            metrics=record["metrics"],
            card=record["card"],
            created=found["CreationTime"].isoformat(),
            reason=found.get("ApprovalDescription") or "",
        )

    def _enter(self, group: str, artefact: Artefact, uri: str, record: Mapping[str, Any]) -> str:
        answer = self.lake.session.call(
            "sagemaker",
            "create_model_package",
            ModelPackageGroupName=group,
            ModelPackageDescription=f"{artefact.system}/{artefact.name} of {artefact.dt}"[:_LONGEST_REASON],
            InferenceSpecification={
                "Containers": [
                    {
                        "Image": self.image,
                        "ModelDataUrl": f"{artefact.location}/{MODEL}",
                        "Environment": serving_environment(artefact),
                    }
                ],
                "SupportedContentTypes": ["text/csv"],
                "SupportedResponseMIMETypes": ["text/csv", "application/json"],
            },
            ModelApprovalStatus="PendingManualApproval",
            CustomerMetadataProperties=_properties(artefact, record["metrics"], uri),
            ModelCard={"ModelCardContent": _card(artefact, record), "ModelCardStatus": "Draft"},
            # The same artefact gives the same token, so that a lost answer enters nothing twice.
            ClientToken=hashlib.sha256(uri.encode()).hexdigest()[:36],
        )
        return str(answer["ModelPackageArn"])

    def _entered(self, group: str, uri: str) -> str | None:
        """The package whose record lies at `uri`, if one was entered by a process that died before it could note that."""
        for arn in self._arns(group):
            found = self.lake.session.call("sagemaker", "describe_model_package", ModelPackageName=arn)
            if found.get("CustomerMetadataProperties", {}).get("record") == uri:
                return arn
        return None

    def _arns(self, group: str, **wanted: str) -> list[str]:
        """The packages of a group, the highest number first; none if there is no such group."""
        given: dict[str, Any] = {"ModelPackageGroupName": group, "PaginationConfig": {"PageSize": _PAGE}, **wanted}
        try:
            pages = list(self.lake.session.pages("sagemaker", "list_model_packages", **given))
        except AwsNotFound:
            return []
        found = [each for page in pages for each in page["ModelPackageSummaryList"] if each.get("ModelPackageVersion")]
        ordered = sorted(found, key=lambda each: -int(each["ModelPackageVersion"]))
        return [str(each["ModelPackageArn"]) for each in ordered]

    def _arn(self, group: str, number: int) -> str:
        found = next((arn for arn in self._arns(group) if arn.endswith(f"/{number}")), None)
        if found is None:
            raise ArtefactNotFound(f"SageMaker's model registry has no version {number} of {group}. Register it first.")
        return found

    def _record(self, group: str, artefact: Artefact) -> str:
        digest = hashlib.sha256(artefact.location.encode()).hexdigest()[:16]
        return f"{self.lake.zones.zone('models')}/{REGISTERED}/{group}/{artefact.version}-{digest}.json"


def _properties(artefact: Artefact, metrics: Mapping[str, float], uri: str) -> dict[str, str]:
    """What a person looking at the package in the console wants to know, and where the whole lies."""
    told = {
        "record": uri,
        "system": artefact.system,
        "name": artefact.name,
        "day": artefact.dt,
        "version": artefact.version,
        "code": artefact.code,
    }
    measured = {f"metric.{name}"[:128]: repr(value) for name, value in sorted(metrics.items())[:_MOST_METRICS]}
    return {name: value[:_LONGEST_TEXT] for name, value in {**told, **measured}.items() if value}


def _card(artefact: Artefact, record: Mapping[str, Any]) -> str:
    """The model card in SageMaker's schema: our own parts, which it has no place for, are custom details, as texts."""
    details = {
        str(name): value if isinstance(value, str) else json.dumps(value) for name, value in record["card"].items()
    }
    content = {
        "model_overview": {"model_name": artefact.name, "model_artifact": [f"{artefact.location}/{MODEL}"]},
        "training_details": {
            "training_observations": f"Trained on {artefact.dt} by code {artefact.code}; computed from {json.dumps(dict(artefact.lineage))}"[
                :_LONGEST_REASON
            ]
        },
        "additional_information": {"custom_details": details},
    }
    text = json.dumps(content)
    if len(text) > _LONGEST_CARD:
        content["additional_information"] = {"caveats_and_recommendations": "The card is too long for SageMaker."}
        text = json.dumps(content)
    return text
