"""Which users serve for what, by their bucket (0 to 99), which a user keeps for good.

Belongs here: the split. A model never sees the users it is judged on, not even yesterday's model or a user's earlier orders.
"""

HELD_OUT = tuple(range(80, 100))
"""Models are judged on these, and never trained on them."""
TRAINED_ON = tuple(range(80))
FOLDS = 4
SAMPLE = tuple(range(0, 80, 10))
"""A tenth of the users trained on, two buckets of each fold: for the sample model and for tuning."""


def fold_of(bucket: int) -> int:
    """The fold of a user trained on: each fold in turn is predicted by a model of the others."""
    return bucket // 20
