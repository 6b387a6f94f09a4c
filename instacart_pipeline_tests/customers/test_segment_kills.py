"""What a job of the segments leaves that dies on its way: nothing that a reader sees, and nothing that stays."""

from __future__ import annotations

import os
import signal
from multiprocessing.synchronize import Event
from pathlib import Path

import psutil
import pyarrow as pa
import pytest
from pyarrow import parquet

from instacart_pipeline.customers import segment_jobs as jobs
from instacart_pipeline.customers.mart_tables import CUSTOMER_SEGMENTS
from instacart_pipeline.customers.tables import CUSTOMERS, SYSTEM
from instacart_pipeline.lake.errors import ArtefactNotFound
from instacart_pipeline.profiles import build_resources
from instacart_pipeline.resources.sagemaker.local import LocalSageMaker
from instacart_pipeline.settings import Settings
from instacart_pipeline_tests.container.servers import eventually, is_alive
from instacart_pipeline_tests.customers.model.planted import shop
from instacart_pipeline_tests.customers.segment_weeks import FIRST, put, run
from instacart_pipeline_tests.faulty_run import processes
from instacart_pipeline_tests.platform import Platform
from instacart_pipeline_tests.tiers import costs


def _segment(settings: Settings, begun: Event) -> None:
    begun.set()
    build_resources(settings).sagemaker.process(jobs.segmenting(None), FIRST)


@pytest.fixture
@costs("deep")
def platform(platform: Platform) -> Platform:
    return platform


def test_a_killed_segmentation_leaves_nothing_published_and_no_process_and_the_next_run_sweeps(
    platform: Platform,
) -> None:
    put(platform, FIRST, shop(3000))
    sagemaker = platform.resources.sagemaker
    assert isinstance(sagemaker, LocalSageMaker)
    begun = processes.Event()
    parent = processes.Process(target=_segment, args=(platform.settings, begun))
    parent.start()
    assert begun.wait(120)  # a new interpreter on a busy machine
    assert parent.pid

    def scripts() -> list[int]:
        return [each.pid for each in psutil.Process(parent.pid).children() if "segment.py" in " ".join(each.cmdline())]

    eventually(lambda: bool(scripts()), "the start of the script")
    running = scripts()
    os.kill(parent.pid, signal.SIGKILL)
    parent.join()
    eventually(lambda: not any(map(is_alive, running)), "the end of the script")
    with pytest.raises(ArtefactNotFound):
        sagemaker.artefact(SYSTEM, jobs.SEGMENTATION, FIRST)
    assert len(sagemaker.artefacts.orphaned(SYSTEM, jobs.SEGMENTATION, FIRST)) == 1
    put(platform, FIRST, shop(30))
    assert run(platform, FIRST).success
    assert sagemaker.artefacts.orphaned(SYSTEM, jobs.SEGMENTATION, FIRST) == []


def test_a_script_that_dies_on_its_way_publishes_nothing_and_its_last_words_are_told(platform: Platform) -> None:
    put(platform, FIRST, shop(60))
    current = Path(platform.catalog.current(CUSTOMERS, FIRST).location)
    parquet.write_table(pa.table({"user_id": [1]}), current / "part-00000.parquet")  # a disk that lost the columns
    week = run(platform, FIRST)
    assert not week.success
    assert "segment.py ended with code 1" in week.error
    with pytest.raises(ArtefactNotFound):
        platform.resources.sagemaker.artefact(SYSTEM, jobs.SEGMENTATION, FIRST)
    assert platform.catalog.find(CUSTOMER_SEGMENTS, FIRST) is None
