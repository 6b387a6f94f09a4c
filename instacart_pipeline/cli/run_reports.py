"""What came of a run: its assets, checks and errors, read from the events of the run."""

from __future__ import annotations

from dataclasses import dataclass, field

from dagster import DagsterEventType, EventLogEntry


@dataclass
class AssetReport:
    """What a run did to one asset."""

    asset: str
    rows: int | None
    rejects: int | None
    duplicates: int | None
    seconds: float
    location: str


@dataclass
class RunReport:
    """What came of a run. `errors` are (step, text); `failed_checks` are (asset, check, text)."""

    job: str
    dt: str
    home: str
    run_id: str = ""
    success: bool = False
    seconds: float = 0.0
    assets: list[AssetReport] = field(default_factory=list)
    errors: list[tuple[str, str]] = field(default_factory=list)
    failed_checks: list[tuple[str, str, str]] = field(default_factory=list)
    checks_passed: int = 0

    def note(self, entry: EventLogEntry) -> None:
        """Take in an event of the run."""
        event = entry.dagster_event
        if event is None:
            return
        if event.event_type is DagsterEventType.ASSET_MATERIALIZATION:
            materialization = event.step_materialization_data.materialization
            values = {name: value.value for name, value in materialization.metadata.items()}
            of_run = {name.removeprefix("run_"): value for name, value in values.items() if name.startswith("run_")}
            days = of_run.get("days")
            made = AssetReport(
                "/".join(materialization.asset_key.path),
                _number(of_run.get("rows", values.get("dagster/row_count"))),
                _number(of_run.get("rejects", values.get("rejects"))),
                _number(of_run.get("duplicates", values.get("duplicates"))),
                float(str(of_run.get("seconds", values.get("seconds", 0)))),
                str(values.get("dagster/uri", "")) if days is None else f"{days:,} days",
            )
            # A run over many days tells of an asset once for each of them, and of them all at the end.
            self.assets = [*(found for found in self.assets if found.asset != made.asset), made]
        elif event.event_type is DagsterEventType.ASSET_CHECK_EVALUATION:
            check = event.asset_check_evaluation_data
            if check.passed:
                self.checks_passed += 1
            else:
                self.failed_checks.append(("/".join(check.asset_key.path), check.check_name, check.description or ""))
        elif event.event_type is DagsterEventType.STEP_FAILURE:
            error = event.step_failure_data.error
            if error and error.cls_name != "DagsterAssetCheckFailedError":
                cause = error.cause or error
                self.errors.append(
                    (event.step_key or "", cause.message.strip().removeprefix("instacart_pipeline.lake.errors."))
                )


def _number(value: object) -> int | None:
    return int(value) if isinstance(value, (int, float)) else None
