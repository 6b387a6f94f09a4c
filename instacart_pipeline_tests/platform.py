"""The local platform as tests drive it: the real definitions, resources and job, in a folder of its own."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any, cast

import dagster as dg
import pyarrow as pa
from pyarrow import parquet

from instacart_pipeline.definitions import build_defs
from instacart_pipeline.lake.contracts import MONEY, TableContract, rejects_of
from instacart_pipeline.lake.sql import Query
from instacart_pipeline.lake.versions import Version
from instacart_pipeline.lake.zones import Zones
from instacart_pipeline.profiles import build_resources, local_lake
from instacart_pipeline.reorder import tables as t
from instacart_pipeline.reorder.automation import DAILY_JOB
from instacart_pipeline.resources.catalog import Catalog, CatalogTable
from instacart_pipeline.resources.local_machine.lake import LocalLake
from instacart_pipeline.resources.storage import Storage
from instacart_pipeline.settings import Settings

DT = "2026-11-20"
Row = dict[str, Any]
_ARROW: dict[str, pa.DataType] = {
    **{"bigint": pa.int64(), "int": pa.int32(), "double": pa.float64(), "string": pa.string(), "boolean": pa.bool_()},
    **{"date": pa.date32(), "timestamp": pa.timestamp("us"), MONEY: pa.decimal128(18, 4)},
}


@dataclass
class Run:
    """What came of a run of the daily job."""

    success: bool
    errors: dict[str, str]
    failed_checks: set[tuple[str, str]]
    materialized: set[str]

    @property
    def error(self) -> str:
        """The text of the only error."""
        (text,) = self.errors.values()
        return text


class Platform:
    """A platform below `home`; `settings` are passed on to Settings."""

    def __init__(self, home: Path, **settings: Any) -> None:
        self.settings = Settings(home=home, **settings)
        self.resources = build_resources(self.settings)
        self.home = home

    @property
    def lake(self) -> LocalLake:
        return local_lake(self.settings)

    @property
    def catalog(self) -> Catalog:
        return self.resources.catalog

    @property
    def storage(self) -> Storage:
        return self.resources.storage

    @property
    def raw(self) -> Path:
        """The raw zone."""
        return self.home / "lake" / "raw"

    @property
    def zones(self) -> Zones:
        """Where the lake keeps what."""
        return self.lake.zones

    def upload(self, folder: Path, dt: str = DT) -> None:
        """Put every file of `folder` into the raw zone, as the command line does."""
        for table in t.STAGED:
            files = sorted(path for path in folder.iterdir() if path.name.split(".")[0].split("__")[0] == table.name)
            if files:
                self.storage.put(t.SYSTEM, table.name, dt, files)

    def run(
        self,
        dt: str = DT,
        *,
        job: str = DAILY_JOB,
        instance: dg.DagsterInstance | None = None,
        overrides: dict[str, Any] | None = None,
    ) -> Run:
        """Run a job for a day, in this process."""
        # A job's graph is the same in whatever home it runs, so it is put together once for all platforms of a process.
        graph = _definitions(replace(self.settings, home=Path("/nowhere"))).resolve_job_def(job)
        result = graph.execute_in_process(
            instance=instance or shared_instance(),
            partition_key=dt,
            raise_on_error=False,
            resources={**self.resources.by_name(), **(overrides or {})},
            run_config={"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},
        )
        return run_of(result)

    def sql(self, statement: str) -> list[Row]:
        """The rows of an Athena query."""
        return cast(list[Row], self.resources.athena.query(Query.parse("test", statement)).table.to_pylist())

    def rows(self, table: TableContract, dt: str = DT) -> list[Row]:
        """A day of a table, sorted by all its columns, so that two of them can be compared."""
        names = ", ".join(f"{table.name}.{name}" for name in table.column_names)
        order = ", ".join(str(position) for position in range(1, len(table.column_names) + 1))
        return self.sql(f"SELECT {names} FROM {table.qualified_name} WHERE dt = '{dt}' ORDER BY {order}")

    def put_rows(
        self,
        table: TableContract,
        rows: Sequence[Row],
        *,
        dt: str = DT,
        name: str = "",
        lineage: Mapping[str, str] | None = None,
    ) -> Version:
        """Publish hand-made rows as a day of a table, as if a run had made them."""
        version = name or "20260101T000000000000-000000"
        location = self.zones.version(table, dt, version)
        schema = pa.schema([(column.name, _ARROW[column.type]) for column in table.columns])
        made = io.BytesIO()
        parquet.write_table(pa.Table.from_pylist(list(rows), schema), made)
        self.write(f"{location}/part-00000.parquet", made.getvalue())
        self.catalog.put_table(CatalogTable.of(table, self.zones.table(table)))
        return self.catalog.publish(
            table.database, table.name, dt, Version(version, location, len(rows), len(made.getvalue()), lineage or {})
        )

    def write(self, location: str, content: bytes) -> None:
        """Write a file of the lake."""
        path = Path(location)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)

    def files(self, version: Version) -> list[str]:
        """The names of a version's files that are no marks or locks of their writer."""
        return sorted(path.name for path in Path(version.location).iterdir() if path.name[0] not in "._")

    def unpublished(self, table: TableContract, dt: str = DT) -> list[str]:
        """The versions of a day of a table that lie in the lake though no reader can know them."""
        return [path.name for path in self.lake.orphaned(table, dt)]

    def rejects(self, table: TableContract, dt: str = DT) -> list[Row]:
        """The rejects of an ingested table."""
        return self.rows(rejects_of(table), dt)

    def orphaned_files(self, dt: str = DT) -> list[Path]:
        """Unpublished folders that no living process writes, of any table."""
        ingested = list(t.CURATED_TABLES.values())
        tables = [*ingested, *map(rejects_of, ingested), *t.DERIVED]
        return [path for table in tables for path in self.lake.orphaned(table, dt)]


@cache
def shared_instance() -> dg.DagsterInstance:
    """Where runs and ticks are recorded that no test asks about afterwards: one per process, as making one takes as long as a short run."""
    return dg.DagsterInstance.ephemeral()


@cache
def _definitions(settings: Settings) -> dg.Definitions:
    return build_defs(settings)


def run_of(result: dg.ExecuteInProcessResult) -> Run:
    """What came of a run, from Dagster's own account of it."""
    events = result.all_events
    errors = {}
    for event in events:
        if event.is_step_failure and (error := event.step_failure_data.error):
            errors[event.step_key or ""] = (error.cause or error).message.strip()
    checks = [e.asset_check_evaluation_data for e in events if e.event_type_value == "ASSET_CHECK_EVALUATION"]
    return Run(
        success=result.success,
        errors=errors,
        failed_checks={(check.asset_key.path[-1], check.check_name) for check in checks if not check.passed},
        materialized={
            e.step_materialization_data.materialization.asset_key.path[-1] for e in events if e.is_step_materialization
        },
    )


def write_upload(folder: Path) -> Path:
    """A whole hand-made upload: 6 users, 12 products; users 1-4 are train, 5 and 6 test. Names hold commas and quotes."""
    folder.mkdir(parents=True, exist_ok=True)
    files = {
        "aisles.csv": ["aisle_id,aisle", "1,fresh fruits", '2,"cheeses, specialty"', "3,tea"],
        "departments.csv": ["department_id,department", "1,produce", "2,dairy eggs"],
        "products.csv": [
            "product_id,product_name,aisle_id,department_id",
            *(f'{i},"Product {i}, {i}"" wide",{i % 3 + 1},{i % 2 + 1}' for i in range(1, 13)),
        ],
    }
    orders = ["order_id,user_id,eval_set,order_number,order_dow,order_hour_of_day,days_since_prior_order"]
    prior = ["order_id,product_id,add_to_cart_order,reordered"]
    train = list(prior)
    order_id = 0
    for user in range(1, 7):
        bought: set[int] = set()
        last = 4 + user % 3
        for number in range(1, last + 1):
            order_id += 1
            kind = "prior" if number < last else "train" if user <= 4 else "test"
            gap = "" if number == 1 else f"{(user * number) % 30}.0"
            orders.append(f"{order_id},{user},{kind},{number},{order_id % 7},{order_id % 24:02},{gap}")
            if kind == "test":
                continue
            basket = sorted({(user * k + number * (k % 2)) % 12 + 1 for k in range(1, 2 + user)})
            for position, product in enumerate(basket, start=1):
                (prior if kind == "prior" else train).append(
                    f"{order_id},{product},{position},{int(product in bought)}"
                )
            bought.update(basket)
    files |= {"orders.csv": orders, "order_products__prior.csv": prior, "order_products__train.csv": train}
    for name, lines in files.items():
        (folder / name).write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder
