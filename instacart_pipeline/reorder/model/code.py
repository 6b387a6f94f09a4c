"""The model's code as it is handed to jobs and endpoints: the scripts at the top, and the modules they import."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from instacart_pipeline.lake.artefacts import ModelCode

_HERE = Path(__file__).parent
_ROOT = _HERE.parents[1]
_MODULES = ("baskets", "calibration", "decision", "evaluation", "features", "pairs", "plots", "training", "users")


@cache
def model_code() -> ModelCode:
    """The code at hand."""
    packages = {"__init__.py", "reorder/__init__.py", "reorder/model/__init__.py"}
    files = {f"{_ROOT.name}/{name}": (_ROOT / name).read_bytes() for name in packages}
    files |= {f"{_ROOT.name}/reorder/model/{name}.py": (_HERE / f"{name}.py").read_bytes() for name in _MODULES}
    return ModelCode(files | {path.name: path.read_bytes() for path in sorted((_HERE / "scripts").glob("[a-z]*.py"))})
