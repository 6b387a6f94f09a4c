"""Endpoints, whichever backend: deploying a version, what answers meanwhile, and what comes back to those who ask."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import count

import pytest

from instacart_pipeline.lake.artefacts import Artefact, ModelCode
from instacart_pipeline.profiles import build_resources
from instacart_pipeline.resources.endpoints import Canary, DeploymentFailed, EndpointNotFound, Endpoints
from instacart_pipeline.resources.endpoints.local import LocalEndpoints
from instacart_pipeline.resources.model_registry import ModelVersion
from instacart_pipeline.resources.sagemaker import TrainingJob
from instacart_pipeline_tests.platform import Platform
from instacart_pipeline_tests.resources.toy_model import CODE, ROWS
from instacart_pipeline_tests.tiers import costs

CANARY = Canary(b"1,2\n3,4\n", lines=2)
_NAMES = count(1)
_TRAIN = b"""
import json, os, sys
from pathlib import Path

mean = float(sys.argv[sys.argv.index("--mean") + 1])
Path(os.environ["SM_MODEL_DIR"], "model.json").write_text(json.dumps({"mean": mean}))
"""
"""A training that is over at once: it takes the model's number from its arguments."""


class Stage:
    """An endpoint, versions to put behind it, and on one machine the server that answers for it."""

    def __init__(self, backend: Platform, name: str, endpoints: Endpoints) -> None:
        self.backend, self.name, self.endpoints = backend, name, endpoints
        self._trained: dict[tuple[int, bool], Artefact] = {}

    def version(self, mean: int, *, loads: bool = True) -> ModelVersion:
        """A model that answers with this mean, trained once and entered in the registry. The code of one that doesn't load says `no such luck`."""
        if (mean, loads) not in self._trained:
            inference = CODE.files["inference.py"]
            if not loads:
                inference = inference.replace(b"import json", b"raise RuntimeError('no such luck')")
            code, dt = ModelCode({"train.py": _TRAIN, "inference.py": inference}), f"2026-02-{mean:02}"
            self.backend.put_rows(ROWS, [], dt=dt)
            job = TrainingJob("toy", f"model-{code.digest}", code, {"mean": mean}, {"train": ROWS})
            self._trained[mean, loads] = self.backend.resources.sagemaker.train(job, dt)
        return self.backend.resources.model_registry.register(self.name, self._trained[mean, loads], {}, {})

    def deployed(self, mean: int) -> ModelVersion:
        """The version of this mean, put behind the endpoint: nothing happens if it stands there already."""
        version = self.version(mean)
        self.endpoints.deploy(self.name, version, CANARY)
        return version

    def ask(self, body: bytes = b"1,2\n") -> bytes:
        """The answer to a request."""
        return self.endpoints.invoke(self.name, body).body


@pytest.fixture(scope="module")
@costs("contract")
def stage(backend: Platform) -> Iterator[Stage]:
    """An endpoint for all tests. What a test wants to stand behind it, it deploys."""
    name = f"toy-{next(_NAMES)}"
    endpoints = backend.resources.endpoints
    if not isinstance(endpoints, LocalEndpoints):
        yield Stage(backend, name, endpoints)
        return
    command = [sys.executable, "-m", "instacart_pipeline.container.server", "--watch", str(endpoints.pointer(name))]
    with subprocess.Popen([*command, "--port", "0"], stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout
        url = server.stdout.readline().split()[-1]
        yield Stage(backend, name, build_resources(replace(backend.settings, model_url=url)).endpoints)
        server.terminate()


def test_a_deployed_version_answers_and_is_named(stage: Stage) -> None:
    version = stage.deployed(10)
    assert stage.endpoints.deployed(stage.name) == version
    reply = stage.endpoints.invoke(stage.name, b"1,2\n,4\n")
    assert (reply.status, reply.body) == (200, b"11.0\n10.0\n")
    assert reply.content_type.startswith("text/csv")
    # Every process sees what is deployed.
    assert build_resources(stage.backend.settings).endpoints.deployed(stage.name) == version


def test_the_version_that_is_there_already_is_left_alone(stage: Stage) -> None:
    version = stage.deployed(10)
    again = stage.endpoints.deploy(stage.name, version, CANARY)
    assert (again.endpoint, again.version) == (stage.name, version)
    assert stage.ask() == b"11.0\n"


def test_requests_are_answered_all_the_while_by_the_old_version_or_the_new_and_it_can_be_brought_back(
    stage: Stage,
) -> None:
    first, second = stage.deployed(10), stage.version(20)
    over, seen = threading.Event(), set[tuple[int, bytes]]()

    def ask() -> None:
        while not over.is_set():
            reply = stage.endpoints.invoke(stage.name, b"1,2\n")
            seen.add((reply.status, reply.body))
            over.wait(0.02)

    with ThreadPoolExecutor(1) as pool:
        asking = pool.submit(ask)
        try:
            stage.endpoints.deploy(stage.name, second, CANARY)
            assert stage.ask() == b"21.0\n"
        finally:
            over.set()
        asking.result()
    assert seen <= {(200, b"11.0\n"), (200, b"21.0\n")}
    assert (200, b"11.0\n") in seen
    assert stage.endpoints.deployed(stage.name) == second
    stage.endpoints.deploy(stage.name, first, CANARY)
    assert stage.ask() == b"11.0\n"
    assert stage.endpoints.deployed(stage.name) == first


@pytest.mark.parametrize(
    "canary", [Canary(b"1,2\n3,4\n", lines=3), Canary(b"-1,2\n", lines=1)], ids=["too few lines", "refused"]
)
def test_a_version_that_fails_its_canary_is_refused_and_the_one_before_answers(stage: Stage, canary: Canary) -> None:
    before = stage.deployed(10)
    with pytest.raises(DeploymentFailed):
        stage.endpoints.deploy(stage.name, stage.version(20), canary)
    assert stage.endpoints.deployed(stage.name) == before
    assert stage.ask() == b"11.0\n"


def test_a_version_that_can_t_be_loaded_is_refused_and_the_one_before_answers(stage: Stage) -> None:
    before, broken = stage.deployed(10), stage.version(20, loads=False)
    with pytest.raises(DeploymentFailed, match=broken.label):
        stage.endpoints.deploy(stage.name, broken, CANARY)
    assert stage.endpoints.deployed(stage.name) == before
    assert stage.ask() == b"11.0\n"


def test_a_first_version_that_fails_leaves_no_endpoint(stage: Stage) -> None:
    with pytest.raises(DeploymentFailed):
        stage.endpoints.deploy("toy-first", stage.version(10), replace(CANARY, lines=9))
    with pytest.raises(EndpointNotFound, match="toy-first"):
        stage.endpoints.deployed("toy-first")


def test_what_nobody_ever_deployed_is_not_found(stage: Stage) -> None:
    with pytest.raises(EndpointNotFound, match="toy-nowhere"):
        stage.endpoints.invoke("toy-nowhere", b"1,2\n")
    with pytest.raises(EndpointNotFound, match="toy-nowhere"):
        stage.endpoints.deployed("toy-nowhere")


def test_what_the_model_refuses_comes_back_as_a_reply(stage: Stage) -> None:
    stage.deployed(10)
    unreadable = stage.endpoints.invoke(stage.name, b"no number\n")
    assert unreadable.status == 415
    refused = stage.endpoints.invoke(stage.name, b"-1,2\n")
    assert (refused.status, b"-1 can't be predicted" in refused.body) == (400, True)
    assert stage.endpoints.invoke(stage.name, b"1,2\n", accept="image/png").status == 406


def test_json_is_answered_where_it_is_asked_for(stage: Stage) -> None:
    stage.deployed(10)
    reply = stage.endpoints.invoke(stage.name, b"1,2\n", accept="application/json")
    assert reply.content_type.startswith("application/json")
    assert json.loads(reply.body) == {"predictions": [{"score": 11.0}]}


def test_threads_get_their_own_answers(stage: Stage) -> None:
    stage.deployed(10)
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda number: stage.ask(b"%d,0\n" % number), range(48)))
    assert answers == [b"%.1f\n" % (10 + number) for number in range(48)]


def test_two_who_deploy_at_once_leave_one_of_the_two_versions(stage: Stage) -> None:
    versions = [stage.version(10), stage.version(20)]
    with ThreadPoolExecutor(2) as pool:
        deploying = [pool.submit(stage.endpoints.deploy, stage.name, version, CANARY) for version in versions]
        # One may wait for the other, or be refused while that one is under way.
        refused = [error for error in (each.exception() for each in deploying) if error]
    assert len(refused) <= 1
    assert all(isinstance(error, DeploymentFailed) for error in refused)
    left = stage.endpoints.deployed(stage.name)
    assert left in versions
    assert stage.ask() == {versions[0].number: b"11.0\n", versions[1].number: b"21.0\n"}[left.number]
