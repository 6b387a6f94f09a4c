"""Models as the API keeps them, and a model's container: its inference hooks, loaded in a child process."""

from __future__ import annotations

import io
import json
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import threading
from dataclasses import dataclass
from pathlib import Path

from instacart_pipeline_tests.aws_double import sagemaker_hooks_child
from instacart_pipeline_tests.aws_double.jobs import JobFailure
from instacart_pipeline_tests.aws_double.logs import Logs
from instacart_pipeline_tests.aws_double.objects import Objects
from instacart_pipeline_tests.aws_double.sagemaker_container import kill
from instacart_pipeline_tests.aws_double.sagemaker_jobs import arn, now
from instacart_pipeline_tests.aws_double.wire import AwsError, Parameters


@dataclass(frozen=True)
class Answer:
    """What a container answered."""

    status: int
    body: bytes
    content_type: str


class Served:
    """A model's container. `logs` takes what it prints. Raises JobFailure if its files are not there."""

    def __init__(self, container: Parameters, objects: Objects, logs: Logs, stream: tuple[str, str]) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="aws_double_model_"))
        environment = container.get("Environment") or {}
        lacking = {"SAGEMAKER_PROGRAM", "SAGEMAKER_SUBMIT_DIRECTORY"} - set(environment)
        if lacking:
            raise JobFailure(f"the container has no script to serve with: {sorted(lacking)}")
        for place, uri in (("model", container["ModelDataUrl"]), ("code", environment["SAGEMAKER_SUBMIT_DIRECTORY"])):
            with tarfile.open(fileobj=io.BytesIO(objects.read(uri))) as archive:
                archive.extractall(self._folder / place, filter="data")
        self._lock = threading.Lock()
        kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG", "TMPDIR") if name in os.environ}
        program = environment["SAGEMAKER_PROGRAM"]
        self._child = subprocess.Popen(
            [
                *(sys.executable, "-u", str(Path(sagemaker_hooks_child.__file__))),
                *(str(self._folder / "model"), str(self._folder / "code"), program),
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=kept,
            start_new_session=True,
        )
        self._reader = threading.Thread(target=self._log, args=(logs, stream), daemon=True)
        self._reader.start()
        self.loaded = self._read()

    def ask(self, body: bytes, content_type: str, accept: str) -> Answer:
        """The container's answer to a request."""
        with self._lock:
            if self._child.stdin is None or self.loaded.status != 200:
                return self.loaded
            head = {"length": len(body), "content_type": content_type, "accept": accept}
            self._child.stdin.write(json.dumps(head).encode() + b"\n" + body)
            self._child.stdin.flush()
            return self._read()

    def close(self) -> None:
        """End the process."""
        kill(self._child)
        self._child.wait()
        self._reader.join()
        for stream in (self._child.stdin, self._child.stdout):
            if stream:
                stream.close()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _read(self) -> Answer:
        stream = self._child.stdout
        line = stream.readline() if stream else b""
        if not line or stream is None:
            return Answer(500, b"The model server has died.", "text/plain")
        head = json.loads(line)
        return Answer(head["status"], stream.read(head["length"]), head["content_type"])

    def _log(self, logs: Logs, stream: tuple[str, str]) -> None:
        with self._child.stderr or io.BytesIO() as lines:
            for line in lines:
                logs.write(*stream, [line.decode(errors="replace").rstrip("\n")])


class Models:
    """The part of the API that is about models."""

    def __init__(self) -> None:
        self._known: dict[str, tuple[float, Parameters]] = {}
        self._lock = threading.Lock()

    def create_model(self, parameters: Parameters) -> Parameters:
        """Make a model. Nothing of it is read yet."""
        name = parameters["ModelName"]
        with self._lock:
            if name in self._known:
                raise AwsError("ValidationException", f'Cannot create already existing model "{arn("model", name)}".')
            if not parameters.get("ExecutionRoleArn"):
                raise AwsError("ValidationException", "the double wants an execution role")
            self._known[name] = (now(), parameters)
        return {"ModelArn": arn("model", name)}

    def describe_model(self, parameters: Parameters) -> Parameters:
        """A model."""
        created, given = self.definition(parameters["ModelName"])
        told = {key: value for key, value in given.items() if key != "Tags"}
        return {**told, "ModelArn": arn("model", given["ModelName"]), "CreationTime": created}

    def delete_model(self, parameters: Parameters) -> Parameters:
        """Remove a model. What was made of it goes on."""
        with self._lock:
            self.definition(parameters["ModelName"])
            del self._known[parameters["ModelName"]]
        return {}

    def list_models(self, parameters: Parameters) -> Parameters:
        """All models on one page."""
        del parameters
        return {
            "Models": [
                {"ModelName": name, "ModelArn": arn("model", name), "CreationTime": created}
                for name, (created, _) in self._known.items()
            ]
        }

    def definition(self, name: str) -> tuple[float, Parameters]:
        """When a model was made, and of what."""
        if name not in self._known:
            raise AwsError("ValidationException", f'Could not find model "{arn("model", name)}".')
        return self._known[name]

    def container(self, name: str) -> Parameters:
        """A model's container."""
        found: Parameters = self.definition(name)[1]["PrimaryContainer"]
        return found
