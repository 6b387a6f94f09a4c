"""A local Spark session for tests, on the Java that the platform itself would use."""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

from pyspark.sql import SparkSession

from instacart_pipeline.resources.glue.local.java import java_home


def session() -> SparkSession:
    """A new session; the caller stops it."""
    os.environ["JAVA_HOME"] = java_home(Path(tempfile.gettempdir()) / "instacart_pipeline_java")
    os.environ["PYSPARK_PYTHON"] = sys.executable
    return (
        SparkSession.builder.master("local[2]")
        .appName("tests")
        .config("spark.ui.enabled", "false")
        .config("spark.driver.host", "127.0.0.1")
        .config("spark.driver.bindAddress", "127.0.0.1")
        .config("spark.sql.shuffle.partitions", "2")
        .config("spark.sql.ansi.enabled", "false")
        .config("spark.sql.session.timeZone", "UTC")
        .getOrCreate()
    )
