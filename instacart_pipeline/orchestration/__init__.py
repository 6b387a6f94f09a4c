"""What all systems share of Dagster: tables as assets, arrival of uploads, alerts."""

import warnings

from dagster import BetaWarning, PreviewWarning

# Partitioned checks are marked as preview in Dagster 1.13. They are used on purpose: a check's result belongs to a day.
warnings.filterwarnings("ignore", message="Specifying a partitions_def on an AssetCheckSpec", category=PreviewWarning)
# So are backfill policies, as beta. A warehouse loads a year in one pass, where a run a day would take hours.
warnings.filterwarnings("ignore", message="Parameter `backfill_policy`", category=BetaWarning)
