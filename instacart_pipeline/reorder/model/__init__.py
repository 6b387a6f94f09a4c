"""The model of the reorder system: from the features of a user and a product to predicted baskets."""
