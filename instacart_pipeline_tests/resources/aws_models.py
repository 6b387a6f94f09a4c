"""Toy models made by hand, for tests that are not about training: what a training job would have left, without the job."""

from __future__ import annotations

import json

from instacart_pipeline.lake.artefacts import MODEL, OUTPUT, SOURCE, Artefact, ModelCode
from instacart_pipeline.lake.zones import new_version
from instacart_pipeline.resources.aws_account.lake import AwsLake
from instacart_pipeline.resources.sagemaker.aws.artefacts import Artefacts
from instacart_pipeline_tests.platform import DT
from instacart_pipeline_tests.resources.toy_model import CODE, ROWS


def put_model(lake: AwsLake, code: ModelCode = CODE, *, mean: float = 1.75, version: str = "") -> Artefact:
    """Publish a toy model of this mean for the day, learnt from its rows if there are any. Its loss is 9."""
    artefacts, name = Artefacts(lake), version or new_version()
    location = artefacts.location("toy", "model", DT, name)
    files = {
        MODEL: ModelCode({"model.json": json.dumps({"mean": mean}).encode()}).archive(),
        OUTPUT: ModelCode({"report.json": b"{}"}).archive(),
        SOURCE: code.archive(),
    }
    for file, content in files.items():
        artefacts.objects.put(f"{location}/{file}", content)
    rows = lake.catalog.find(ROWS, DT)
    lineage = {ROWS.qualified_name: rows.name} if rows else {}
    made = Artefact(
        "toy", "model", DT, name, location, code.digest, {"rounds": 3}, {"loss": 9.0}, lineage, serve=code.serve
    )
    return artefacts.publish(made)
