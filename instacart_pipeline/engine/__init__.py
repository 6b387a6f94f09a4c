"""What runs on an embedded engine wherever that is: on this machine, or in a Glue job. Needs neither Dagster nor AWS.

Belongs here: reading, validating, writing and judging files with DuckDB. Doesn't: which files, and what becomes of them.
"""
