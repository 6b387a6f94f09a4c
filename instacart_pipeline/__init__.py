"""A retail data platform as a Dagster project: reorder prediction, a retail stream and a customer mart."""
