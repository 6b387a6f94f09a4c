"""The warehouse on AWS: Redshift Serverless, asked through its Data API."""

import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from dagster import ResourceDependency

from instacart_pipeline.lake.contracts import TableContract
from instacart_pipeline.lake.errors import SettingsInvalid
from instacart_pipeline.lake.sql import Query
from instacart_pipeline.lake.versions import lineage_of
from instacart_pipeline.resources.athena import QueryResult
from instacart_pipeline.resources.aws_account.lake import AwsLake
from instacart_pipeline.resources.catalog.inputs import schema_at
from instacart_pipeline.resources.managed_jobs.attempts import Attempt, Work
from instacart_pipeline.resources.managed_jobs.job_service import JobSucceeded
from instacart_pipeline.resources.published import Published
from instacart_pipeline.resources.warehouse import Loaded, Warehouse
from instacart_pipeline.resources.warehouse.aws import sql
from instacart_pipeline.resources.warehouse.aws.loading import Loading, Staging
from instacart_pipeline.resources.warehouse.aws.redshift import Redshift, loads_asked, require_loads
from instacart_pipeline.resources.warehouse.aws.statements import Place
from instacart_pipeline.resources.warehouse.loads import Load, at_day, columns_of, lineages, loads_of, sources_of

if TYPE_CHECKING:
    import pyarrow as pa


class RedshiftWarehouse(Warehouse):
    """The warehouse in a database of a workgroup. `role` reads and writes the lake for it."""

    lake: ResourceDependency[AwsLake]
    workgroup: str
    database: str
    role: str

    def load(self, query: Query, target: TableContract, days: Sequence[str]) -> Loaded:
        """See Warehouse."""
        started, role, wanted = time.perf_counter(), self._role, sorted(set(days))
        table, partitions = sources_of(self.lake.catalog, query, days)
        schema = schema_at(self.lake.catalog, query)
        versions = {partition.dt: partition.version for partition in partitions}
        columns = dict(table.columns)

        def staging(waiting: TableContract) -> Staging:
            each = []
            for dt, version in versions.items():
                rows = {(table.database, table.name): sql.lake_rows_at(columns, dt)}
                select = sql.rendered(at_day(query, dt), schema, rows)
                copy = [sql.copied(version.location, role)] if version.rows else []  # no file, and COPY would fail
                each.append([*copy, sql.inserted(select, waiting, dt), f"DELETE FROM {sql.LAKE_ROWS}"])
            before = [sql.lake_rows_made(columns)]
            return Staging(wanted, before, each, lineages(table, partitions), (), hold)

        def hold(_: Sequence["pa.Table"]) -> None:
            for dt, version in versions.items():
                self.lake.require_inputs({table.qualified_name: version}, dt)

        work = Work.named(
            target.qualified_name,
            wanted[0] if len(wanted) == 1 else f"{wanted[0]}_{wanted[-1]}",
            f"{query.expression.sql('athena')} {columns_of(target)} {wanted}",
            {f"{table.qualified_name} {dt}": version for dt, version in versions.items()},
        )
        return Loading(self.lake, self._redshift).replace(work, target, staging, started)

    def rebuild(self, query: Query, target: TableContract, dt: str) -> Loaded:
        """See Warehouse."""
        started, bound = time.perf_counter(), at_day(query, dt)
        schema, read = self._redshift.looked_up(bound)
        select = sql.rendered(bound, schema)

        def staging(waiting: TableContract) -> Staging:
            lineage = {dt: lineage_of(read)}
            return Staging((), (), [[sql.inserted(select, waiting, dt)]], lineage, loads_asked(bound), hold)

        def hold(answers: Sequence["pa.Table"]) -> None:
            require_loads(bound, answers, read)

        return Loading(self.lake, self._redshift).replace(
            Work.of(target, dt, f"{select} {columns_of(target)}", read), target, staging, started
        )

    def publish(self, query: Query, target: TableContract, dt: str) -> Published:
        """See Warehouse."""
        role, bound = self._role, at_day(query, dt)
        schema, read = self._redshift.looked_up(bound)
        select = sql.rendered(bound, schema)

        def write(attempt: Attempt, location: str) -> JobSucceeded:
            asked = loads_asked(bound)
            ended = self._redshift.run(attempt, "unload", [*asked, sql.unloaded(select, target, location, role)])
            # In one transaction with the result, so this is what it was computed from.
            require_loads(bound, self._redshift.answers(ended, 0, len(asked)), read)
            return ended

        return self.lake.build(target, dt, select, {}, write, also=read)

    def query(self, query: Query, limit: int | None = None) -> QueryResult:
        """See Warehouse."""
        started = time.perf_counter()
        schema = self._redshift.schema_of(query)
        expression = query.expression
        if limit is not None and expression.args.get("limit") is None:
            # One row more says that there are more. A limit around the whole statement would lose its order.
            expression = expression.limit(limit + 1)
        text = sql.rendered(Query(query.name, expression), schema)
        (rows,) = self._redshift.asked("query", [text])
        truncated = limit is not None and rows.num_rows > limit
        return QueryResult(rows.slice(0, limit) if truncated else rows, truncated, time.perf_counter() - started)

    def loads(self, table: TableContract) -> Mapping[str, Load]:
        """See Warehouse."""
        if loads_of(table.database).name not in self._redshift.schema([table.database]).get(table.database, {}):
            return {}
        (rows,) = self._redshift.asked("loads", [sql.loads_there(table.database, [table.name])])
        told = (Load.of(row["dt"], row["version"], row["row_count"], row["lineage"]) for row in rows.to_pylist())
        return {load.dt: load for load in told}

    @property
    def _redshift(self) -> Redshift:
        if not self.workgroup:
            raise SettingsInvalid(
                "The warehouse on AWS is a workgroup of Redshift Serverless. Set INSTACART_REDSHIFT_WORKGROUP to its name; "
                "docs/aws.md says how to make one."
            )
        return Redshift(self.lake.jobs, Place(self.workgroup, self.database))

    @property
    def _role(self) -> str:
        if not self.role:
            raise SettingsInvalid(
                "Redshift reads and writes the lake in a role of its own. Set INSTACART_SERVICE_ROLE to its ARN (docs/aws.md)."
            )
        return self.role
