"""A model and its inference hooks, loaded from a folder with model/ and code/ into this process.

Belongs here: importing a bundle's code, and how two versions of it live in one process. Doesn't: HTTP (app.py), pointers (watch.py).

Model code runs in the server's own process, as a request then costs no second trip between processes. Two versions of a bundle hold
modules of the same names, and a bundle may hold a part of this very package. So a bundle's modules are imported anew, under their own
names, once the modules of the same names were taken out of `sys.modules`; the older version's functions go on with the modules they
were made in, as each function holds on to its own globals. The server has imported all it needs before the first bundle is loaded and asks
for nothing by name afterwards. One rule follows for bundles: what they import of their own, they import at the top of a module or
in model_fn; a later import finds the newest version's modules.
"""

from __future__ import annotations

import importlib
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from instacart_pipeline.container.contract import as_header, features_digest
from instacart_pipeline.lake.errors import PipelineError

_HOOKS = ("model_fn", "input_fn", "predict_fn", "output_fn")
_one_at_a_time = threading.Lock()
_standing: dict[str, set[str]] = {}
"""The code folder that `sys.path` holds for the version loaded last, with the names of its modules."""


class ModelUnloadable(PipelineError):
    """A model folder can't be brought to answer."""


@dataclass(frozen=True)
class Loaded:
    """A model ready to answer, by the hooks of its own code. `name` is its version, `features` the digest of what it takes, if it says."""

    name: str
    model: Any
    input_fn: Callable[[bytes, str], Any]
    predict_fn: Callable[[Any, Any], Any]
    output_fn: Callable[[Any, str], Any]
    features: str | None
    attributes: bytes
    modules: tuple[ModuleType, ...]


def load(
    folder: Path,
    module: str = "inference.py",
    name: str = "unknown",
    trial: Callable[[Loaded], None] | None = None,
) -> Loaded:
    """The model of a folder with model/ and code/, once it has passed `trial`, which raises if it doesn't.

    Raises ModelUnloadable with the reason; what was loaded before isn't touched then.
    """
    with _one_at_a_time:
        try:
            with _own_modules(folder / "code") as names:
                code = importlib.import_module(module.removesuffix(".py").replace("/", "."))
                _require_hooks(code)
                model = code.model_fn(str(folder / "model"))
                told = code.describe(model) if hasattr(code, "describe") else {}
                features = features_digest(told["features"]) if "features" in told else None
                said = {"features": features} if features else {}
                loaded = Loaded(
                    name=name,
                    model=model,
                    input_fn=code.input_fn,
                    predict_fn=code.predict_fn,
                    output_fn=code.output_fn,
                    features=features,
                    attributes=as_header({**said, "model": name}).encode("ascii", "replace"),
                    modules=tuple(sys.modules[known] for known in list(sys.modules) if _top(known) in names),
                )
                if trial:
                    trial(loaded)
                return loaded
        except (Exception, SystemExit) as error:  # whatever a model's code may raise: it must not end the server
            raise ModelUnloadable(f"The model {name} can't be loaded: {one_line(error)}") from error


def _require_hooks(code: ModuleType) -> None:
    lacking = [hook for hook in _HOOKS if not callable(getattr(code, hook, None))]
    if lacking:
        raise ModelUnloadable(f"{code.__name__} lacks {', '.join(lacking)}")


def one_line(error: BaseException) -> str:
    """An error as one line of text."""
    text = " ".join(str(error).split()) or "no reason given"
    return text[:500] if isinstance(error, (PipelineError, ValueError)) else f"{type(error).__name__}: {text[:500]}"


@contextmanager
def _own_modules(code: Path) -> Iterator[set[str]]:
    """Names mean the modules in `code` from here on; unless the block fails, which leaves them as they were."""
    if not code.is_dir():
        raise ModelUnloadable(f"there is no folder {code.name}/ with its code")
    names = {entry.stem for entry in code.iterdir() if entry.suffix == ".py" or entry.is_dir()} - {"__pycache__"}
    replaced = names.union(*_standing.values())
    modules_before = {known: module for known, module in sys.modules.items() if _top(known) in replaced}
    path_before = list(sys.path)
    for known in modules_before:
        del sys.modules[known]
    sys.path[:] = [str(code), *(entry for entry in sys.path if entry not in _standing)]
    importlib.invalidate_caches()
    try:
        yield names
    except BaseException:
        for known in [known for known in sys.modules if _top(known) in replaced]:
            del sys.modules[known]
        sys.modules.update(modules_before)
        sys.path[:] = path_before
        raise
    _standing.clear()
    _standing[str(code)] = names


def _top(module: str) -> str:
    return module.partition(".")[0]
