"""A shop to serve: a hand-made day of the lake, versions of a model that says what the day's rows say, and the API."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import httpx

from instacart_pipeline.lake.artefacts import MODEL, SOURCE, Artefact, ModelCode
from instacart_pipeline.lake.contracts import Column, TableContract
from instacart_pipeline.reorder import tables as t
from instacart_pipeline.reorder.names import ENDPOINT
from instacart_pipeline.resources.endpoints import Canary, Endpoints
from instacart_pipeline.resources.endpoints.local import LocalEndpoints
from instacart_pipeline.resources.model_registry import ModelVersion
from instacart_pipeline.resources.table_files import TableFiles
from instacart_pipeline.serving.api import create_app
from instacart_pipeline.serving.reorder.part import reorder_part, service_of
from instacart_pipeline.serving.reorder.service import Service
from instacart_pipeline_tests.platform import DT, Platform, Row
from instacart_pipeline_tests.serving import web

until = web.until
NEVER = 3600.0
"""Seconds between two searches for a new day or version, where a test calls `look` itself."""
FEATURES = ("chance", "user_orders", "up_orders")
OPEN_PAIRS = TableContract(
    database=t.SANDBOX,
    name="open_pairs",
    description="A few features of what users with an open order have bought before.",
    columns=[
        Column("order_id", "bigint", key=True),
        Column("product_id", "bigint", key=True),
        Column("user_id", "bigint", nullable=False),
        Column("chance", "double"),
        Column("user_orders", "bigint"),
        Column("up_orders", "bigint"),
    ],
    sorted_by=("user_id",),
)
NAMES = {
    1: "Organic Bananas",
    2: "Whole Milk",
    3: "Sourdough Loaf",
    4: 'Aged "Reserve" Cheddar, Sliced',
    5: "Crème Fraîche",
    6: "Unsalted Butter",
    7: "Free Range Eggs",
    8: "Earl Grey Tea",
    9: "Never Bought Noodles",
    10: "<b>Bold</b> & Spicy Salsa",
}
CHANCES: dict[int, dict[int, float | None]] = {
    7: {1: 0.92, 2: 0.81, 3: 0.64, 4: 0.35, 5: 0.12, 6: 0.05, 10: 0.02},
    12: {1: 0.5, 8: None},
    120: {2: 0.03},
    1200: {},
}
"""Users with an open order: the chance that they buy each product they have bought before."""
OTHERS = (3, 99)
"""Users without an open order."""
CODE = ModelCode({"inference.py": (Path(__file__).parent / "chance_model" / "inference.py").read_bytes()})
ORIGINAL_ROW = "3,12.5,75,28,0.4,42,4.3,2,7,6,1500,0.35,1.9,0.47,6,0.43,1,0.5"


def put_day(
    platform: Platform, dt: str = DT, *, shift: float = 0.0, version: str = "20260101T000000000000-000000"
) -> None:
    """Publish a day's tables; `shift` is added to every chance."""
    orders: list[Row] = []
    lines: list[Row] = []
    pairs: list[Row] = []
    for user in sorted((*CHANCES, *OTHERS)):
        for number in range(1, 7):
            kind = "prior" if number < 6 else "test" if user in CHANCES else "train"
            order: Row = {
                "order_id": user * 100 + number,
                "user_id": user,
                "eval_set": kind,
                "order_number": number,
                "order_dow": number % 7,
                "order_hour_of_day": 10,
                "days_since_prior_order": None if number == 1 else 7.0,
            }
            orders.append(order)
            if kind == "prior":
                bought = [product for product in CHANCES.get(user, {2: 0.1}) if product % 5 != number % 5]
                for position, product in enumerate(reversed(bought), start=1):
                    lines.append(
                        {**order, "product_id": product, "add_to_cart_order": position, "reordered": int(number > 1)}
                    )
            elif kind == "test":
                pairs += [
                    {
                        "order_id": order["order_id"],
                        "product_id": product,
                        "user_id": user,
                        "chance": None if chance is None else chance + shift,
                        "user_orders": 5,
                        "up_orders": None if product == 6 else 4,
                    }
                    for product, chance in CHANCES[user].items()
                ]
    put = {
        t.AISLES: [{"aisle_id": 1, "aisle": "fresh things"}, {"aisle_id": 2, "aisle": "pantry"}],
        t.PRODUCTS: [
            {"product_id": i, "product_name": name, "aisle_id": 1 + (i > 7), "department_id": 1}
            for i, name in NAMES.items()
        ],
        t.ORDERS: orders,
        t.ORDER_PRODUCTS_PRIOR: lines,
        OPEN_PAIRS: pairs,
    }
    for table, rows in put.items():
        platform.put_rows(table, rows, dt=dt, name=version)


def version_of(
    home: Path, number: int, *, features: Sequence[str] = FEATURES, shift: float = 0.0, delay: float = 0.0
) -> ModelVersion:
    """A version of the model, its artefact in `home`."""
    folder = home / "models" / f"v{number}"
    folder.mkdir(parents=True, exist_ok=True)
    told = json.dumps({"features": features, "shift": shift, "delay": delay}).encode()
    with tarfile.open(folder / MODEL, "w:gz") as tar:
        entry = tarfile.TarInfo("model.json")
        entry.size = len(told)
        tar.addfile(entry, io.BytesIO(told))
    (folder / SOURCE).write_bytes(CODE.archive())
    artefact = Artefact("reorder", "model", DT, f"v{number}", str(folder), CODE.digest)
    return ModelVersion("reorder", number, "Approved", artefact, {}, {"features": list(features)})


def deploy(endpoints: Endpoints, version: ModelVersion) -> None:
    """Bring a version behind the endpoint."""
    endpoints.deploy(ENDPOINT, version, Canary(f"{ORIGINAL_ROW}\n".encode(), 1))


def put_behind(endpoints: LocalEndpoints, version: ModelVersion) -> None:
    """Have a version stand behind the endpoint, untried: trying it takes a server of its own."""
    pointer = endpoints.pointer(ENDPOINT)
    pointer.parent.mkdir(parents=True, exist_ok=True)
    pointer.write_text(json.dumps(version.as_json()))


def service(platform: Platform, endpoints: Endpoints) -> Service:
    """What answers requests about the platform."""
    return service_of(platform.catalog, TableFiles(), endpoints, platform.home)


@contextmanager
def api(answering: Service, look_every: float = NEVER) -> Iterator[httpx.Client]:
    """A client of the API, in this process. What is new is found by `answering.days` and `answering.model`."""
    with web.called(create_app([reorder_part(answering, look_every=look_every)])) as client:
        yield client


def listening(answering: Service, keys: Sequence[str] = (), look_every: float = NEVER) -> AbstractContextManager[str]:
    """The address of the API, which is served over HTTP by a thread of this process."""
    return web.listening(create_app([reorder_part(answering, look_every=look_every)], keys))


def local_endpoints(home: Path, address: tuple[str, int]) -> LocalEndpoints:
    """The endpoints of a home, answered by the server at an address."""
    return LocalEndpoints(home=str(home), url=f"http://{address[0]}:{address[1]}")
