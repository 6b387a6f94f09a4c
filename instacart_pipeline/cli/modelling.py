"""What the command line says of a model: the figures of a day's evaluation.

Belongs here: reading them. Doesn't: printing (output.py), running the job (running.py).
"""

import json
from collections.abc import Mapping
from typing import Any

from instacart_pipeline.lake.errors import ArtefactNotFound


def evaluation_of(dt: str) -> Mapping[str, Any] | None:
    """The evaluation of a day's model, as model/evaluation.py made it; None if there is none."""
    from instacart_pipeline.profiles import build_resources  # noqa: PLC0415  # as the definitions
    from instacart_pipeline.reorder.model_jobs import EVALUATION  # noqa: PLC0415
    from instacart_pipeline.reorder.tables import SYSTEM  # noqa: PLC0415
    from instacart_pipeline.settings import Settings  # noqa: PLC0415

    sagemaker = build_resources(Settings.from_env()).sagemaker
    try:
        made = sagemaker.artefact(SYSTEM, EVALUATION, dt)
    except ArtefactNotFound:
        return None
    with sagemaker.unpacked(made) as folder:
        told: Mapping[str, Any] = json.loads((folder / "output" / "evaluation.json").read_text())
        return told
