"""The model registry: groups, and numbered packages in them."""

from __future__ import annotations

import json
import threading
from typing import Any

from instacart_pipeline_tests.aws_double.paging import page
from instacart_pipeline_tests.aws_double.sagemaker_jobs import arn, now
from instacart_pipeline_tests.aws_double.wire import AwsError, Parameters

_CARD_PARTS = {
    "model_overview",
    "intended_uses",
    "business_details",
    "training_details",
    "evaluation_details",
    "additional_information",
}
"""What a model card's content may hold at its top."""
_SUMMARY = ("ModelPackageGroupName", "ModelPackageVersion", "ModelPackageArn", "CreationTime", "ModelApprovalStatus")
_LONGEST_PROPERTY = 256


class Registry:
    """The part of the API that is about model packages. `page_size` keeps pages small."""

    def __init__(self) -> None:
        self._groups: dict[str, float] = {}
        self._packages: dict[str, Parameters] = {}
        self._tokens: dict[str, str] = {}
        self._lock = threading.RLock()
        self.page_size = 100

    def create_model_package_group(self, parameters: Parameters) -> Parameters:
        """Make a group."""
        name = parameters["ModelPackageGroupName"]
        with self._lock:
            if name in self._groups:
                there = arn("model-package-group", name)
                raise AwsError("ValidationException", f"Model Package Group already exists: {there}")
            self._groups[name] = now()
        return {"ModelPackageGroupArn": arn("model-package-group", name)}

    def describe_model_package_group(self, parameters: Parameters) -> Parameters:
        """A group."""
        name = self._group(parameters["ModelPackageGroupName"])
        return {**self._summary_of_group(name), "CreatedBy": {}}

    def list_model_package_groups(self, parameters: Parameters) -> Parameters:
        """All groups."""
        shown, token = page(sorted(self._groups), parameters.get("NextToken"), parameters.get("MaxResults") or 10)
        found = [self._summary_of_group(name) for name in shown]
        return {"ModelPackageGroupSummaryList": found, "NextToken": token}

    def create_model_package(self, parameters: Parameters) -> Parameters:
        """Enter a package as its group's next version; the same token gives the one it has made."""
        with self._lock:
            group = self._group(parameters["ModelPackageGroupName"])
            _require_properties(parameters.get("CustomerMetadataProperties") or {})
            _require_card(parameters.get("ModelCard"))
            token = parameters.get("ClientToken")
            if token in self._tokens:
                return {"ModelPackageArn": self._tokens[token]}
            number = sum(each["ModelPackageGroupName"] == group for each in self._packages.values()) + 1
            name = arn("model-package", f"{group}/{number}")
            given = {key: value for key, value in parameters.items() if key not in ("ClientToken", "Tags")}
            self._packages[name] = {
                **given,
                "ModelPackageName": group,
                "ModelPackageVersion": number,
                "ModelPackageArn": name,
                "ModelPackageStatus": "Completed",
                "ModelPackageStatusDetails": {"ValidationStatuses": []},
                "CreationTime": now(),
            }
            if token:
                self._tokens[token] = name
        return {"ModelPackageArn": name}

    def describe_model_package(self, parameters: Parameters) -> Parameters:
        """A package."""
        return dict(self._package(parameters["ModelPackageName"]))

    def update_model_package(self, parameters: Parameters) -> Parameters:
        """Change a package's approval."""
        with self._lock:
            found = self._package(parameters["ModelPackageArn"])
            found.update({key: value for key, value in parameters.items() if key != "ModelPackageArn"})
            found["LastModifiedTime"] = now()
        return {"ModelPackageArn": parameters["ModelPackageArn"]}

    def list_model_packages(self, parameters: Parameters) -> Parameters:
        """A group's packages, by default in the order of their making."""
        with self._lock:
            group, status = self._group(parameters["ModelPackageGroupName"]), parameters.get("ModelApprovalStatus")
            found = [
                each
                for each in self._packages.values()
                if each["ModelPackageGroupName"] == group and status in (None, each["ModelApprovalStatus"])
            ]
        if parameters.get("SortOrder", "Descending") == "Descending":
            found.reverse()
        size = min(parameters.get("MaxResults") or 10, self.page_size)
        shown, token = page(found, parameters.get("NextToken"), size)
        summaries = [{**{key: each.get(key) for key in _SUMMARY}, "ModelPackageStatus": "Completed"} for each in shown]
        return {"ModelPackageSummaryList": summaries, "NextToken": token}

    def forget_tokens(self) -> None:
        """Let tokens grow old: the service forgets them after a while."""
        self._tokens.clear()

    def _group(self, name: str) -> str:
        if name not in self._groups:
            raise AwsError(
                "ValidationException", f"ModelPackageGroup {arn('model-package-group', name)} does not exist."
            )
        return name

    def _package(self, name: str) -> Parameters:
        if name not in self._packages:
            raise AwsError("ValidationException", f"ModelPackage {name} does not exist.")
        return self._packages[name]

    def _summary_of_group(self, name: str) -> dict[str, Any]:
        return {
            "ModelPackageGroupName": name,
            "ModelPackageGroupArn": arn("model-package-group", name),
            "CreationTime": self._groups[name],
            "ModelPackageGroupStatus": "Completed",
        }


def _require_properties(properties: dict[str, str]) -> None:
    for name, value in properties.items():
        if len(value) > _LONGEST_PROPERTY or len(name) > 128:
            raise AwsError("ValidationException", f"the metadata property {name} is no text, or too long: {value!r}")


def _require_card(card: Parameters | None) -> None:
    if card is None:
        return
    try:
        content = json.loads(card.get("ModelCardContent") or "{}")
    except ValueError as error:
        raise AwsError("ValidationException", f"ModelCardContent is not valid JSON: {error}") from error
    unknown = set(content) - _CARD_PARTS
    details = (content.get("additional_information") or {}).get("custom_details") or {}
    if unknown or not all(isinstance(each, str) for each in details.values()):
        raise AwsError("ValidationException", f"Model card content does not match its schema: {sorted(unknown)}")
