"""A database of Redshift, as the warehouse asks it: transactions, their answers, and what is known of its tables.

Belongs here: asking. Doesn't: what a statement says (sql.py), and how rows are brought in (loading.py).
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from instacart_pipeline.lake.errors import UploadChanged
from instacart_pipeline.lake.sql import Query, Schema
from instacart_pipeline.lake.versions import Version
from instacart_pipeline.resources.managed_jobs.attempts import Attempt, Work
from instacart_pipeline.resources.managed_jobs.job_service import JobSucceeded
from instacart_pipeline.resources.managed_jobs.jobs import ManagedJobs
from instacart_pipeline.resources.warehouse.aws import sql
from instacart_pipeline.resources.warehouse.aws.statements import Place, rows_of, run_statements
from instacart_pipeline.resources.warehouse.loads import Load, newest, table_not_found_error

if TYPE_CHECKING:
    import pyarrow as pa


class Redshift:
    """A database of a workgroup. Raises as ManagedJobs.run does."""

    def __init__(self, jobs: ManagedJobs, place: Place) -> None:
        self._jobs, self._place = jobs, place

    def looked_up(self, query: Query) -> tuple[Schema, dict[str, Version]]:
        """The columns of the warehouse's tables that a query reads, and what is loaded into them."""
        schema, asked = self.schema_of(query), loads_asked(query)
        return schema, _read(query, self.asked("loads", asked))

    def schema_of(self, query: Query) -> Schema:
        """The columns of the warehouse's tables that a query reads. Raises TableNotFound, saying what there is."""
        schema = self.schema(sorted({database for database, _ in query.tables()}))
        there_is = [f"{database}.{name}" for database, tables in schema.items() for name in tables]
        for database, name in query.tables():
            if f"{database}.{name}" not in there_is:
                raise table_not_found_error(query, f"{database}.{name}", there_is)
        return schema

    def schema(self, databases: Sequence[str], attempt: Attempt | None = None) -> dict[str, dict[str, dict[str, str]]]:
        """The columns of every table of these schemas."""
        if not databases:
            return {}
        asked = [sql.columns_there(databases)]
        (rows,) = self.answers(self.run(attempt, "columns", asked), 0, 1) if attempt else self.asked("columns", asked)
        return sql.schema_from(rows.to_pylist())

    def asked(self, name: str, statements: Sequence[str]) -> list[pa.Table]:
        """The answers to statements that change nothing."""
        work = Work(uuid.uuid4().hex, "warehouse", "now", "ad-hoc")
        if not statements:
            return []
        ended = self._jobs.run_or_reattach(work, lambda attempt: self.run(attempt, name, statements))
        return self.answers(ended, 0, len(statements))

    def run(self, attempt: Attempt, name: str, statements: Sequence[str]) -> JobSucceeded:
        """Run statements in one transaction, as the job `name` of an attempt."""
        return run_statements(self._jobs, attempt, name, statements, self._place)

    def answers(self, ended: JobSucceeded, start: int, count: int) -> list[pa.Table]:
        """What `count` statements of a transaction answered, from the one at place `start`."""
        return [rows_of(self._jobs.session, ended.id, number + 1) for number in range(start, start + count)]


def loads_asked(query: Query) -> list[str]:
    """The statements that ask for the loads of the tables that a query reads, one a schema."""
    by_database: dict[str, list[str]] = {}
    for database, name in query.tables():
        by_database.setdefault(database, []).append(name)
    return [sql.loads_there(database, names) for database, names in by_database.items()]


def _read(query: Query, answers: Sequence[pa.Table]) -> dict[str, Version]:
    """What the answers to `loads_asked` say that a query reads, by qualified name. A version's lineage stays within the warehouse."""
    read: dict[str, Version] = {}
    for database, answer in zip(dict(query.tables()), answers, strict=True):
        loads: dict[str, list[Load]] = {}
        for row in answer.to_pylist():
            load = Load.of(row["dt"], row["version"], row["row_count"], row["lineage"])
            loads.setdefault(f"{database}.{row['table_name']}", []).append(load)
        for name, of_table in loads.items():
            lineage = newest(load.within_warehouse for load in of_table)
            newest_version = max(load.version for load in of_table)
            read[name] = Version(newest_version, "", sum(load.rows for load in of_table), 0, lineage)
    return read


def require_loads(query: Query, answers: Sequence[pa.Table], read: Mapping[str, Version]) -> None:
    """Raise UploadChanged unless what was read is what was looked up before."""
    if _read(query, answers) != read:
        raise UploadChanged(
            f"{query.name} reads tables of the warehouse that were loaded anew meanwhile. Nothing was changed. Run it again."
        )
