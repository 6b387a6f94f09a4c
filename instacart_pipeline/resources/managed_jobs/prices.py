"""What a job costs, by list price. An estimate: the bill also knows discounts, free tiers and what else a job touches.

Prices are of us-east-1, in US dollars, as AWS's price list had them for years. They were not looked up when this was written, and
other regions differ: hold them against the pricing pages before relying on a sum.
"""

from __future__ import annotations

ATHENA_PER_TERABYTE = 5.0
ATHENA_LEAST_BYTES = 10 * 1_000_000
GLUE_PER_DPU_HOUR = 0.44
GLUE_LEAST_SECONDS = 60.0
DATABREW_PER_NODE_HOUR = 0.48
DPUS = {"G.025X": 0.25, "G.1X": 1.0, "G.2X": 2.0, "G.4X": 4.0, "G.8X": 8.0, "R.1X": 1.0, "R.2X": 2.0}
"""Data processing units of a Glue worker, by its type."""

SAGEMAKER_PER_HOUR = {
    **{
        f"ml.m5.{size}": 0.115 * factor
        for size, factor in (("large", 1), ("xlarge", 2), ("2xlarge", 4), ("4xlarge", 8))
    },
    **{f"ml.c5.{size}": 0.204 * factor for size, factor in (("xlarge", 1), ("2xlarge", 2), ("4xlarge", 4))},
}
"""An instance's hour, whichever kind of SageMaker job or endpoint it is for. Of other types nothing is estimated."""


def athena(bytes_scanned: float) -> float:
    """Dollars of a query: per terabyte scanned, ten megabytes at least; a query that scans nothing is free."""
    return max(bytes_scanned, ATHENA_LEAST_BYTES) / 1e12 * ATHENA_PER_TERABYTE if bytes_scanned else 0.0


def glue(dpu_seconds: float) -> float:
    """Dollars of a Glue job run that used so many DPU-seconds."""
    return dpu_seconds / 3600 * GLUE_PER_DPU_HOUR


def crawler(dpu_hours: float) -> float:
    """Dollars of a crawl."""
    return dpu_hours * GLUE_PER_DPU_HOUR


def databrew(nodes: int, seconds: float) -> float:
    """Dollars of a DataBrew job run on so many nodes."""
    return nodes * seconds / 3600 * DATABREW_PER_NODE_HOUR


def sagemaker(instance: str, seconds: float) -> float:
    """Dollars of one SageMaker instance for so long; 0 for a type whose price is not known here."""
    return seconds / 3600 * SAGEMAKER_PER_HOUR.get(instance, 0.0)
