"""What Glue must have before a run: the crawlers, their classifier, and the job definitions.

Belongs here: the definitions themselves, as Glue's API takes them. Doesn't: comparing and applying them (deploy.py).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from importlib.metadata import version
from typing import Any

from instacart_pipeline.lake.contracts import TableContract
from instacart_pipeline.lake.zones import Zones
from instacart_pipeline.resources.aws_account.code import INGEST_UPLOAD, PACKAGE, glue_code, script_location
from instacart_pipeline.resources.crawler.aws import crawler_name

CLASSIFIER = "instacart-csv"

_SAMPLED_FILES = 10
"""Files of a day that a crawl looks into. It reads the beginning of each, and never a whole one."""
_RUNS_AT_ONCE = 20
_MODULES = ("duckdb", "numpy", "pyarrow", "sqlglot")
"""What the embedded engine needs on a Glue worker, in the versions that are installed here."""


def classifier() -> dict[str, Any]:
    """The CSV classifier. Glue's own takes a comma inside quotes for the end of a value."""
    return {
        "Name": CLASSIFIER,
        "Delimiter": ",",
        "QuoteSymbol": '"',
        "ContainsHeader": "PRESENT",
        "AllowSingleColumn": True,
        "Serde": "OpenCSVSerDe",
    }


def crawler_definition(system: str, staged: Sequence[TableContract], zones: Zones, role: str) -> dict[str, Any]:
    """The crawler of a system's raw zone: a target a table, so that each table keeps its name whatever lies in it."""
    paths = [f"{zones.table(table)}/" for table in staged]
    # The bucket is level 1: the table is the last folder of the path, and its days are partitions, not tables of their own.
    level = paths[0].removeprefix("s3://").rstrip("/").count("/") + 1
    configuration = {
        "Version": 1.0,
        "CrawlerOutput": {"Partitions": {"AddOrUpdateBehavior": "InheritFromTable"}},
        "Grouping": {"TableGroupingPolicy": "CombineCompatibleSchemas", "TableLevelConfiguration": level},
    }
    return {
        "Name": crawler_name(system),
        "Role": role,
        "DatabaseName": staged[0].database,
        "Description": f"The raw files of {system}, entered as they are. Made by instacart-pipeline deploy.",
        "Classifiers": [CLASSIFIER],
        "Targets": {
            "S3Targets": [
                {"Path": path, "SampleSize": _SAMPLED_FILES, "Exclusions": ["**/_*", "**/.*"]} for path in paths
            ]
        },
        # Days that are catalogued already are left alone: a crawl over them would cost more each day, and could wipe what
        # is kept with their partitions. What a re-upload changes is found by our own look at the day (crawler/aws/).
        "RecrawlPolicy": {"RecrawlBehavior": "CRAWL_NEW_FOLDERS_ONLY"},
        "SchemaChangePolicy": {"UpdateBehavior": "LOG", "DeleteBehavior": "LOG"},  # the only policy it allows
        "Configuration": json.dumps(configuration),
    }


def glue_job(name: str, lake: str, *, role: str, worker_type: str, workers: int, minutes: int) -> dict[str, Any]:
    """The definition of a Glue job, its name excepted. A run says its own workers and timeout; these are for runs by hand."""
    arguments = {"--job-language": "python", "--TempDir": f"{Zones(lake).zone('work')}/glue/"}
    if name == INGEST_UPLOAD:
        arguments |= {
            "--extra-py-files": f"{glue_code().location(lake)}/{PACKAGE}",
            "--additional-python-modules": ",".join(f"{module}=={version(module)}" for module in _MODULES),
        }
    return {
        "Role": role,
        "Description": "Made by instacart-pipeline deploy.",
        "Command": {"Name": "glueetl", "ScriptLocation": script_location(lake, name), "PythonVersion": "3"},
        "GlueVersion": "5.0",
        "ExecutionProperty": {"MaxConcurrentRuns": _RUNS_AT_ONCE},
        "MaxRetries": 0,
        "Timeout": minutes,
        "WorkerType": worker_type,
        "NumberOfWorkers": workers,
        "DefaultArguments": arguments,
    }
