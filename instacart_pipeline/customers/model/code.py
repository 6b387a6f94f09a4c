"""The segments' code as it is handed to processing jobs: the scripts at the top, and the modules they import."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from instacart_pipeline.lake.artefacts import ModelCode

_HERE = Path(__file__).parent
_ROOT = _HERE.parents[1]
_PACKAGES = ("__init__.py", "customers/__init__.py", "customers/model/__init__.py")


@cache
def model_code() -> ModelCode:
    """The code at hand: all of this folder but this module, which needs the rest of the project."""
    modules = [f"customers/model/{path.name}" for path in sorted(_HERE.glob("[a-z]*.py")) if path.stem != "code"]
    files = {f"{_ROOT.name}/{name}": (_ROOT / name).read_bytes() for name in (*_PACKAGES, *modules)}
    return ModelCode(files | {path.name: path.read_bytes() for path in sorted((_HERE / "scripts").glob("[a-z]*.py"))})
