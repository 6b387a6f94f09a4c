"""Run as a script: loads a model's inference hooks and answers requests on stdin, by the framework container's contract.

Arguments: model folder, code folder, module. A request is a line of JSON with its headers and length, then the body; so is
an answer. The first answer says whether the model could be loaded.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
import traceback
from pathlib import Path
from typing import Any, BinaryIO


class Refused(Exception):
    """A status other than 200."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status


def main() -> None:
    """Answer until stdin ends."""
    answers: BinaryIO = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what the hooks print is log
    model_dir, code, program = sys.argv[1:4]
    sys.path.insert(0, code)
    os.chdir(code)
    try:
        hooks: Any = importlib.import_module(Path(program).stem)
        model = hooks.model_fn(model_dir)
    except (Exception, SystemExit) as error:  # noqa: BLE001  # whatever a model's code raises keeps it from loading
        traceback.print_exc()
        _answer(answers, 500, f"{type(error).__name__}: {error}".encode(), "text/plain")
        return
    _answer(answers, 200, b"", "text/plain")
    while line := sys.stdin.buffer.readline():
        asked = json.loads(line)
        body = sys.stdin.buffer.read(asked["length"])
        try:
            told, kind = _predicted(hooks, model, body, asked)
            _answer(answers, 200, told, kind)
        except Refused as refused:
            _answer(answers, refused.status, str(refused).encode(), "text/plain")


def _predicted(hooks: Any, model: Any, body: bytes, asked: dict[str, Any]) -> tuple[bytes, str]:
    if not body:
        raise Refused(204, "")
    try:
        data = hooks.input_fn(body, asked["content_type"])
    except Exception as error:
        raise Refused(415, f"{type(error).__name__}: {error}") from error
    try:
        prediction = hooks.predict_fn(data, model)
    except Exception as error:
        traceback.print_exc()
        raise Refused(400, f"{type(error).__name__}: {error}") from error
    try:
        made = hooks.output_fn(prediction, asked["accept"])
    except Exception as error:
        raise Refused(406, f"{type(error).__name__}: {error}") from error
    told, kind = made if isinstance(made, tuple) else (made, asked["accept"])
    return told if isinstance(told, bytes) else str(told).encode(), kind


def _answer(stream: BinaryIO, status: int, body: bytes, content_type: str) -> None:
    head = {"status": status, "length": len(body), "content_type": content_type}
    stream.write(json.dumps(head).encode() + b"\n" + body)
    stream.flush()


if __name__ == "__main__":
    main()
