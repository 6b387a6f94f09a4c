"""Names of the model that its jobs, the HTTP side and the command line share. Free of imports, so that asking for one costs nothing."""

GROUP = "reorder"
"""The model's versions in the registry."""
ENDPOINT = "reorder"
"""The endpoint that it answers behind."""
