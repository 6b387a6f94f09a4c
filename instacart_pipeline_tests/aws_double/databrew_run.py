"""A run of a DataBrew recipe job: the recipe over a folder of Parquet objects, on DuckDB, to a folder of Parquet objects."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from instacart_pipeline.lake.contracts import ColumnType
from instacart_pipeline.lake.errors import UnsupportedSql, UnsupportedStep
from instacart_pipeline.lake.recipe_sql import Compiled, Frame, compile_recipe
from instacart_pipeline.lake.recipes import Recipe
from instacart_pipeline.lake.sql import Query
from instacart_pipeline_tests.aws_double.athena_values import duckdb_type
from instacart_pipeline_tests.aws_double.jobs import JobFailure, JobRun, Stopped
from instacart_pipeline_tests.aws_double.objects import Objects, S3Object
from instacart_pipeline_tests.aws_double.wire import Parameters

_ROWS = "dataset.rows"
_SUFFIXES = {"SNAPPY": ".parquet.snappy", "GZIP": ".parquet.gz", "ZSTD": ".parquet.zstd"}


class RecipeRun:
    """One run. `log` takes its log line by line; `files` is the number of files it writes, if it may and has rows for them."""

    def __init__(self, run: JobRun, objects: Objects, folder: Path, log: Callable[[str], None], files: int) -> None:
        self._run, self._objects, self._log, self._files = run, objects, log, files
        self._folder = folder / f"databrew-{run.id}"

    def work(self, recipe: Parameters, dataset: Parameters, outputs: list[Parameters]) -> None:
        """Run it to its end. Raises JobFailure or Stopped."""
        items = self._inputs(dataset)
        self._log(f"Reading {len(items)} files of dataset {dataset['Name']}")
        paths = [self._objects.fetch(item) for item in items]
        self._folder.mkdir()
        connection = duckdb.connect(config={"threads": 2, "temp_directory": str(self._folder)})
        try:
            with self._run.stoppable_by(connection.interrupt):
                compiled = self._transform(connection, recipe, paths)
                for output in outputs:
                    self._run.check_stop()
                    self._write(connection, compiled, output)
        except duckdb.InterruptException as error:
            raise Stopped from error
        except (duckdb.Error, UnsupportedStep, UnsupportedSql) as error:
            raise JobFailure(str(error)) from error
        finally:
            connection.close()
            shutil.rmtree(self._folder, ignore_errors=True)

    def _inputs(self, dataset: Parameters) -> list[S3Object]:
        place = dataset["Input"].get("S3InputDefinition")
        if place is None or dataset.get("Format", "PARQUET") != "PARQUET":
            raise JobFailure("the double reads datasets of Parquet in S3 only")
        uri = f"s3://{place['Bucket']}/{place.get('Key', '')}"
        if uri.endswith("/"):
            items = self._objects.data_below(uri)
        else:
            items = [item for item in self._objects.below(uri) if item.uri == uri]  # a folder's key ends with a slash
        if not items:
            raise JobFailure(f"No files found at the dataset's location {uri}")
        return items

    def _transform(self, connection: duckdb.DuckDBPyConnection, recipe: Parameters, paths: list[Path]) -> Compiled:
        """Put the recipe's result into the table `result`."""
        columns: dict[str, ColumnType] = {}
        for path in paths:
            for field in pq.read_schema(path):
                columns.setdefault(field.name, _column_type(field.type))
        files = ", ".join("'" + str(path).replace("'", "''") + "'" for path in paths)
        names = ", ".join(f'CAST("{name}" AS {duckdb_type(kind)}) AS "{name}"' for name, kind in columns.items())
        connection.execute("CREATE SCHEMA dataset")
        source = f"read_parquet([{files}], union_by_name = true, hive_partitioning = false)"
        connection.execute(f"CREATE VIEW {_ROWS} AS SELECT {names} FROM {source}")
        steps = Recipe.parse(recipe["Name"], json.dumps(recipe["Steps"]))
        compiled = compile_recipe(steps, Frame(_ROWS, tuple(columns.items())))
        sql = Query.parse(recipe["Name"], compiled.sql).render("duckdb", {"dataset": {"rows": dict(columns)}})
        casts = ", ".join(f'CAST("{name}" AS {duckdb_type(kind)}) AS "{name}"' for name, kind in compiled.columns)
        connection.execute(f"CREATE TEMP TABLE result AS SELECT {casts} FROM ({sql})")
        return compiled

    def _write(self, connection: duckdb.DuckDBPyConnection, compiled: Compiled, output: Parameters) -> None:
        if output.get("Format", "CSV") not in ("PARQUET", "GLUEPARQUET") or output.get("PartitionColumns"):
            raise JobFailure("the double writes Parquet without partitions only")
        rows: int = connection.execute("SELECT count(*) FROM result").fetchall()[0][0]
        parts = max(min(self._files, output.get("MaxOutputFiles") or self._files, rows), 1)
        compression = output.get("CompressionFormat", "UNCOMPRESSED")
        stem, location = self._run.name, output["Location"]
        folder = f"s3://{location['Bucket']}/{location.get('Key', '')}".rstrip("/") + "/"
        if output.get("Overwrite"):
            for item in self._objects.below(folder):
                self._objects.delete(item)
        else:
            stem = f"{stem}_{time.strftime('%d%b%Y')}_{int(self._run.started * 1000)}"
            folder += f"{stem}/"
        for part in range(parts):
            path = self._folder / f"part{part}"
            share = f"SELECT * FROM result WHERE rowid % {parts} = {part}"
            connection.execute(f"COPY ({share}) TO '{path}' (FORMAT parquet, COMPRESSION '{compression}')")
            self._objects.upload(path, f"{folder}{stem}_part{part:05}{_SUFFIXES.get(compression, '.parquet')}")
        self._log(f"Wrote {rows} rows of {len(compiled.columns)} columns to {folder}")


def _column_type(kind: object) -> ColumnType:
    checks: list[tuple[Callable[[object], bool], ColumnType]] = [
        (pa.types.is_int64, "bigint"),
        (pa.types.is_integer, "int"),
        (pa.types.is_floating, "double"),
        (pa.types.is_decimal, "double"),
        (pa.types.is_boolean, "boolean"),
        (pa.types.is_date, "date"),
        (pa.types.is_timestamp, "timestamp"),
    ]
    return next((name for check, name in checks if check(kind)), "string")
