"""DataBrew on this machine: a recipe is compiled to portable SQL and run on DuckDB."""

from dagster import ResourceDependency

from instacart_pipeline.lake.contracts import PARTITION, TableContract
from instacart_pipeline.lake.recipe_sql import Frame, compile_recipe
from instacart_pipeline.lake.recipes import Recipe
from instacart_pipeline.lake.sql import Query
from instacart_pipeline.resources.databrew import DataBrew, require_columns
from instacart_pipeline.resources.local_machine.lake import LocalLake
from instacart_pipeline.resources.local_machine.queries import build
from instacart_pipeline.resources.published import Published


class LocalDataBrew(DataBrew):
    """Runs recipes on an embedded engine."""

    lake: ResourceDependency[LocalLake]

    def run(self, recipe: Recipe, source: TableContract, target: TableContract, dt: str) -> Published:
        """See DataBrew."""
        require_columns(recipe, source, target)
        frame = Frame(source.qualified_name, tuple((column.name, column.type) for column in source.columns))
        compiled = compile_recipe(recipe, frame, where=f"{PARTITION} = '{dt}'")
        return build(
            self.lake, Query.parse(recipe.name, compiled.sql), target, dt, service={"steps": len(recipe.steps)}
        )
