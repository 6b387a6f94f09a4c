"""The command line `instacart-pipeline`."""

from instacart_pipeline.cli.commands import main

__all__ = ["main"]
