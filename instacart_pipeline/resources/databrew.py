"""DataBrew: recipes over tables.

Belongs here: what running a recipe promises. The recipes themselves: lake/recipes.py. Its twins: local/databrew.py.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

from dagster import ConfigurableResource

from instacart_pipeline.lake.contracts import TableContract
from instacart_pipeline.lake.recipes import Recipe
from instacart_pipeline.resources.published import Published


class DataBrew(ConfigurableResource[Any], ABC):
    """Runs a DataBrew recipe over one table and publishes the result as another.

    A run that fails or is stopped publishes nothing and leaves no job behind. Running the same piece of work again
    replaces the earlier result whole.
    """

    @abstractmethod
    def run(self, recipe: Recipe, source: TableContract, target: TableContract, dt: str) -> Published:
        """Publish `recipe(source at dt)` as `target` at `dt`.

        Raises: UnsupportedStep before anything starts; TableNotFound if the source has no such day; JobFailed with the
        service's own reason; VersionRefused if the result breaks the target's contract.
        """
