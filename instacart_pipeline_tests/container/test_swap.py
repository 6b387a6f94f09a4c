"""One model swapped for another in a running server: what is answered meanwhile, and which code answers."""

from __future__ import annotations

import http.client
import re
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from instacart_pipeline.container import hooks
from instacart_pipeline.container.hooks import ModelUnloadable, load
from instacart_pipeline.container.watch import WatchedModel
from instacart_pipeline_tests.container.servers import (
    PATIENCE,
    Server,
    eventually,
    point,
    server,
    toy_folder,
    toy_version,
)
from instacart_pipeline_tests.resources.toy_model import CODE
from instacart_pipeline_tests.tiers import costs

INFERENCE = CODE.files["inference.py"].decode()
NAMED = INFERENCE.replace(
    "Rows = list", "from instacart_pipeline.rules import PLUS\nfrom helper import TIMES\nRows = list"
).replace("return [model + (row[0] or 0.0) for row in data]", "return [TIMES * model + PLUS for row in data]")
"""A toy whose answer depends on two modules of its own, one of which is named like this project's package."""


def named(times: int, plus: int) -> dict[str, str]:
    """The code of such a toy."""
    package = {"instacart_pipeline/__init__.py": "", "instacart_pipeline/rules.py": f"PLUS = {plus}\n"}
    return {"inference.py": NAMED, "helper.py": f"TIMES = {times}\n", **package}


@pytest.fixture
def pointer(tmp_path: Path) -> Path:
    return tmp_path / "toy.json"


@pytest.fixture
@costs("contract")
def one(tmp_path: Path, pointer: Path) -> Iterator[Server]:
    """A server of one worker that watches the pointer, which isn't there at first."""
    with server("--watch", pointer, "--scratch", tmp_path / "scratch", log=tmp_path / "log") as made:
        yield made


@pytest.fixture
@costs("deep")
def two(tmp_path: Path, pointer: Path) -> Iterator[Server]:
    """A server of two workers that watches the pointer, which starts with a model that learnt 10."""
    point(pointer, toy_version(tmp_path, 1, 10.0))
    with server("--watch", pointer, "--scratch", tmp_path / "scratch", "--workers", "2", log=tmp_path / "log") as made:
        eventually(lambda: made.ping() == 200, "the first model")
        yield made


@pytest.fixture
@costs("deep")
def killed_servers() -> None:
    """For a test that kills servers."""


def model_of(answering: Server) -> str:
    """The version that answers."""
    return answering.invoke(b"1,2\n").headers.get("x-amzn-sagemaker-custom-attributes", "")


def all_answer_by(answering: Server, version: str) -> bool:
    return all(model_of(answering) == f"model=toy/{version}" for _ in range(20))


def test_a_server_without_a_pointer_waits_for_one_and_goes_with_it(tmp_path: Path, pointer: Path, one: Server) -> None:
    assert one.ping() == 500
    assert b"no model was deployed yet" in one.invoke(b"1,2\n").body
    point(pointer, toy_version(tmp_path, 1, 10.0))
    eventually(lambda: one.ping() == 200, "the first model")
    assert one.invoke(b"1,2\n").body == b"11.0\n"
    point(pointer, toy_version(tmp_path, 2, None))
    eventually(lambda: "toy/1 still answers" in one.log.read_text(), "the log of a model that can't be loaded")
    assert one.invoke(b"1,2\n").body == b"11.0\n"
    point(pointer, toy_version(tmp_path, 3, 30.0))
    eventually(lambda: model_of(one) == "model=toy/3", "the next one")


def test_no_request_is_lost_while_models_are_swapped(tmp_path: Path, pointer: Path, two: Server) -> None:
    over, seen = threading.Event(), Counter[tuple[int, bytes]]()
    failures: list[BaseException] = []

    def ask(kept: bool) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", two.port, timeout=PATIENCE)
        while not over.is_set():
            try:
                connection.request("POST", "/invocations", b"1,2\n", {"Content-Type": "text/csv"})
                answer = connection.getresponse()
                seen[answer.status, answer.read()] += 1
            except (OSError, http.client.HTTPException) as error:
                failures.append(error)
            if not kept:
                connection.close()

    asking = [threading.Thread(target=ask, args=(kept,)) for kept in (True, True, False)]
    for each in asking:
        each.start()
    for number, mean in ((2, 20.0), (3, 30.0)):
        point(pointer, toy_version(tmp_path, number, mean))
        eventually(lambda number=number: all_answer_by(two, str(number)), f"version {number}")  # type: ignore[misc]
    over.set()
    for each in asking:
        each.join()
    assert failures == []
    assert set(seen) == {(200, b"11.0\n"), (200, b"21.0\n"), (200, b"31.0\n")}


@pytest.mark.usefixtures("killed_servers")
def test_what_a_killed_server_unpacked_is_cleared_away_by_the_next(tmp_path: Path, pointer: Path) -> None:
    point(pointer, toy_version(tmp_path, 1, 10.0))
    arguments = ("--watch", pointer, "--scratch", tmp_path / "scratch")
    for _ in range(2):
        with server(*arguments, log=tmp_path / "log") as killed:
            assert killed.ping() == 200
            assert len(list((tmp_path / "scratch").iterdir())) == 1
    with server(*arguments, log=tmp_path / "log") as ended:
        ended.process.terminate()
        ended.process.wait(PATIENCE)
    assert list((tmp_path / "scratch").iterdir()) == []


# The pointer and the hooks themselves: versions side by side in one process.


@pytest.fixture
def own_modules() -> Iterator[None]:
    """Leaves this process's modules as they were: a bundle may take the place of this project's own."""
    modules, path = dict(sys.modules), list(sys.path)
    yield
    hooks._standing.clear()
    sys.modules.clear()
    sys.modules.update(modules)
    sys.path[:] = path


class Watching:
    """A model that is watched, in this process; `answer` is what it predicts for a row of 1."""

    def __init__(self, folder: Path, pointer: Path) -> None:
        self._folder, self._pointer, self._made = folder, pointer, 0
        self.scratch = folder / "scratch"
        self.scratch.mkdir()
        self.model = WatchedModel(pointer, self.scratch)

    def point(self, mean: float | None, code: dict[str, str] | None = None) -> None:
        """Move the pointer to another version, and look."""
        self._made += 1
        point(self._pointer, toy_version(self._folder, self._made, mean, code))
        self.model.look()

    @property
    def name(self) -> str:
        assert self.model.loaded
        return self.model.loaded.name

    @property
    def answer(self) -> object:
        assert self.model.loaded
        return self.model.loaded.predict_fn([[1.0]], self.model.loaded.model)


@pytest.fixture
def watching(tmp_path: Path, pointer: Path, own_modules: None) -> Watching:  # noqa: ARG001  # modules are left as they were
    return Watching(tmp_path, pointer)


@pytest.mark.parametrize(
    ("broken", "why"),
    [
        (None, "JSONDecodeError|Expecting value"),
        ({"inference.py": "raise RuntimeError('no such luck')"}, "no such luck"),
        ({"inference.py": "import nowhere"}, "nowhere"),
        ({"inference.py": "this is no Python"}, "SyntaxError"),
        ({"inference.py": "raise SystemExit(1)"}, "SystemExit"),
        ({"inference.py": INFERENCE.replace("model_fn", "another")}, "lacks model_fn"),
    ],
)
def test_a_model_that_can_t_be_loaded_leaves_the_old_one_answering(
    watching: Watching, caplog: pytest.LogCaptureFixture, broken: dict[str, str] | None, why: str
) -> None:
    watching.point(10.0, named(1, 1))
    watching.point(None if broken is None else 20.0, broken)
    assert "toy/1 still answers" in caplog.text
    assert re.search(why, watching.model.problem)
    assert (watching.name, watching.answer) == ("toy/1", [11.0])
    watching.point(30.0)
    assert (watching.name, watching.answer) == ("toy/3", [31.0])


@pytest.mark.parametrize(
    "content", ["", "{", '{"group": "toy"}', '{"group": "toy", "number": 2, "artefact": {"location": "/nowhere"}}']
)
def test_a_pointer_that_makes_no_sense_leaves_the_old_model_answering(
    watching: Watching, pointer: Path, caplog: pytest.LogCaptureFixture, content: str
) -> None:
    watching.point(10.0)
    pointer.write_text(content)
    watching.model.look()
    assert "toy/1 still answers" in caplog.text
    assert watching.name == "toy/1"


def test_a_pointer_that_vanishes_leaves_the_model_answering(watching: Watching, pointer: Path) -> None:
    watching.point(10.0)
    pointer.unlink()
    watching.model.look()
    assert (watching.name, watching.answer) == ("toy/1", [11.0])


def test_each_version_answers_by_its_own_code(watching: Watching) -> None:
    answers = []
    for times, plus in ((1, 1), (2, 0), (3, 5)):
        watching.point(10.0, named(times, plus))
        answers.append(watching.answer)
    assert answers == [[11.0], [20.0], [35.0]]


def test_models_that_were_replaced_are_cleared_away(watching: Watching) -> None:
    for _ in range(5):
        watching.point(10.0)
    assert watching.name == "toy/5"
    assert len([path for path in watching.scratch.iterdir() if path.is_dir()]) == 2


@pytest.mark.usefixtures("own_modules")
def test_two_versions_in_one_process_keep_their_own_code(tmp_path: Path) -> None:
    first = load(toy_folder(tmp_path / "1", 10.0, named(1, 1)))
    second = load(toy_folder(tmp_path / "2", 10.0, named(2, 0)))
    assert first.predict_fn([[1.0]], first.model) == [11.0]
    assert second.predict_fn([[1.0]], second.model) == [20.0]
    assert first.predict_fn([[1.0]], first.model) == [11.0]


@pytest.mark.usefixtures("own_modules")
def test_a_version_doesn_t_find_modules_that_only_the_one_before_had(tmp_path: Path) -> None:
    load(toy_folder(tmp_path / "1", 10.0, named(1, 1)))
    with pytest.raises(ModelUnloadable, match="helper"):
        load(toy_folder(tmp_path / "2", 10.0, {"inference.py": "import helper\n"}))


@pytest.mark.usefixtures("own_modules")
def test_a_version_that_fails_leaves_the_modules_as_they_were(tmp_path: Path) -> None:
    load(toy_folder(tmp_path / "1", 10.0, named(1, 1)))
    before, path = sys.modules["helper"], list(sys.path)
    with pytest.raises(ModelUnloadable, match="no such luck"):
        load(
            toy_folder(
                tmp_path / "2", 10.0, {**named(2, 2), "inference.py": "import helper\nraise OSError('no such luck')"}
            )
        )
    assert (sys.modules["helper"], sys.path) == (before, path)


@pytest.mark.usefixtures("own_modules")
def test_code_without_a_hook_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModelUnloadable, match="lacks input_fn, predict_fn, output_fn"):
        load(toy_folder(tmp_path, 1.0, {"inference.py": "def model_fn(folder): return 1\n"}))


@pytest.mark.usefixtures("own_modules")
def test_another_module_may_hold_the_hooks(tmp_path: Path) -> None:
    found = load(toy_folder(tmp_path, 1.0, {"inference.py": "raise ImportError\n", "other.py": INFERENCE}), "other.py")
    assert found.predict_fn([[1.0]], found.model) == [2.0]
