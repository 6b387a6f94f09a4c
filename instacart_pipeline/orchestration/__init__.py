"""What all systems share of Dagster: tables as assets, arrival of uploads, alerts."""

import warnings

from dagster import PreviewWarning

# Partitioned checks are marked as preview in Dagster 1.13. They are used on purpose: a check's result belongs to a day.
warnings.filterwarnings("ignore", message="Specifying a partitions_def on an AssetCheckSpec", category=PreviewWarning)
