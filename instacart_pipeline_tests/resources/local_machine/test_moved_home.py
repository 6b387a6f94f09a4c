"""A home that was moved, copied, or restored elsewhere: all that it holds is found where it is now, and the other one is left alone."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from instacart_pipeline.container.watch import WatchedModel
from instacart_pipeline.reorder import tables as t
from instacart_pipeline.resources.endpoints import Canary
from instacart_pipeline.resources.sagemaker import TrainingJob
from instacart_pipeline.resources.sagemaker.local import LocalSageMaker
from instacart_pipeline_tests.platform import DT, Platform
from instacart_pipeline_tests.resources.toy_model import CODE, METRICS, ROWS
from instacart_pipeline_tests.tiers import costs

TRAINING = TrainingJob("toy", "model", CODE, {"rate": 0.5, "rounds": 3}, {"train": ROWS}, METRICS)
GROUP = ENDPOINT = "toy"


@pytest.fixture(scope="module")
@costs("contract")
def original(tmp_path_factory: pytest.TempPathFactory) -> Platform:
    """A home with two versions of a day of a table, and a model that is registered and behind an endpoint."""
    made = Platform(tmp_path_factory.mktemp("original") / "home", retention_days=0, threads=1)
    made.put_rows(t.AISLES, [{"aisle_id": 1, "aisle": "tea"}], name="20260101T000000000000-000001")
    made.put_rows(t.AISLES, [{"aisle_id": 1, "aisle": "coffee"}], name="20260101T000000000000-000002")
    made.put_rows(ROWS, [{"id": number, "y": 2.0 * number, "x": None} for number in (1, 2, 3)])
    resources = made.resources
    version = resources.model_registry.register(GROUP, resources.sagemaker.train(TRAINING, DT), {}, {})
    resources.endpoints.deploy(ENDPOINT, version, Canary(b"1,2\n", lines=1))
    return made


@pytest.fixture(params=["copied", "moved"])
def elsewhere(original: Platform, tmp_path: Path, request: pytest.FixtureRequest) -> Platform:
    """The same home at another place: the original still stands, or is gone."""
    shutil.copytree(original.home, tmp_path / "restored")
    if request.param == "moved":
        original.home.rename(tmp_path / "gone")
        request.addfinalizer(lambda: (tmp_path / "gone").rename(original.home))
    return Platform(tmp_path / "restored", retention_days=0, threads=1)


def files_of(home: Path) -> set[str]:
    return {str(path.relative_to(home)) for path in (home / "lake").rglob("*")}


def sagemaker_of(platform: Platform) -> LocalSageMaker:
    assert isinstance(platform.resources.sagemaker, LocalSageMaker)
    return platform.resources.sagemaker


def test_tables_are_read_from_where_the_home_is(elsewhere: Platform) -> None:
    assert elsewhere.rows(t.AISLES) == [{"aisle_id": 1, "aisle": "coffee"}]
    version = elsewhere.catalog.current(t.AISLES, DT)
    assert all(Path(location).is_relative_to(elsewhere.home) for location in version.locations)
    assert Path(elsewhere.catalog.table(t.AISLES.database, t.AISLES.name).location).is_relative_to(elsewhere.home)


def test_models_are_found_served_and_registered_once_where_the_home_is(elsewhere: Platform, tmp_path: Path) -> None:
    resources = elsewhere.resources
    artefact = resources.sagemaker.artefact("toy", "model", DT)
    assert Path(artefact.location).is_relative_to(elsewhere.home)
    assert resources.model_registry.register(GROUP, artefact, {}, {}).number == 1
    assert resources.endpoints.deployed(ENDPOINT).artefact == artefact
    watched = WatchedModel(elsewhere.home / "endpoints" / f"{ENDPOINT}.json", tmp_path / "scratch")
    assert watched.loaded, watched.problem
    assert watched.loaded.name == f"{GROUP}/1"


def test_a_sweep_removes_what_is_past_its_retention_and_only_here(original: Platform, elsewhere: Platform) -> None:
    there, current = files_of(elsewhere.home), elsewhere.catalog.current(t.AISLES, DT)
    before = files_of(original.home) if original.home.exists() else None
    removed = elsewhere.lake.sweep(t.AISLES, DT)
    assert [path.name for path in removed] == ["v=20260101T000000000000-000001"]
    assert list(sagemaker_of(elsewhere).sweep("toy")) == []
    assert {path for path in there if "000001" not in path} == files_of(elsewhere.home)
    assert elsewhere.catalog.current(t.AISLES, DT).location == current.location
    assert before is None or files_of(original.home) == before


def test_a_home_whose_records_hold_whole_paths_is_read_all_the_same(elsewhere: Platform) -> None:
    old = "/somewhere/else/.instacart/"
    with closing(sqlite3.connect(elsewhere.home / "catalog.sqlite")) as db, db:
        db.execute("UPDATE tables SET location = ? || location", (old,))
        db.execute(
            "UPDATE partitions SET location = ? || location, parameters = replace(parameters, ?, ?)",
            (old, r"\"lake/", rf"\"{old}lake/"),
        )
    with closing(sqlite3.connect(elsewhere.home / "model_registry.sqlite")) as db, db:
        db.execute(
            "UPDATE versions SET location = ? || location, record = replace(record, ?, ?)",
            (old, '"lake/', f'"{old}lake/'),
        )
    (pointer,) = (elsewhere.home / "endpoints").glob("*.json")
    (record,) = (elsewhere.home / "lake" / "models").rglob("published.json")
    for file in (pointer, record):
        file.write_text(file.read_text().replace('"lake/', f'"{old}lake/'))
    assert elsewhere.rows(t.AISLES) == [{"aisle_id": 1, "aisle": "coffee"}]
    assert all(
        Path(location).is_relative_to(elsewhere.home) for location in elsewhere.catalog.current(t.AISLES, DT).locations
    )
    artefact = elsewhere.resources.sagemaker.artefact("toy", "model", DT)
    assert elsewhere.resources.model_registry.register(GROUP, artefact, {}, {}).number == 1
    assert elsewhere.resources.endpoints.deployed(ENDPOINT).artefact == artefact
    assert list(sagemaker_of(elsewhere).sweep("toy")) == []
