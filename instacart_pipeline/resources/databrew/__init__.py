"""DataBrew: recipes over tables.

Belongs here: what running a recipe promises. The recipes themselves: lake/recipes.py.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

from dagster import ConfigurableResource

from instacart_pipeline.lake.contracts import TableContract
from instacart_pipeline.lake.errors import UnsupportedStep
from instacart_pipeline.lake.recipe_sql import Frame, compile_recipe
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

        Raises: UnsupportedStep before anything starts, also if the recipe gives other columns or types than the target has,
        since DataBrew casts nothing by itself; TableNotFound if the source has no such day; JobFailed with the
        service's own reason; VersionRefused if the result breaks the target's contract.
        """


def require_columns(recipe: Recipe, source: TableContract, target: TableContract) -> None:
    """Raise UnsupportedStep unless the recipe can be run and gives the columns of the target's contract."""
    frame = Frame(source.qualified_name, tuple((column.name, column.type) for column in source.columns))
    given = dict(compile_recipe(recipe, frame).columns)
    wanted = {column.name: column.type for column in target.columns}
    if given != wanted:
        different = [f"{name} {kind}" for name, kind in given.items() if wanted.get(name) != kind]
        missing = [f"{name} {kind}" for name, kind in wanted.items() if given.get(name) != kind]
        raise UnsupportedStep(
            f"Recipe {recipe.name} does not give the columns of {target.qualified_name}: it gives {', '.join(different) or 'no more'}, "
            f"and the contract wants {', '.join(missing) or 'no more'}. Change the recipe's steps or the contract; nothing was started."
        )
