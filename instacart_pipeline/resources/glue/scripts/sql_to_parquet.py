"""The Glue script: runs one SELECT over named tables with Spark and writes its rows as Parquet.

Runs as a job of its own, on AWS Glue and on this machine alike, and knows nothing of the project: what it needs comes as
arguments. Input folders are read as temporary views, so the statement names views, not tables of a catalog.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence


def main(arguments: Sequence[str]) -> None:
    """Run the job that the arguments describe; the Spark session is stopped however it ends."""
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    statement = parser.add_mutually_exclusive_group(required=True)
    statement.add_argument("--sql", help="a SELECT in Spark SQL over the views")
    statement.add_argument("--sql-file", help="the file that holds it, where the filesystem of Spark finds it")
    parser.add_argument(
        "--views", required=True, help='JSON: {"view": {"location": folder of Parquet files, "dt": its day}}'
    )
    parser.add_argument("--columns", required=True, help='JSON: [["column", "type"], ...] of the output, in order')
    parser.add_argument("--target", required=True, help="the folder to write to; files in it stay")
    parser.add_argument("--files", type=int, default=1, help="number of Parquet files to write")
    options, _ = parser.parse_known_args(arguments)  # Glue adds arguments of its own

    from pyspark.sql import SparkSession  # noqa: PLC0415  # so that --help needs no Spark
    from pyspark.sql import functions as f  # noqa: PLC0415

    spark = SparkSession.builder.appName("sql_to_parquet").getOrCreate()
    # As on every engine: what can't be computed is NULL, and times are UTC.
    spark.conf.set("spark.sql.ansi.enabled", "false")
    spark.conf.set("spark.sql.session.timeZone", "UTC")
    try:
        text = options.sql or "".join(row.value for row in spark.read.text(options.sql_file, wholetext=True).collect())
        for view, source in json.loads(options.views).items():
            files = spark.read.option("recursiveFileLookup", "true").parquet(source["location"])
            frame = files.withColumn("dt", f.lit(source["dt"]))
            frame.createOrReplaceTempView(view)
        columns = [f.col(name).cast(kind).alias(name) for name, kind in json.loads(options.columns)]
        rows = spark.sql(text).select(*columns)
        spread = rows.coalesce(1) if options.files == 1 else rows.repartition(options.files)
        # The marker of success means nothing to a reader, who knows of the files only once they are published.
        unmarked = spread.write.option("mapreduce.fileoutputcommitter.marksuccessfuljobs", "false")
        unmarked.mode("append").parquet(options.target)
    finally:
        spark.stop()


if __name__ == "__main__":
    main(sys.argv[1:])
