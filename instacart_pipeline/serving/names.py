"""Names that the HTTP side and its callers share. Free of imports, so that asking for one costs nothing."""

ENDPOINT = "reorder"
"""The endpoint that the model answers behind."""
