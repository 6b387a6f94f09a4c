"""Athena on AWS: CREATE TABLE AS into a version's prefix, and queries."""

import time
import uuid

from dagster import ResourceDependency

from instacart_pipeline.lake.contracts import TableContract
from instacart_pipeline.lake.sql import Query
from instacart_pipeline.resources.athena import Athena, QueryResult
from instacart_pipeline.resources.aws_account.athena_queries import rows_of, run_query
from instacart_pipeline.resources.aws_account.lake import AwsLake, unpublished_name
from instacart_pipeline.resources.catalog.inputs import inputs_of, schema_at
from instacart_pipeline.resources.managed_jobs.attempts import Attempt, Work
from instacart_pipeline.resources.managed_jobs.job_service import JobSucceeded
from instacart_pipeline.resources.published import Published

_TYPES = {"string": "varchar", "int": "integer"}


def athena_type(name: str) -> str:
    """A contract's type as Athena's SQL calls it."""
    return _TYPES.get(name, name)


class AwsAthena(Athena):
    """Runs Athena SQL in the lake's workgroup.

    Rows are not sorted as a contract's `sorted_by` says: Athena would sort all of them on one node.
    """

    lake: ResourceDependency[AwsLake]
    reuse_minutes: int
    """A query of the command line is answered from the result of the same one, if that is no older; 0: never."""

    def create_table_as(self, query: Query, target: TableContract, dt: str) -> Published:
        """See Athena."""
        bound = query.bind(dt=dt)
        inputs = inputs_of(self.lake.catalog, bound, dt)
        select = bound.render("athena", schema_at(self.lake.catalog, bound))
        columns = ", ".join(
            f'CAST("{column.name}" AS {athena_type(column.type)}) AS "{column.name}"' for column in target.columns
        )

        def write(attempt: Attempt, location: str) -> JobSucceeded:
            statement = (
                f"CREATE TABLE {unpublished_name(target, attempt.version)}"
                f" WITH (format = 'PARQUET', write_compression = 'SNAPPY', external_location = '{location}/')"
                f" AS SELECT {columns} FROM (\n{select}\n) AS made"
            )
            self.lake.enter_unpublished(target)
            return run_query(self.lake.jobs, attempt, "ctas", statement, workgroup=self.lake.workgroup)

        return self.lake.build(target, dt, select, inputs, write)

    def query(self, query: Query, limit: int | None = None) -> QueryResult:
        """See Athena."""
        started = time.perf_counter()
        tree = query.qualified(schema_at(self.lake.catalog, query))
        if limit is not None and tree.args.get("limit") is None:
            # One row more says that there are more. A limit around the whole statement would lose its order.
            tree = tree.limit(limit + 1)
        text = tree.sql("athena", pretty=True, comments=False)
        work = Work(uuid.uuid4().hex, "query", "now", "ad-hoc")

        def run(attempt: Attempt) -> JobSucceeded:
            return run_query(
                self.lake.jobs, attempt, "query", text, workgroup=self.lake.workgroup, reuse_minutes=self.reuse_minutes
            )

        ended = self.lake.jobs.run_or_reattach(work, run)
        table = rows_of(self.lake.session, ended.id)
        truncated = limit is not None and table.num_rows > limit
        return QueryResult(table.slice(0, limit) if truncated else table, truncated, time.perf_counter() - started)
