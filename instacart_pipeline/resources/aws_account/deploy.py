"""Deploying: what AWS must have before a run, planned and applied step by step.

Belongs here: what there should be, and what of it differs from what there is. Doesn't: buckets, roles and lifecycle rules, which
an account's owner makes (docs/aws.md), and anything that a run makes for itself.

Nothing is ever removed: code that is no longer deployed may still be running.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from instacart_pipeline.lake.contracts import TableContract
from instacart_pipeline.lake.errors import SettingsInvalid
from instacart_pipeline.lake.recipes import Recipe
from instacart_pipeline.lake.zones import Zones
from instacart_pipeline.resources.aws_account import deploy_stream
from instacart_pipeline.resources.aws_account.changes import Change, differences, made, plan_update
from instacart_pipeline.resources.aws_account.code import GLUE_JOBS, Bundle, glue_code
from instacart_pipeline.resources.aws_account.deploy_glue import CLASSIFIER, crawler_definition, glue_job
from instacart_pipeline.resources.aws_account.deploy_glue import classifier as classifier_definition
from instacart_pipeline.resources.aws_account.errors import AwsNotFound, AwsRefused
from instacart_pipeline.resources.aws_account.objects import Objects, split
from instacart_pipeline.resources.aws_account.session import AwsSession
from instacart_pipeline.resources.catalog.aws import OURS, UNPUBLISHED, enter_database
from instacart_pipeline.resources.crawler.aws import crawler_name
from instacart_pipeline.resources.databrew.aws.recipes import databrew_name, latest_published, published_version


@dataclass(frozen=True)
class Target:
    """Where to and how: the settings of the profile aws that a deployment needs. `deadline_minutes` ends a job on Glue's side."""

    lake: str
    role: str
    workgroup: str
    scan_limit: int
    worker_type: str
    workers: int
    deadline_minutes: int
    streaming: deploy_stream.Streaming


@dataclass(frozen=True)
class System:
    """A system's part: its staged tables, all its databases, its SQL files and recipes by their path, and the recipes read."""

    name: str
    staged: Sequence[TableContract]
    databases: Sequence[str]
    definitions: Mapping[str, bytes]
    recipes: Sequence[Recipe]


class Deployment:
    """What `systems` need in AWS. Raises SettingsInvalid naming what is not set."""

    def __init__(self, session: AwsSession, target: Target, systems: Sequence[System]) -> None:
        missing = [
            name
            for name, value in (("INSTACART_LAKE", target.lake), ("INSTACART_SERVICE_ROLE", target.role))
            if not value
        ]
        if missing:
            raise SettingsInvalid(f"A deployment needs {' and '.join(missing)}; docs/aws.md says what to set them to.")
        self._session, self._target, self._systems = session, target, systems
        self._zones = Zones(target.lake)

    def plan(self) -> Iterator[Change]:
        """Each thing in turn, in the order it must be made in; what it differs by is found out as it is asked for.

        Reads only. Raises AwsError if AWS refuses a look.
        """
        definitions = {name: content for system in self._systems for name, content in system.definitions.items()}
        yield self._bundle(glue_code())
        yield self._bundle(Bundle(definitions))
        yield self._workgroup()
        for system in self._systems:
            for database in (*system.databases, f"{system.name}{UNPUBLISHED}"):
                yield self._database(database)
        yield self._classifier()
        for system in self._systems:
            yield self._crawler(system)
        for job in GLUE_JOBS:
            yield self._glue_job(job)
        for system in self._systems:
            for recipe in system.recipes:
                yield self._recipe(recipe)
        yield from deploy_stream.plan(self._session, self._target.streaming)

    def _bundle(self, bundle: Bundle) -> Change:
        location, objects = bundle.location(self._target.lake), Objects(self._session)
        _, prefix = split(location)
        there = {found.key.removeprefix(f"{prefix}/"): found.size for found in objects.listed(location)}
        missing = [name for name, content in sorted(bundle.files.items()) if there.get(name) != len(content)]

        def put() -> None:
            for name in missing:
                objects.put(f"{location}/{name}", bundle.files[name])

        return Change("s3", location, "create" if missing else "unchanged", tuple(missing), put)

    def _workgroup(self) -> Change:
        name, call = self._target.workgroup, self._session.call
        wanted: dict[str, Any] = {
            # Not enforced: Athena refuses a CREATE TABLE AS with a location of its own in a workgroup that enforces one.
            "EnforceWorkGroupConfiguration": False,
            "PublishCloudWatchMetricsEnabled": True,
            "BytesScannedCutoffPerQuery": self._target.scan_limit,
            "ResultConfiguration": {"OutputLocation": f"{self._zones.zone('work')}/athena/"},
        }
        try:
            there = call("athena", "get_work_group", WorkGroup=name)["WorkGroup"]
        except AwsRefused as refused:
            if "not found" not in refused.message:  # Athena has no error of its own for it
                raise
            return made("athena", name, lambda: call("athena", "create_work_group", Name=name, Configuration=wanted))
        updates = {**wanted, "ResultConfigurationUpdates": wanted["ResultConfiguration"]}
        del updates["ResultConfiguration"]
        return plan_update(
            "athena",
            name,
            differences({"State": "ENABLED", "Configuration": wanted}, there),
            lambda: call("athena", "update_work_group", WorkGroup=name, State="ENABLED", ConfigurationUpdates=updates),
        )

    def _database(self, name: str) -> Change:
        session = self._session
        try:
            there = session.call("glue", "get_database", Name=name)["Database"]
        except AwsNotFound:
            return made("glue catalog", name, lambda: enter_database(session, name))
        parameters = {**there.get("Parameters", {}), **OURS}
        definition = {"Name": name, "Description": there.get("Description", ""), "Parameters": parameters}
        return plan_update(
            "glue catalog",
            name,
            differences({"Parameters": OURS}, there),
            lambda: session.call("glue", "update_database", Name=name, DatabaseInput=definition),
        )

    def _classifier(self) -> Change:
        wanted, call = classifier_definition(), self._session.call
        try:
            there = call("glue", "get_classifier", Name=CLASSIFIER)["Classifier"].get("CsvClassifier", {})
        except AwsNotFound:
            return made("glue classifier", CLASSIFIER, lambda: call("glue", "create_classifier", CsvClassifier=wanted))
        return plan_update(
            "glue classifier",
            CLASSIFIER,
            differences(wanted, there),
            lambda: call("glue", "update_classifier", CsvClassifier=wanted),
        )

    def _crawler(self, system: System) -> Change:
        name, call = crawler_name(system.name), self._session.call
        wanted = crawler_definition(system.name, system.staged, self._zones, self._target.role)
        try:
            there = call("glue", "get_crawler", Name=name)["Crawler"]
        except AwsNotFound:
            return made("glue crawler", name, lambda: call("glue", "create_crawler", **wanted))
        return plan_update(
            "glue crawler", name, differences(wanted, there), lambda: call("glue", "update_crawler", **wanted)
        )

    def _glue_job(self, name: str) -> Change:
        target, call = self._target, self._session.call
        wanted = glue_job(
            name,
            target.lake,
            role=target.role,
            worker_type=target.worker_type,
            workers=target.workers,
            minutes=target.deadline_minutes,
        )
        try:
            there = call("glue", "get_job", JobName=name)["Job"]
        except AwsNotFound:
            return made("glue job", name, lambda: call("glue", "create_job", Name=name, **wanted))
        return plan_update(
            "glue job",
            name,
            differences(wanted, there),
            lambda: call("glue", "update_job", JobName=name, JobUpdate=wanted),
        )

    def _recipe(self, recipe: Recipe) -> Change:
        name, work = databrew_name(recipe.name), self._zones.zone("work")
        found = latest_published(self._session, recipe)

        def publish() -> str:
            return published_version(self._session, work, recipe)

        if found is None:
            return made("databrew recipe", name, publish)
        number, same = found
        return plan_update("databrew recipe", name, () if same else (f"the steps of version {number}",), publish)
