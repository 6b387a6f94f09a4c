"""Recipes in DataBrew: published when their steps have changed, and used by the number of their version.

Belongs here: names, comparing, publishing. Doesn't: running a recipe (__init__.py).
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

from instacart_pipeline.lake.errors import JobFailed
from instacart_pipeline.lake.recipes import Recipe
from instacart_pipeline.resources.aws_account.errors import AwsConflict, AwsNotFound, AwsUnavailable
from instacart_pipeline.resources.aws_account.locks import locked
from instacart_pipeline.resources.aws_account.objects import Objects
from instacart_pipeline.resources.aws_account.session import AwsSession

_TRIES = 5
_PAUSE_SECONDS = 0.5


def databrew_name(name: str) -> str:
    """A name of ours as DataBrew takes it, which knows no underscore and no two projects."""
    return f"instacart-{name.replace('_', '-').replace('.', '-')}"


def latest_published(session: AwsSession, recipe: Recipe) -> tuple[str, bool] | None:
    """The number of the latest published version, and whether it has the recipe's steps; None if none is published."""
    try:
        found = session.call(
            "databrew", "describe_recipe", Name=databrew_name(recipe.name), RecipeVersion="LATEST_PUBLISHED"
        )
    except AwsNotFound:
        return None
    return str(found["RecipeVersion"]), _plain(found["Steps"]) == _plain(recipe.definition)


def published_version(session: AwsSession, work_zone: str, recipe: Recipe) -> str:
    """The number of the published version that has the recipe's steps; published now if the latest one has others.

    Safe for any number of callers at once: of those with the same recipe one publishes.
    """
    if (found := latest_published(session, recipe)) and found[1]:
        return found[0]
    name = databrew_name(recipe.name)
    with locked(Objects(session), f"{work_zone}/locks/recipes/{name}") as lease:
        if (found := latest_published(session, recipe)) and found[1]:
            return found[0]
        lease.write(lambda: _store(session, name, recipe))
        for _ in range(_TRIES):
            lease.write(lambda: _publish(session, name))
            if (found := latest_published(session, recipe)) and found[1]:
                return found[0]
            time.sleep(_PAUSE_SECONDS)
    raise JobFailed(
        f"Recipe {recipe.name} was published as {name}, but its latest version has other steps than the file's. Somebody "
        f"else may be editing it in DataBrew; run again."
    )


def _store(session: AwsSession, name: str, recipe: Recipe) -> None:
    steps = [dict(step) for step in recipe.definition]
    try:
        session.call("databrew", "create_recipe", once=True, Name=name, Steps=steps)
    except AwsConflict:
        session.call("databrew", "update_recipe", once=True, Name=name, Steps=steps)


def _publish(session: AwsSession, name: str) -> None:
    # Each call that arrives makes a version: whether one did is looked up before another is made.
    with suppress(AwsUnavailable):
        session.call("databrew", "publish_recipe", once=True, Name=name)


def _plain(steps: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Steps without what the service adds or leaves out."""
    return [
        {
            "operation": step["Action"]["Operation"],
            "parameters": dict(step["Action"].get("Parameters") or {}),
            "conditions": [
                {key: value for key, value in each.items() if value is not None}
                for each in step.get("ConditionExpressions") or []
            ],
        }
        for step in steps
    ]
