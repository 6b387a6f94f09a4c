"""DataBrew recipes: the JSON a recipe is written in, read into typed steps.

Belongs here: the shape of the file, and where in it something is refused. Doesn't: the operations themselves
(recipe_steps.py) and the SQL they become (recipe_sql.py).
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from instacart_pipeline.lake.errors import UnsupportedStep
from instacart_pipeline.lake.recipe_steps import Step, parse_step
from instacart_pipeline.lake.recipe_types import Refused

MAX_STEPS = 100
"""DataBrew's own limit."""


@dataclass(frozen=True)
class Recipe:
    """A recipe: named steps, applied to a table in turn.

    `definition` is the same steps as the service's API takes them, for whoever hands the recipe to the service.
    """

    name: str
    steps: tuple[Step, ...]
    definition: tuple[Mapping[str, Any], ...] = field(default=(), compare=False, repr=False)

    @classmethod
    def load(cls, path: Path) -> Recipe:
        """The recipe in a file, named after it. Raises UnsupportedStep, as `parse` does, and OSError."""
        return cls.parse(path.stem, path.read_text(encoding="utf-8"))

    @classmethod
    def parse(cls, name: str, text: str) -> Recipe:
        """The recipe in `text`: a JSON list of steps, each with an Action (or RecipeAction) and ConditionExpressions.

        Keys that mean nothing here are ignored. Raises UnsupportedStep, naming recipe, step and operation, for all that
        can be refused without knowing the table; `compile_recipe` refuses the rest.
        """
        try:
            steps = json.loads(text)
        except ValueError as error:
            raise UnsupportedStep(f"Recipe {name} is not JSON: {error}.") from None
        if not isinstance(steps, list) or not 1 <= len(steps) <= MAX_STEPS:
            found = f"a list of {len(steps)}" if isinstance(steps, list) else type(steps).__name__
            raise UnsupportedStep(f"Recipe {name} must be a JSON list of 1 to {MAX_STEPS} steps, and is {found}.")
        definition = tuple(_definition(name, number, step) for number, step in enumerate(steps, 1))
        return cls(name, tuple(_step(name, number, step) for number, step in enumerate(definition, 1)), definition)


@contextmanager
def refusals(recipe: str, number: int, operation: str) -> Iterator[None]:
    """Turns what is Refused inside into UnsupportedStep, with the place in the recipe."""
    try:
        yield
    except Refused as reason:
        raise UnsupportedStep(f"Recipe {recipe}, step {number} ({operation}): {reason}.") from None


def _definition(recipe: str, number: int, step: object) -> Mapping[str, Any]:
    """The step with the keys the service knows, its shape checked."""
    with refusals(recipe, number, "unknown operation"):
        action = (step.get("Action") or step.get("RecipeAction")) if isinstance(step, dict) else None
        if not isinstance(step, dict) or not isinstance(action, dict) or not isinstance(action.get("Operation"), str):
            raise Refused("the step lacks an Action with an Operation")
    with refusals(recipe, number, action["Operation"]):
        parameters = action.get("Parameters") or {}
        conditions = step.get("ConditionExpressions") or []
        if not _texts(parameters):
            raise Refused("Parameters must be a map of texts; lists and maps in it are JSON inside a text")
        if not isinstance(conditions, list) or not all(map(_texts, conditions)):
            raise Refused("ConditionExpressions must be a list of maps of texts")
    definition: dict[str, Any] = {"Action": {"Operation": action["Operation"], "Parameters": parameters}}
    if conditions:
        known = ("Condition", "Value", "TargetColumn")
        definition["ConditionExpressions"] = [{key: each[key] for key in known if key in each} for each in conditions]
    return definition


def _texts(value: object) -> bool:
    return isinstance(value, dict) and all(isinstance(text, str) for text in value.values())


def _step(recipe: str, number: int, definition: Mapping[str, Any]) -> Step:
    action = definition["Action"]
    with refusals(recipe, number, action["Operation"]):
        return parse_step(action["Operation"], action["Parameters"], definition.get("ConditionExpressions", []))
