"""The deploy command: what AWS must have before the first run on it, and after every change of code, SQL or recipes.

Belongs here: what the systems need, gathered, and the report. Doesn't: how AWS is changed (resources/aws_account/deploy.py).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from instacart_pipeline import setting_readers
from instacart_pipeline.cli import output
from instacart_pipeline.lake.errors import PipelineError, SettingsInvalid
from instacart_pipeline.settings import Settings

if TYPE_CHECKING:
    from instacart_pipeline.lake.contracts import TableContract
    from instacart_pipeline.resources.aws_account.deploy import Deployment, System

_PACKAGE = Path(__file__).parents[1]


@dataclass(frozen=True)
class Step:
    """What the report says of one thing. `done` tells whether it is now as it should be."""

    service: str
    name: str
    action: str
    differs: tuple[str, ...]
    done: bool


def deployment(settings: Settings) -> Deployment:
    """What is to be deployed under `settings`. Raises SettingsInvalid unless they are those of the profile aws."""
    if settings.profile != "aws":
        raise SettingsInvalid(
            f"There is nothing to deploy under the profile {settings.profile}, which needs nothing in AWS. "
            f"Set INSTACART_PROFILE=aws, with INSTACART_LAKE and INSTACART_SERVICE_ROLE."
        )
    from instacart_pipeline.profiles import aws_session  # noqa: PLC0415  # brings Dagster
    from instacart_pipeline.resources.aws_account.deploy import Deployment, Target  # noqa: PLC0415
    from instacart_pipeline.resources.aws_account.deploy_stream import Streaming  # noqa: PLC0415
    from instacart_pipeline.retail import lookups  # noqa: PLC0415
    from instacart_pipeline.systems import LAKE_TABLES, STAGED_TABLES  # noqa: PLC0415

    streaming = Streaming(
        stream=settings.stream_name,
        retention_hours=settings.stream_retention_hours,
        prefix=settings.lookup_prefix,
        tables=lookups.ALL,
    )
    target = Target(
        lake=settings.lake,
        role=settings.service_role,
        workgroup=settings.athena_workgroup,
        scan_limit=setting_readers.size(settings.athena_scan_limit),
        worker_type=settings.glue_worker,
        workers=settings.glue_workers,
        deadline_minutes=settings.job_deadline,
        streaming=streaming,
    )
    systems = [_system(name, staged, LAKE_TABLES[name]) for name, staged in STAGED_TABLES.items()]
    return Deployment(aws_session(settings), target, systems)


def deploy(settings: Settings, *, apply: bool, as_json: bool) -> bool:
    """Show what differs and, with `apply`, mend it, one thing after another. Whether all is now as it should be.

    Raises what AWS refuses, after saying what was done up to there.
    """
    steps: list[Step] = []
    try:
        for change in deployment(settings).plan():
            done = change.action == "unchanged"
            if apply and not done:
                change.apply()
                done = True
            steps.append(Step(change.service, change.name, change.action, change.differs, done))
    except PipelineError:
        _report(steps, apply=apply, as_json=as_json)
        raise
    _report(steps, apply=apply, as_json=as_json)
    return all(step.done for step in steps)


def _system(name: str, staged: Sequence[TableContract], tables: Sequence[TableContract]) -> System:
    """A system's part: its tables, and the SQL files and recipes of its folder."""
    from instacart_pipeline.lake.recipes import Recipe  # noqa: PLC0415
    from instacart_pipeline.resources.aws_account.deploy import System  # noqa: PLC0415

    home = _PACKAGE / name
    files = sorted([*home.glob("sql/**/*.sql"), *home.glob("recipes/*.json")])
    return System(
        name=name,
        staged=staged,
        databases=sorted({table.database for table in (*staged, *tables)}),
        definitions={path.relative_to(_PACKAGE).as_posix(): path.read_bytes() for path in files},
        recipes=[Recipe.load(path) for path in files if path.suffix == ".json"],
    )


def _report(steps: list[Step], *, apply: bool, as_json: bool) -> None:
    if as_json:
        print(json.dumps([vars(step) for step in steps], indent=2))  # noqa: T201
        return
    rows = [(step.service, step.name, _word(step) if apply else step.action, "\n".join(step.differs)) for step in steps]
    output.table("Deployed" if apply else "To be deployed", ("service", "what", "", "differs"), rows)
    changes = sum(step.action != "unchanged" for step in steps)
    if not changes:
        output.note("All is as it should be.")
    elif not apply:
        output.note(f"{changes} of {len(steps)} would change. This was a dry run; do it with --apply.")


def _word(step: Step) -> str:
    return {"create": "created", "update": "updated"}.get(step.action, step.action) if step.done else step.action
