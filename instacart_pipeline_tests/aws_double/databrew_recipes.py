"""DataBrew's recipes: one working version each, and the versions published of it."""

from __future__ import annotations

import json
import re
import threading
import time
from collections.abc import Callable

from instacart_pipeline.lake.errors import UnsupportedStep
from instacart_pipeline.lake.recipes import Recipe
from instacart_pipeline_tests.aws_double.paging import page
from instacart_pipeline_tests.aws_double.wire import AwsError, Parameters

WORKING, PUBLISHED = "LATEST_WORKING", "LATEST_PUBLISHED"
_NAME = re.compile(r"[A-Za-z0-9\-. ]+")


def check_name(name: str) -> None:
    """Raise AwsError unless DataBrew takes the name: letters, digits, hyphen, period and space."""
    if not _NAME.fullmatch(name):
        raise AwsError(
            "ValidationException",
            f"1 validation error detected: Value '{name}' at 'name' failed to satisfy constraint: Member must satisfy"
            " regular expression pattern: ^[A-Za-z0-9\\-\\. ]+$",
        )


def not_found(what: str) -> AwsError:
    """The error for something that is not there."""
    return AwsError("ResourceNotFoundException", f"{what} wasn't found", 404)


class Recipes:
    """The part of DataBrew's API that is about recipes. `used` tells whether a job needs a version."""

    def __init__(self) -> None:
        self._working: dict[str, Parameters] = {}
        self._published: dict[str, list[Parameters]] = {}
        self._lock = threading.RLock()
        self.used: Callable[[str, str], bool] = lambda _name, _version: False

    def create_recipe(self, parameters: Parameters) -> Parameters:
        """Make a recipe's working version."""
        name = parameters["Name"]
        check_name(name)
        _check_steps(name, parameters["Steps"])
        with self._lock:
            if name in self._working:
                raise AwsError("ConflictException", f"The recipe {name} already exists", 409)
            now = time.time()
            self._working[name] = {**parameters, "RecipeVersion": "0.1", "CreateDate": now, "LastModifiedDate": now}
            self._published[name] = []
        return {"Name": name}

    def update_recipe(self, parameters: Parameters) -> Parameters:
        """Change the working version; published ones stay as they are."""
        with self._lock:
            recipe = self._recipe(parameters["Name"])
            if "Steps" in parameters:
                _check_steps(parameters["Name"], parameters["Steps"])
            recipe.update(parameters, LastModifiedDate=time.time())
        return {"Name": parameters["Name"]}

    def publish_recipe(self, parameters: Parameters) -> Parameters:
        """Make the working version the next published one: 1.0, 2.0, ..."""
        name = parameters["Name"]
        with self._lock:
            recipe = self._recipe(name)
            number = len(self._published[name]) + 1
            version = {**recipe, "RecipeVersion": f"{number}.0", "PublishedDate": time.time()}
            self._published[name].append({**version, "Description": parameters.get("Description", "")})
            recipe["RecipeVersion"] = f"{number}.1"
        return {"Name": name}

    def describe_recipe(self, parameters: Parameters) -> Parameters:
        """A version of a recipe, the latest published if none is named."""
        return self.version(parameters["Name"], parameters.get("RecipeVersion") or PUBLISHED)

    def list_recipes(self, parameters: Parameters) -> Parameters:
        """Every recipe's latest published version, or its working one."""
        with self._lock:
            if parameters.get("RecipeVersion") == WORKING:
                found = [dict(each) for each in self._working.values()]
            else:
                found = [dict(alive[-1]) for each in self._published.values() if (alive := _alive(each))]
        shown, token = page(found, parameters.get("NextToken"), parameters.get("MaxResults") or 100)
        return {"Recipes": shown, "NextToken": token}

    def list_recipe_versions(self, parameters: Parameters) -> Parameters:
        """The published versions of a recipe."""
        with self._lock:
            found = [dict(each) for each in _alive(self._published.get(parameters["Name"], []))]
        shown, token = page(found, parameters.get("NextToken"), parameters.get("MaxResults") or 100)
        return {"Recipes": shown, "NextToken": token}

    def delete_recipe_version(self, parameters: Parameters) -> Parameters:
        """Remove a version that no job uses; the working one goes last, and the recipe with it."""
        name, version = parameters["Name"], parameters["RecipeVersion"]
        with self._lock:
            recipe = self._recipe(name)
            if version in (WORKING, recipe["RecipeVersion"]):
                if _alive(self._published[name]):
                    raise AwsError("ConflictException", f"Recipe {name} has published versions", 409)
                del self._working[name], self._published[name]
                return {"Name": name, "RecipeVersion": version}
            found = self.version(name, version)
            if self.used(name, found["RecipeVersion"]):
                raise AwsError("ConflictException", f"Recipe {name} version {version} is used by a job", 409)
            place = [each["RecipeVersion"] for each in self._published[name]].index(found["RecipeVersion"])
            self._published[name][place] = {"RecipeVersion": found["RecipeVersion"]}  # its number is not given again
        return {"Name": name, "RecipeVersion": version}

    def version(self, name: str, version: str) -> Parameters:
        """A version of a recipe, by number or as the latest. Raises AwsError if there is none."""
        with self._lock:
            recipe = self._recipe(name)
            published = _alive(self._published[name])
            if version in (WORKING, recipe["RecipeVersion"]):
                return dict(recipe)
            if version == PUBLISHED:
                if not published:
                    raise not_found(f"The recipe {name} with version {version}")
                return dict(published[-1])
            for each in published:
                if each["RecipeVersion"] == version:
                    return dict(each)
        if not re.fullmatch(r"\d+\.\d+", version):
            raise AwsError("ValidationException", f"Recipe {name} version {version} is invalid.")
        raise not_found(f"The recipe {name} with version {version}")

    def _recipe(self, name: str) -> Parameters:
        if name not in self._working:
            raise not_found(f"The recipe {name}")
        return self._working[name]


def _alive(versions: list[Parameters]) -> list[Parameters]:
    return [each for each in versions if "Steps" in each]


def _check_steps(name: str, steps: list[Parameters]) -> None:
    try:
        Recipe.parse(name, json.dumps(steps))
    except UnsupportedStep as error:
        raise AwsError("ValidationException", str(error)) from error
