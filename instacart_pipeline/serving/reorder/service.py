"""What the routes share: the day and the model, and looking up a user or product of the day.

Belongs here: how a route gets at them, and the refusals that several routes have in common. Doesn't: the routes themselves.
"""

from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
from fastapi import Depends, Path, Request
from numpy.typing import NDArray

from instacart_pipeline.serving.errors import RETRY, Failed, Refused
from instacart_pipeline.serving.reorder.answers import ModelName, ProductFound
from instacart_pipeline.serving.reorder.asking import Answer, Model
from instacart_pipeline.serving.reorder.days import Days
from instacart_pipeline.serving.reorder.store import Product, Store

LARGEST_ID = 2**63 - 1
FAILURES: dict[int | str, dict[str, Any]] = {
    code: {"model": Failed, "description": description}
    for code, description in {
        401: "An API key is needed, and was not given or is not known.",
        422: "A value that can't be taken; the message names it.",
        502: "The model failed.",
        503: "Nothing is served yet, or the model can't be reached. Retry-After says when to try again.",
    }.items()
}
NOT_FOUND: dict[int | str, dict[str, Any]] = {
    404: {"model": Failed, "description": "There is no such user, open order or product; the message says which."}
}


@dataclass(frozen=True)
class Service:
    """What answers requests."""

    days: Days
    model: Model


async def _service(request: Request) -> Service:
    found: Service = request.app.state.reorder
    return found


Served = Annotated[Service, Depends(_service)]
UserId = Annotated[int, Path(ge=1, le=LARGEST_ID, description="The user's id in the shop's orders.")]
ProductId = Annotated[int, Path(ge=1, le=LARGEST_ID, description="The product's id in the shop's catalogue.")]


def position_of(store: Store, user_id: int) -> int:
    """Where a user with an open order stands in the store. Raises Refused (404) saying what there is not."""
    position = store.position(user_id)
    if position is not None:
        return position
    if store.knows(user_id):
        raise Refused(
            404,
            "no_open_order",
            f"User {user_id} has no open order on {store.dt}: the basket of their last order is known. "
            f"GET /v1/users lists users with one.",
        )
    raise Refused(
        404, "unknown_user", f"There is no user {user_id} in the upload of {store.dt}. GET /v1/users lists users."
    )


def ask(service: Service, store: Store, matrix: NDArray[np.float32]) -> Answer:
    """The model's probabilities for rows of the store's features."""
    places = {name: place for place, name in enumerate(store.features)}

    def rows(features: tuple[str, ...] | Any) -> NDArray[np.float32]:
        lacking = [name for name in features if name not in places]
        if lacking or not features:
            told = (
                f"features that {store.dt} lacks: {', '.join(lacking)}"
                if lacking
                else "features that its card does not name"
            )
            raise Refused(
                503,
                "unavailable",
                f"The deployed model wants {told}. Build the day again with `instacart-pipeline run reorder-model --dt {store.dt}`.",
                RETRY,
            )
        chosen: NDArray[np.float32] = matrix[:, [places[name] for name in features]]
        return chosen

    return service.model.ask(rows)


def model_name(name: str) -> ModelName:
    """A version as answers name it, from `group/number`."""
    group, _, number = name.rpartition("/")
    return ModelName(name=group, version=int(number) if number.isdecimal() else 0)


def found(product: Product | None, product_id: int) -> ProductFound:
    """A product as answers list it; one that the catalogue lost has its number for a name."""
    named = product or Product(product_id, f"Product {product_id}", "")
    return ProductFound(product_id=named.id, product_name=named.name, aisle=named.aisle)
