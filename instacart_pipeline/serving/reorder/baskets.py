"""Predictions for the shop's users: the picker's lists, a user's basket, and the probability of one product.

Belongs here: these addresses, and putting a basket together. Doesn't: the decision itself (reorder/model/decision.py).
"""

from dataclasses import dataclass
from typing import Annotated

import numpy as np
from fastapi import APIRouter, Query
from numpy.typing import NDArray

from instacart_pipeline.reorder.model.decision import decide
from instacart_pipeline.reorder.model.features import ORIGINAL_THRESHOLD
from instacart_pipeline.serving.errors import Refused
from instacart_pipeline.serving.reorder.answers import (
    Basket,
    Candidate,
    OrderFacts,
    PastOrder,
    ProductProbability,
    ProductsFound,
    UserFound,
    UsersFound,
)
from instacart_pipeline.serving.reorder.service import (
    FAILURES,
    NOT_FOUND,
    ProductId,
    Served,
    Service,
    UserId,
    ask,
    found,
    model_name,
    position_of,
)
from instacart_pipeline.serving.reorder.store import Store

router = APIRouter(prefix="/v1", responses=FAILURES)

Limit = Annotated[int, Query(ge=1, le=100, description="How many to list at most.")]


@router.get("/users", summary="Users with an open order, for a picker", tags=["baskets"])
def users(
    service: Served,
    search: Annotated[str, Query(max_length=19, pattern="^[0-9]*$", description="What their ids begin with.")] = "",
    limit: Limit = 20,
) -> UsersFound:
    """Sorted by id."""
    listed, total = service.days.current.search_users(search, limit)
    return UsersFound(
        users=[UserFound(user_id=u, order_number=number, candidates=count) for u, number, count in listed], total=total
    )


@router.get("/products", summary="Products by name or id", tags=["baskets"])
def products(
    service: Served,
    search: Annotated[
        str, Query(min_length=1, max_length=100, description="A part of the name, whatever its case; or the id.")
    ],
    limit: Limit = 20,
) -> ProductsFound:
    """Names that begin with the text first, then the shorter ones."""
    listed = service.days.current.products(search, limit)
    return ProductsFound(products=[found(product, product.id) for product in listed])


@router.get("/users/{user_id}/basket", summary="A user's predicted basket", tags=["baskets"], responses=NOT_FOUND)
def basket(
    service: Served,
    user_id: UserId,
    limit: Annotated[int, Query(ge=0, le=10_000, description="How many of the other products to list.")] = 20,
) -> Basket:
    """The basket with the highest expected F1 by the model's probabilities, "None" included, and what speaks for it."""
    return predicted_basket(service, user_id, limit)


@router.get(
    "/users/{user_id}/products/{product_id}/probability",
    summary="The probability that a user's open order holds a product",
    tags=["probabilities"],
    responses=NOT_FOUND,
)
def product_probability(service: Served, user_id: UserId, product_id: ProductId) -> ProductProbability:
    """The model speaks about products that the user has bought before; for others there is no probability."""
    store = service.days.current
    position = position_of(store, user_id)
    product = store.product(product_id)
    candidates, matrix = store.candidates(position)
    (at,) = np.nonzero(candidates == product_id)
    if not len(at):
        if product is None:
            raise Refused(404, "unknown_product", f"There is no product {product_id} in the upload of {store.dt}.")
        raise Refused(
            404,
            "never_bought",
            f"User {user_id} has never bought {product.name}. The model speaks about products bought before.",
        )
    answer = ask(service, store, matrix[at])
    probability = float(answer.probabilities[0])
    return ProductProbability(
        user_id=user_id,
        product_id=product_id,
        product_name=found(product, product_id).product_name,
        probability=probability,
        likely=probability > ORIGINAL_THRESHOLD,
        model=model_name(answer.model),
        day=store.dt,
    )


def predicted_basket(service: Service, user_id: int, limit: int) -> Basket:
    """See the address of that name. The command line asks here as well."""
    store = service.days.current
    position = position_of(store, user_id)
    products_, matrix = store.candidates(position)
    answer = ask(service, store, matrix)
    # Products of equal probability come by their ids, so that the same question has the same answer.
    order = np.lexsort((products_, -answer.probabilities))
    ranked = _Ranked(store, products_[order], answer.probabilities[order])
    decided = decide(ranked.probabilities, np.array([len(order)]), float(answer.card.get("spread", 0.0)))
    size = int(decided.products[0])
    open_order = store.order(position)
    return Basket(
        user_id=user_id,
        order=OrderFacts(
            order_id=open_order.id,
            order_number=open_order.number,
            order_hour_of_day=open_order.hour,
            days_since_prior_order=open_order.days_since,
        ),
        basket=ranked.candidates(0, size, in_basket=True),
        none_predicted=bool(decided.none[0]),
        expected_f1=float(decided.expected_f1[0]),
        others=ranked.candidates(size, size + limit, in_basket=False),
        candidates=len(order),
        last_orders=[
            PastOrder(order_number=number, products=[found(store.product(one), one) for one in bought])
            for number, bought in store.last_orders(position)
        ],
        model=model_name(answer.model),
        day=store.dt,
    )


@dataclass(frozen=True)
class _Ranked:
    """A user's candidates, the most probable first."""

    store: Store
    products: NDArray[np.int64]
    probabilities: NDArray[np.float64]

    def candidates(self, first: int, last: int, *, in_basket: bool) -> list[Candidate]:
        """Some of them, as answers list them."""
        pairs = zip(self.products[first:last].tolist(), self.probabilities[first:last].tolist(), strict=True)
        return [
            Candidate(**found(self.store.product(product), product).model_dump(), probability=p, in_basket=in_basket)
            for product, p in pairs
        ]
