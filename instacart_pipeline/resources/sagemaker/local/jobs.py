"""Training and processing jobs on this machine: their folders, and the artefact or table that comes of one.

Belongs here: inputs as folders of links, outputs as archives. Doesn't: the script's process (container/training.py).
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path

from instacart_pipeline.container.training import Metrics, Script, as_arguments, of_training
from instacart_pipeline.container.unpacking import pack, unpack
from instacart_pipeline.lake.artefacts import MODEL, OUTPUT, Artefact
from instacart_pipeline.lake.contracts import TableContract
from instacart_pipeline.lake.errors import ArtefactNotFound, JobFailed
from instacart_pipeline.lake.versions import Version, lineage_of
from instacart_pipeline.resources.local_machine.lake import LocalLake
from instacart_pipeline.resources.local_machine.queries import finish
from instacart_pipeline.resources.published import Published
from instacart_pipeline.resources.sagemaker import ProcessingJob, TrainingJob
from instacart_pipeline.resources.sagemaker.local.artefacts import Artefacts, as_inputs


def train(artefacts: Artefacts, job: TrainingJob, dt: str) -> Artefact:
    """See SageMaker.train."""
    started, lake = time.perf_counter(), artefacts.lake
    inputs = versions_of(lake, job.channels, dt)
    lineage = lineage_by_table(job.channels, inputs)
    with artefacts.new(job.system, job.name, dt) as folder, lake.scratch() as work:
        metrics = Metrics(job.metrics)
        training_in(work, job, inputs, lake.threads).run(metrics.read)
        if not any((work / "model").iterdir()):
            raise JobFailed(f"{job.name}: {job.script} ended well but wrote no model to SM_MODEL_DIR.")
        pack(work / "model", folder.path / MODEL)
        pack(work / "output", folder.path / OUTPUT)
        at = job.system, job.name, dt
        hyperparameters = dict(job.hyperparameters)
        return artefacts.made(
            folder, at, job.code, started, hyperparameters=hyperparameters, metrics=metrics.last, lineage=lineage
        )


def process(artefacts: Artefacts, job: ProcessingJob, dt: str) -> Artefact:
    """See SageMaker.process."""
    started, lake = time.perf_counter(), artefacts.lake
    inputs = versions_of(lake, job.tables, dt)
    lineage = lineage_by_table(job.tables, inputs, job.artefacts)
    with artefacts.new(job.system, job.name, dt) as folder, lake.scratch() as work:
        output = work / "output"
        output.mkdir()
        _processing_in(work, job, inputs, lake.threads).run()
        pack(output, folder.path / OUTPUT)
        return artefacts.made(folder, (job.system, job.name, dt), job.code, started, lineage=lineage)


def process_table(lake: LocalLake, job: ProcessingJob, target: TableContract, dt: str) -> Published:
    """See SageMaker.process_table."""
    started = time.perf_counter()
    inputs = versions_of(lake, job.tables, dt)
    lineage = lineage_by_table(job.tables, inputs, job.artefacts)
    with lake.new_version(target, dt) as folder:
        with lake.scratch() as work:
            # The version's own folder, so that a large result isn't copied.
            (work / "output").symlink_to(folder.path, target_is_directory=True)
            _processing_in(work, job, inputs, lake.threads).run()
        if not any(folder.path.glob("*.parquet")):
            raise JobFailed(
                f"{job.name}: {job.script} ended well but wrote no Parquet file to SM_PROCESSING_DIR/output."
            )
        with lake.engine() as connection:
            return finish(lake, connection, target, dt, folder, lineage, started, {"threads": lake.threads})


def versions_of(lake: LocalLake, tables: Mapping[str, TableContract], dt: str) -> dict[str, Version]:
    """The version of each table that the catalog points at. Raises TableNotFound."""
    return {name: lake.catalog.current(table, dt) for name, table in tables.items()}


def lineage_by_table(
    tables: Mapping[str, TableContract],
    versions: Mapping[str, Version],
    artefacts: Mapping[str, Artefact] | None = None,
) -> dict[str, str]:
    """The lineage of what is computed from tables and artefacts."""
    by_table = {table.qualified_name: versions[name] for name, table in tables.items()}
    return lineage_of({**by_table, **as_inputs((artefacts or {}).values())})


def training_in(
    work: Path, job: TrainingJob, inputs: Mapping[str, Version], threads: int, log_name: str = ""
) -> Script:
    """The training's script, its folders made below `work`."""
    model, output = work / "model", work / "output"
    for folder in (model, output):
        folder.mkdir(parents=True)
    channels = {name: _linked(version, work / "input" / name) for name, version in inputs.items()}
    return Script(
        name=log_name or job.name,
        code=job.code,
        file=job.script,
        arguments=as_arguments(job.hyperparameters),
        environment=of_training(model, output, channels, job.hyperparameters),
        work=work,
        threads=threads,
    )


def _processing_in(work: Path, job: ProcessingJob, inputs: Mapping[str, Version], threads: int) -> Script:
    for name, version in inputs.items():
        _linked(version, work / "input" / name)
    for name, artefact in job.artefacts.items():
        if not Path(artefact.location).is_dir():
            raise ArtefactNotFound(
                f"{job.name} reads {artefact.location}, which is gone: the artefact was replaced longer ago than the retention."
            )
        unpack(Path(artefact.location), work / "input" / name)
    return Script(
        name=job.name,
        code=job.code,
        file=job.script,
        arguments=as_arguments(job.arguments),
        environment={"SM_PROCESSING_DIR": str(work)},
        work=work,
        threads=threads,
    )


def _linked(version: Version, folder: Path) -> Path:
    """A folder of links to a version's files: what a reader lists there is data alone."""
    folder.mkdir(parents=True)
    for path in sorted(Path(version.location).glob("*.parquet")):
        (folder / path.name).symlink_to(path)
    return folder
