"""What the Glue script (scripts/sql_to_parquet.py) is given to make a table of a query, the same for both backends.

Belongs here: the statement in Spark's dialect over views, and the script's arguments. Doesn't: starting the script.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass

from sqlglot import exp

from instacart_pipeline.lake.contracts import TableContract
from instacart_pipeline.lake.sql import Query
from instacart_pipeline.lake.versions import Version
from instacart_pipeline.resources.catalog import Catalog
from instacart_pipeline.resources.catalog.inputs import schema_at


@dataclass(frozen=True)
class SparkStatement:
    """A SELECT in Spark SQL over views, and for each view the location of the version it reads, and its day."""

    sql: str
    views: Mapping[str, Mapping[str, str]]

    @classmethod
    def of(cls, query: Query, catalog: Catalog, inputs: Mapping[str, Version], dt: str) -> SparkStatement:
        """The statement of `query`, which reads `inputs` at `dt`. Raises UnsupportedSql."""
        tree = query.qualified(schema_at(catalog, query))
        for table in tree.find_all(exp.Table):
            if table.db:
                view = exp.to_table(_view(f"{table.db}.{table.name}"))
                table.replace(exp.alias_(view, table.alias_or_name, table=True))
        views = {_view(name): {"location": version.location, "dt": dt} for name, version in inputs.items()}
        return cls(tree.sql(dialect="spark"), views)

    def arguments(self, target: TableContract, location: str, files: int) -> dict[str, str]:
        """The script's arguments for writing `target` below `location`, the statement itself excepted."""
        return {
            "--views": json.dumps(self.views),
            "--columns": json.dumps([(column.name, column.type) for column in target.columns]),
            "--target": location,
            "--files": str(files),
        }


def _view(qualified_name: str) -> str:
    return qualified_name.replace(".", "__")
