"""The Dagster instance that dagster.yaml asks for: one for all who run Dagster on this machine."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from dagster import DagsterInstance
from dagster._core.instance.ref import InstanceRef  # it has no public name

from instacart_pipeline.settings import Settings


class HomeInstance(DagsterInstance):
    """Keeps runs, events and logs in the Dagster home, wherever Dagster found dagster.yaml: without DAGSTER_HOME it would be a temporary folder."""

    config_schema = dict
    """No setting of its own in dagster.yaml."""

    @staticmethod
    def config_defaults(_base_dir: str) -> Mapping[str, object]:
        """The storages that dagster.yaml doesn't name."""
        home = dagster_home(Settings.from_env())
        home.mkdir(parents=True, exist_ok=True)
        return InstanceRef.config_defaults(str(home))


def dagster_home(settings: Settings) -> Path:
    """DAGSTER_HOME, or else the folder of that name below INSTACART_HOME."""
    return Path(os.environ.get("DAGSTER_HOME") or settings.home / "dagster").expanduser()
