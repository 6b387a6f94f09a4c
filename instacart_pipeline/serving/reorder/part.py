"""The reorder system's part of the web application: predictions, the page to try them on, what is looked after meanwhile.

Belongs here: putting that together, and its share of /health. Doesn't: the routes themselves (vectors.py, baskets.py).
"""

import logging
import threading
from pathlib import Path

from instacart_pipeline.lake.errors import PipelineError
from instacart_pipeline.reorder.model.features import ORIGINAL
from instacart_pipeline.reorder.names import ENDPOINT
from instacart_pipeline.resources.catalog import Catalog
from instacart_pipeline.resources.endpoints import EndpointNotFound, Endpoints
from instacart_pipeline.resources.table_files import TableFiles
from instacart_pipeline.serving.part import Part
from instacart_pipeline.serving.reorder import baskets, vectors
from instacart_pipeline.serving.reorder.answers import Health, Predictions, Probability, Scores
from instacart_pipeline.serving.reorder.asking import Model
from instacart_pipeline.serving.reorder.days import Days
from instacart_pipeline.serving.reorder.service import Service, model_name

_log = logging.getLogger(__name__)


def service_of(catalog: Catalog, files: TableFiles, endpoints: Endpoints, home: Path) -> Service:
    """What answers requests, of a profile's resources; what it keeps lies below `home`."""
    return Service(Days(catalog, files, home / "serving"), Model(endpoints, ENDPOINT))


def reorder_part(service: Service, *, look_every: float = 2.0) -> Part:
    """The part. It looks for a new day and a new model version every `look_every` seconds.

    While no model is deployed its addresses answer 503, saying how to deploy one; the first one is taken up as any other.
    """
    return Part(
        name="reorder",
        about="Which products will a customer of the shop buy again? Probabilities, and predicted baskets.",
        service=service,
        routers=(vectors.router, baskets.router),
        health=lambda: health(service),
        health_model=Health,
        pages={"/": "index.html"},
        before=service.days.try_to_look,
        meanwhile=(
            lambda stop: service.days.keep_looking(stop, look_every),
            lambda stop: _look_for_versions(service, stop, look_every),
        ),
        described=(Probability, Predictions, Scores),
    )


def health(service: Service) -> Health:
    """Whether baskets can be predicted, by which model version and from which day."""
    trouble = []
    version, store, deployed = None, None, True
    try:
        version = service.model.version
        if problem := service.model.reachable(len(ORIGINAL)):
            trouble.append(problem)
        reachable = not problem
    except PipelineError as error:
        trouble.append(str(error))
        reachable, deployed = False, not isinstance(error, EndpointNotFound)
    try:
        store = service.days.current
        if service.days.trouble:
            trouble.append(f"A newer day can't be served: {service.days.trouble}")
    except PipelineError as error:
        trouble.append(str(error))
    return Health(
        status="unused" if not deployed else "ok" if reachable and store is not None else "unavailable",
        trouble=trouble,
        model=model_name(version.label) if version else None,
        day=store.dt if store else None,
        users=store.users if store else 0,
        endpoint="reachable" if reachable else "unreachable",
    )


def _look_for_versions(service: Service, stop: threading.Event, every: float) -> None:
    while not stop.wait(every):
        _look_for_a_version(service)


def _look_for_a_version(service: Service) -> None:
    try:
        service.model.look()
    except PipelineError as error:
        _log.debug("No look at the deployed version: %s", error)  # /health says so, and so do requests
    except Exception:  # noqa: BLE001  # whatever it is, who looks must go on looking
        _log.exception("The look at the deployed version failed, and is tried again.")
