"""The HTTP side of the reorder system: predictions and predicted baskets."""
