"""Athena's workgroups: where results go, and what a query may read."""

from __future__ import annotations

import time

from instacart_pipeline_tests.aws_double.wire import AwsError, Parameters


class WorkGroups:
    """The workgroups; "primary" is there from the start, without an output location."""

    def __init__(self) -> None:
        self._groups: dict[str, Parameters] = {}
        self._put("primary", {"EnforceWorkGroupConfiguration": False}, "")

    def group(self, name: str) -> Parameters:
        """A workgroup. Raises AwsError if there is none."""
        if name not in self._groups:
            raise AwsError("InvalidRequestException", f"WorkGroup {name} is not found.")
        return self._groups[name]

    def enabled(self, name: str) -> Parameters:
        """A workgroup that takes queries. Raises AwsError if there is none."""
        group = self.group(name)
        if group["State"] != "ENABLED":
            raise AwsError("InvalidRequestException", f"WorkGroup {name} is disabled.")
        return group

    def get_work_group(self, parameters: Parameters) -> Parameters:
        """A workgroup's settings."""
        return {"WorkGroup": self.group(parameters["WorkGroup"])}

    def create_work_group(self, parameters: Parameters) -> Parameters:
        """Make a workgroup. Its settings win over a query's own unless it says otherwise."""
        if parameters["Name"] in self._groups:
            raise AwsError("InvalidRequestException", "WorkGroup is already created")
        configuration = {"EnforceWorkGroupConfiguration": True, **(parameters.get("Configuration") or {})}
        self._put(parameters["Name"], configuration, parameters.get("Description", ""))
        return {}

    def update_work_group(self, parameters: Parameters) -> Parameters:
        """Change a workgroup."""
        group = self.group(parameters["WorkGroup"])
        updates = dict(parameters.get("ConfigurationUpdates") or {})
        configuration = dict(group["Configuration"])
        if updates.pop("RemoveBytesScannedCutoffPerQuery", False):
            configuration.pop("BytesScannedCutoffPerQuery", None)
        results = dict(updates.pop("ResultConfigurationUpdates", None) or {})
        if results.pop("RemoveOutputLocation", False):
            configuration["ResultConfiguration"] = {}
        if results.get("OutputLocation"):
            configuration["ResultConfiguration"] = {"OutputLocation": results["OutputLocation"]}
        settings = (
            "EnforceWorkGroupConfiguration",
            "PublishCloudWatchMetricsEnabled",
            "BytesScannedCutoffPerQuery",
            "RequesterPaysEnabled",
        )
        configuration.update({name: updates[name] for name in settings if name in updates})
        group.update(Configuration=configuration, State=parameters.get("State", group["State"]))
        return {}

    def delete_work_group(self, parameters: Parameters) -> Parameters:
        """Remove a workgroup."""
        self.group(parameters["WorkGroup"])
        del self._groups[parameters["WorkGroup"]]
        return {}

    def _put(self, name: str, configuration: Parameters, description: str) -> None:
        version = {"SelectedEngineVersion": "AUTO", "EffectiveEngineVersion": "Athena engine version 3"}
        self._groups[name] = {
            "Name": name,
            "State": "ENABLED",
            "Configuration": {"ResultConfiguration": {}, "EngineVersion": version, **configuration},
            "Description": description,
            "CreationTime": time.time(),
        }
