"""What the API answers with, as its OpenAPI document says it.

Belongs here: the shapes of answers and their descriptions. Doesn't: filling them.
"""

from pydantic import BaseModel, Field

from instacart_pipeline.serving.part import PartHealth


class ModelName(BaseModel):
    """A model version: the model's name in the registry, and the number of the version."""

    name: str
    version: int


class Health(PartHealth):
    """Whether baskets can be predicted; `trouble` says what keeps them from it, or a newer day from being served."""

    model: ModelName | None
    day: str | None = Field(description="The day of the upload that is served.")
    users: int = Field(description="Users with an open order.")
    endpoint: str = Field(description="reachable, or unreachable")


class Probability(BaseModel):
    """A prediction. `likely` is whether the probability lies above 0.21, the threshold of the original project."""

    probability: float = Field(ge=0, le=1)
    likely: bool


class Predictions(BaseModel):
    """Predictions for several rows, in their order."""

    predictions: list[Probability]


class Score(BaseModel):
    """A probability, as SageMaker's XGBoost container names it."""

    score: float


class Scores(BaseModel):
    """The answer of SageMaker's XGBoost container."""

    predictions: list[Score]


class ProductProbability(Probability):
    """How probable it is that a user's open order holds a product they have bought before."""

    user_id: int
    product_id: int
    product_name: str
    model: ModelName
    day: str


class ProductFound(BaseModel):
    """A product."""

    product_id: int
    product_name: str
    aisle: str


class ProductsFound(BaseModel):
    """Products by name."""

    products: list[ProductFound]


class UserFound(BaseModel):
    """A user with an open order."""

    user_id: int
    order_number: int = Field(description="The number of the open order, counted from the user's first.")
    candidates: int = Field(description="How many different products the user has bought.")


class UsersFound(BaseModel):
    """Users by id; `total` is how many there are beyond those listed too."""

    users: list[UserFound]
    total: int


class Candidate(ProductFound):
    """A product that the user has bought before."""

    probability: float = Field(ge=0, le=1)
    in_basket: bool = Field(description="Whether it is predicted.")


class OrderFacts(BaseModel):
    """The open order, as far as it is known before its basket is."""

    order_id: int
    order_number: int
    order_hour_of_day: int
    days_since_prior_order: float | None = Field(description="Capped at 30.")


class PastOrder(BaseModel):
    """What the user bought in an order, in the order of the cart."""

    order_number: int
    products: list[ProductFound]


class Basket(BaseModel):
    """The basket with the highest expected F1, of the products that a user has bought before."""

    user_id: int
    order: OrderFacts
    basket: list[Candidate] = Field(description="The predicted products, the most probable first.")
    none_predicted: bool = Field(description='Whether "None", that nothing is bought again, is part of the prediction.')
    expected_f1: float
    others: list[Candidate] = Field(description="The most probable of the products that are not predicted.")
    candidates: int = Field(description="How many products the user has ever bought.")
    last_orders: list[PastOrder] = Field(description="The latest first.")
    model: ModelName
    day: str
