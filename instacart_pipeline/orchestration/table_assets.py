"""How a table contract becomes a Dagster asset.

Belongs here: the asset's key, group, schema, checks and what it reports of a published table or artefact; one place for all systems.
Doesn't: what any asset does.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

from dagster import (
    AssetCheckResult,
    AssetCheckSpec,
    AssetDep,
    AssetKey,
    AssetsDefinition,
    AssetSpec,
    BackfillPolicy,
    MaterializeResult,
    MetadataValue,
    PartitionsDefinition,
    TableColumn,
    TableColumnConstraints,
    TableConstraints,
    TableSchema,
    asset,
)

from instacart_pipeline.lake.artefacts import Artefact
from instacart_pipeline.lake.contracts import TableContract
from instacart_pipeline.lake.rules import Outcome, Rule, rules_of
from instacart_pipeline.resources.published import Published, VersionRefused
from instacart_pipeline.resources.warehouse import Loaded

Results = Iterator[AssetCheckResult | MaterializeResult[Any]]
"""What the function of an asset yields."""
_Made = TypeVar("_Made")

OWNERS = ["team:data-platform"]


def asset_key(table: TableContract) -> AssetKey:
    """The key of a table's asset: [system, zone, table]."""
    return AssetKey(table.asset_key)


def table_asset(
    table: TableContract,
    *,
    deps: Sequence[TableContract],
    kinds: set[str],
    partitions: PartitionsDefinition[str] | None,
    pool: str,
    further_rules: Sequence[Rule] = (),
    further_deps: Sequence[AssetKey] = (),
    many_days_at_once: bool = False,
) -> Callable[[Callable[..., Any]], AssetsDefinition]:
    """Make a function that publishes `table` its asset. The contract's rules, and `further_rules`, are blocking checks.

    The function yields from `publish(...)`, or from `load(...)` for a table of the warehouse: the rules are judged first, so rows that break one
    are never seen by a reader. `further_deps` are assets that are no tables. `partitions` is None for a table that is rebuilt whole. With
    `many_days_at_once` one run takes a range of days, and the function finds them in `context.partition_keys`.
    """
    return asset(
        key=asset_key(table),
        description=table.description,
        deps=[*(AssetDep(asset_key(dep)) for dep in deps), *(AssetDep(key) for key in further_deps)],
        group_name=table.database,
        kinds=kinds,
        owners=OWNERS,
        pool=pool,
        partitions_def=partitions,
        backfill_policy=BackfillPolicy.single_run() if many_days_at_once else None,
        metadata={"dagster/column_schema": column_schema(table), "dagster/table_name": table.qualified_name},
        check_specs=check_specs(table, (*rules_of(table), *further_rules), partitions),
    )


def table_spec(
    table: TableContract, *, deps: Sequence[AssetKey], kinds: set[str], partitions: PartitionsDefinition[str]
) -> AssetSpec:
    """The spec of a table's asset, for a function that makes several tables at once."""
    return AssetSpec(
        key=asset_key(table),
        description=table.description,
        deps=deps,
        group_name=table.database,
        kinds=kinds,
        owners=OWNERS,
        partitions_def=partitions,
        metadata={"dagster/column_schema": column_schema(table), "dagster/table_name": table.qualified_name},
    )


def check_specs(
    table: TableContract, rules: Iterable[Rule], partitions: PartitionsDefinition[str] | None
) -> list[AssetCheckSpec]:
    """A blocking check for each rule."""
    return [
        AssetCheckSpec(
            rule.name, asset=asset_key(table), description=rule.description, blocking=True, partitions_def=partitions
        )
        for rule in rules
    ]


def publish(table: TableContract, work: Callable[[], Published]) -> Results:
    """Do the work and report it to Dagster: a result for each rule, and the materialization if there was one.

    Raises what the work raises. A refused version shows its broken rules as failed checks first.
    """
    published = yield from _judged(table, work, lambda made: made.version.outcomes)
    version = published.version
    yield MaterializeResult(
        asset_key=asset_key(table),
        metadata={
            "dagster/row_count": version.rows,
            "dagster/uri": version.location,
            "dagster/column_schema": column_schema(table),
            "bytes": version.bytes,
            "seconds": round(published.seconds, 3),
            "version": version.name,
            "lineage": MetadataValue.json(dict(version.lineage)),
            **({"superseded": "another run, which read newer inputs, published first"} if published.superseded else {}),
            **{name: int(value) if value.isdecimal() else value for name, value in version.facts.items()},
            **service_metadata(published.service),
        },
    )


def load(table: TableContract, work: Callable[[], Loaded]) -> Results:
    """Do the work on a table of the warehouse and report it to Dagster, as `publish` does for a table of the lake.

    `dagster/row_count` counts the rows of the days that were loaded, `total` all of the table.
    """
    loaded = yield from _judged(table, work, lambda made: made.outcomes)
    yield MaterializeResult(
        asset_key=asset_key(table),
        metadata={
            "dagster/row_count": loaded.rows,
            "dagster/column_schema": column_schema(table),
            "total": loaded.total,
            "seconds": round(loaded.seconds, 3),
            "version": loaded.version,
            "lineage": MetadataValue.json(dict(loaded.lineage)),
            **service_metadata(loaded.service),
        },
    )


def artefact_metadata(made: Artefact) -> dict[str, Any]:
    """What is told of a published artefact, whatever it holds."""
    return {
        "dagster/uri": made.location,
        "version": made.version,
        "code": made.code,
        "seconds": round(made.seconds, 3),
        "lineage": MetadataValue.json(dict(made.lineage)),
        **service_metadata(made.service),
    }


def service_metadata(service: Mapping[str, str | int | float]) -> dict[str, Any]:
    """What a service says of its work, links as links."""
    return {name: MetadataValue.url(str(value)) if name.endswith("_link") else value for name, value in service.items()}


def column_schema(table: TableContract) -> TableSchema:
    """The contract as Dagster shows a table's columns."""
    columns = []
    for column in table.columns:
        others = []
        if column.between:
            others.append(f"between {column.between[0]:g} and {column.between[1]:g}")
        if column.one_of:
            others.append(f"one of {', '.join(column.one_of)}")
        if column.longest:
            others.append(f"{column.longest:,} characters at most")
        if column.references:
            others.append(f"in {column.references.table.qualified_name}.{column.references.column}")
        constraints = TableColumnConstraints(
            nullable=not column.required, unique=column.key and len(table.key) == 1, other=others
        )
        columns.append(TableColumn(column.name, column.type, column.description or None, constraints))
    keys = [f"({', '.join(columns)}) is unique" for columns in table.unique_sets]
    return TableSchema(columns=columns, constraints=TableConstraints(other=keys))


def _judged(
    table: TableContract, work: Callable[[], _Made], outcomes_of: Callable[[_Made], Iterable[Outcome]]
) -> Generator[AssetCheckResult, None, _Made]:
    """Do the work and report each rule; returns what was made. What was refused shows its broken rules before it raises."""
    try:
        made = work()
    except VersionRefused as refused:
        yield from check_results(table, [outcome for outcome in refused.outcomes if outcome.passed])
        yield from check_results(table, [outcome for outcome in refused.outcomes if not outcome.passed])
        raise
    yield from check_results(table, outcomes_of(made))
    return made


def check_results(table: TableContract, outcomes: Iterable[Outcome]) -> Iterator[AssetCheckResult]:
    """What came of a table's rules, as results of its checks."""
    for outcome in outcomes:
        yield AssetCheckResult(
            asset_key=asset_key(table),
            check_name=outcome.rule,
            passed=outcome.passed,
            description=outcome.detail,
            metadata={"rows_at_fault": outcome.violations},
        )
