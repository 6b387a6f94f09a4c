"""The segments' assets: from the customers' figures to the segment that each customer is in.

Belongs here: which job makes what from what, and what is reported of it. What a segment is and how it is found stands in model/; what is
made of segments for analysts, in mart_assets.py.
"""

import json
from collections.abc import Iterator
from datetime import date, timedelta
from typing import Any

from dagster import (
    AssetCheckExecutionContext,
    AssetCheckResult,
    AssetChecksDefinition,
    AssetCheckSeverity,
    AssetCheckSpec,
    AssetExecutionContext,
    AssetKey,
    AssetsDefinition,
    MaterializeResult,
    MetadataValue,
    WeeklyPartitionsDefinition,
    asset,
    asset_check,
)

from instacart_pipeline.customers import segment_jobs as jobs
from instacart_pipeline.customers.assets import sql
from instacart_pipeline.customers.mart_tables import CUSTOMER_SEGMENTS
from instacart_pipeline.customers.model.limits import SOME
from instacart_pipeline.customers.tables import CUSTOMERS, SYSTEM
from instacart_pipeline.lake.artefacts import Artefact
from instacart_pipeline.lake.errors import ArtefactNotFound
from instacart_pipeline.orchestration.pictures import picture
from instacart_pipeline.orchestration.table_assets import (
    OWNERS,
    Results,
    artefact_metadata,
    asset_key,
    publish,
    table_asset,
)
from instacart_pipeline.resources.athena import Athena
from instacart_pipeline.resources.sagemaker import SageMaker

SEGMENTATION = AssetKey([SYSTEM, "models", jobs.SEGMENTATION])
STEADY = "segments_are_steady"
_WEEK = timedelta(days=7)


def build_segment_assets(weeks: WeeklyPartitionsDefinition) -> list[AssetsDefinition]:
    """The segmentation and the table of segments, partitioned by `weeks`."""
    return [_segmentation(weeks), _customer_segments(weeks)]


def build_segment_checks(weeks: WeeklyPartitionsDefinition) -> list[AssetChecksDefinition]:
    """The checks that look across tables, partitioned by `weeks`."""
    return [_every_customer_has_one_segment(weeks)]


def _segmentation(weeks: WeeklyPartitionsDefinition) -> AssetsDefinition:
    steady = AssetCheckSpec(
        STEADY,
        asset=SEGMENTATION,
        description=f"By last week's segments, their sizes have a population stability index below {SOME}, and at most "
        f"{jobs.MOST_MOVED:.0%} of the customers moved.",
        partitions_def=weeks,
    )

    @asset(
        key=SEGMENTATION,
        description="The segments of customers: how they were found, whether there are groups at all, and how far customers moved since last week.",
        deps=[asset_key(CUSTOMERS)],
        group_name=f"{SYSTEM}_models",
        kinds={"sagemaker", "scikitlearn"},
        owners=OWNERS,
        pool="sagemaker",
        partitions_def=weeks,
        check_specs=[steady],
    )
    def segmentation(
        context: AssetExecutionContext, sagemaker: SageMaker
    ) -> Iterator[AssetCheckResult | MaterializeResult[Any]]:
        dt = context.partition_key
        made = sagemaker.process(jobs.segmenting(_of_week_before(sagemaker, dt)), dt)
        with sagemaker.unpacked(made) as folder:
            told = json.loads((folder / "output" / "report.json").read_text(encoding="utf-8"))
            pictures = {
                path.stem: picture(path.stem, path.read_bytes()) for path in sorted((folder / "output").glob("*.png"))
            }
        yield MaterializeResult(
            metadata={
                **artefact_metadata(made),
                **jobs.figures_of(told),
                "verdict": MetadataValue.text(told["verdict"]),
                "features": MetadataValue.md(jobs.features_in_words(told)),
                "by_number_of_clusters": MetadataValue.md(jobs.numbers_in_words(told)),
                "segments": MetadataValue.md(jobs.segments_in_words(told)),
                "drift": MetadataValue.md(jobs.drift_in_words(told)),
                **pictures,
            }
        )
        found = jobs.steadiness(told)
        yield AssetCheckResult(
            asset_key=SEGMENTATION,
            check_name=STEADY,
            passed=found.steady,
            severity=AssetCheckSeverity.WARN,
            description=found.words,
            metadata=dict(found.figures),
        )

    return segmentation


def _customer_segments(weeks: WeeklyPartitionsDefinition) -> AssetsDefinition:
    target = CUSTOMER_SEGMENTS

    @table_asset(
        target,
        deps=[CUSTOMERS],
        further_deps=[SEGMENTATION],
        kinds={"sagemaker", "parquet"},
        partitions=weeks,
        pool="sagemaker",
    )
    def customer_segments(context: AssetExecutionContext, sagemaker: SageMaker) -> Results:
        dt = context.partition_key
        job = jobs.assigning(_of_week(sagemaker, dt))
        yield from publish(target, lambda: sagemaker.process_table(job, target, dt))

    return customer_segments


def _every_customer_has_one_segment(weeks: WeeklyPartitionsDefinition) -> AssetChecksDefinition:
    @asset_check(
        asset=asset_key(CUSTOMER_SEGMENTS),
        additional_deps=[asset_key(CUSTOMERS)],
        blocking=True,
        partitions_def=weeks,
        pool="athena",
        description="Every customer is in one segment, and nobody else in any.",
    )
    def every_customer_has_one_segment(context: AssetCheckExecutionContext, athena: Athena) -> AssetCheckResult:
        dt = context.partition_key
        (found,) = athena.query(sql("segment_account").bind(dt=dt)).table.to_pylist()
        faults = [found[name] for name in ("missing", "doubled", "strangers")]
        return AssetCheckResult(
            passed=not any(faults),
            description=f"{found['placed_once']:,} of {found['customers']:,} customers are in one segment; {found['missing']:,} are in none, "
            f"{found['doubled']:,} in several, and {found['strangers']:,} rows are of nobody there is."
            + (f" Build the week again with {CUSTOMERS.remedy(dt)}." if any(faults) else ""),
            metadata=found,
        )

    return every_customer_has_one_segment


def _of_week(sagemaker: SageMaker, dt: str) -> Artefact:
    try:
        return sagemaker.artefact(SYSTEM, jobs.SEGMENTATION, dt)
    except ArtefactNotFound as error:
        raise ArtefactNotFound(
            f"There are no segments of {dt} yet to put customers into. Find them with {CUSTOMERS.remedy(dt)}."
        ) from error


def _of_week_before(sagemaker: SageMaker, dt: str) -> Artefact | None:
    """The segmentation of the week before; None if that week was not built."""
    try:
        return sagemaker.artefact(SYSTEM, jobs.SEGMENTATION, (date.fromisoformat(dt) - _WEEK).isoformat())
    except ArtefactNotFound:
        return None
