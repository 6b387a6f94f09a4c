"""Segments: what is computed of customers. Free of Dagster, AWS and engines, as it is the code that SageMaker runs."""
