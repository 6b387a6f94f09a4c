"""Which model a server answers with: the one of a folder, or the one that a pointer file names at the moment.

Belongs here: noticing a new pointer, bringing its model up beside the old one, trying it, and swapping the two. A pointer is the JSON record of a
model version, and may hold a canary: a request that the model must answer with as many lines before it takes over.
"""

from __future__ import annotations

import base64
import json
import logging
import shutil
import threading
import time
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

from instacart_pipeline.container.hooks import Loaded, ModelUnloadable, load, one_line
from instacart_pipeline.container.unpacking import unpack
from instacart_pipeline.lake.artefacts import MODEL, SOURCE
from instacart_pipeline.lake.zones import located

_LOOK_SECONDS = 0.2
_TRY_AGAIN_SECONDS = 30.0
_log = logging.getLogger(__name__)


class FixedModel:
    """The model of a folder with model/ and code/."""

    def __init__(self, folder: Path, module: str, name: str) -> None:
        self.loaded: Loaded | None = None
        self.problem = ""
        try:
            self.loaded = load(folder, module, name)
        except ModelUnloadable as error:
            self.problem = one_line(error)
            _log.exception("no model to answer with")


class WatchedModel:
    """The model that the file `pointer` names. A new one is unpacked below `scratch`."""

    def __init__(self, pointer: Path, scratch: Path) -> None:
        self.loaded: Loaded | None = None
        self.problem = f"no model was deployed yet: there is no {pointer}"
        self._pointer, self._scratch = pointer, scratch
        self._number = count()
        self._folders: list[Path] = []
        self._seen: tuple[int, ...] | None = None
        self._tried = 0.0
        self._refused = False
        self.look()

    def watch(self) -> None:
        """Look again and again, in a thread of its own, as long as the process lives."""
        threading.Thread(target=self._go_on, name="pointer", daemon=True).start()

    def look(self) -> None:
        """Bring up the model that the pointer names, if that is another one. One that can't be leaves the old one answering."""
        try:
            told = self._pointer.stat()
        except OSError:
            return
        seen = (told.st_ino, told.st_mtime_ns, told.st_size)
        again = self._refused and time.monotonic() - self._tried > _TRY_AGAIN_SECONDS
        if seen == self._seen and not again:
            return
        self._seen, self._tried = seen, time.monotonic()
        try:
            self._swap()
        except Exception as error:  # noqa: BLE001  # whatever the pointer, an archive or a model's code may hold: the old model answers on
            self._refused, self.problem = True, one_line(error)
            still = f"{self.loaded.name} still answers" if self.loaded else "there is no other to answer"
            _log.exception("%s names a model that can't be brought up; %s", self._pointer, still)
        else:
            self._refused = False

    def _swap(self) -> None:
        record = json.loads(self._pointer.read_bytes())
        artefact, name = record["artefact"], f"{record['group']}/{record['number']}"
        started = time.monotonic()
        folder = self._scratch / f"{next(self._number)}"
        try:
            home = self._pointer.parents[1]  # pointers lie in <home>/endpoints
            unpack(Path(located(str(home), artefact["location"])), folder, MODEL, SOURCE)
            canary = record.get("canary")
            trial = partial(_try, canary) if canary else None
            loaded = load(folder, artefact.get("serve", "inference.py"), name, trial)
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise
        self.loaded = loaded
        _log.warning("%s answers from now on; brought up in %.2f s", name, time.monotonic() - started)
        # The one before stays: requests under way may still read its files.
        self._folders.append(folder)
        for old in self._folders[:-2]:
            shutil.rmtree(old, ignore_errors=True)
        del self._folders[:-2]

    def _go_on(self) -> None:
        while True:
            time.sleep(_LOOK_SECONDS)
            self.look()


def _try(canary: dict[str, Any], loaded: Loaded) -> None:
    """Ask a model for the canary's answer. Raises ModelUnloadable if it isn't as it should be."""
    try:
        data = loaded.input_fn(base64.b64decode(canary["body"]), canary["content_type"])
        answer, _ = loaded.output_fn(loaded.predict_fn(data, loaded.model), "text/csv")
    except Exception as error:  # whatever a model's code may raise
        raise ModelUnloadable(f"it fails at its canary: {one_line(error)}") from error
    lines = len(answer.splitlines())
    if lines != canary["lines"]:
        raise ModelUnloadable(f"it answers its canary with {lines} lines, not {canary['lines']}")
