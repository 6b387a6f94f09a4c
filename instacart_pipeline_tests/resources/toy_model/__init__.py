"""A model of one number, to try jobs, containers and endpoints with: its code, and the contracts of its tables."""

from pathlib import Path

from instacart_pipeline.lake.artefacts import ModelCode
from instacart_pipeline.lake.contracts import Column, TableContract

_HERE = Path(__file__).parent
CODE = ModelCode({name: (_HERE / name).read_bytes() for name in ("train.py", "inference.py", "double.py")})
METRICS = {"loss": r"loss=([0-9.]+)"}

ROWS = TableContract(
    database="toy_features",
    name="rows",
    description="What the toy learns from.",
    columns=[Column("id", "bigint", key=True), Column("y", "double", nullable=False), Column("x", "double")],
)
DOUBLED = TableContract(
    database="toy_sandbox",
    name="doubled",
    description="What the toy's script makes.",
    columns=[Column("id", "bigint", key=True), Column("y", "double", nullable=False, between=(0, 1000))],
)
SCORES = TableContract(
    database="toy_sandbox",
    name="scores",
    description="What the toy predicts.",
    columns=[Column("id", "bigint", key=True), Column("score", "double", nullable=False)],
)
