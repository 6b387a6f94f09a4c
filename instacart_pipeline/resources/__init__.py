"""The services that assets call: a folder each.

A service's `__init__.py` is its promise: what it takes, publishes and raises. `local` and `aws` keep it, and pass the same tests; only
profiles.py chooses between them. What the local backends share is in `local_machine`, what those on AWS share in `aws_account`, and how any
job on AWS is started once, watched and stopped in `managed_jobs`.
"""
