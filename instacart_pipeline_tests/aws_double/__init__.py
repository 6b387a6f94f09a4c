"""An AWS on loopback for tests: real HTTP to unchanged boto3, real work by embedded engines, faults on demand.

`server.AwsDouble` is the way in. One module a service; what they share is wire.py (requests and answers), jobs.py (work
under way), faults.py and outcomes.py (what goes wrong), journal.py (what was asked).
"""

from instacart_pipeline_tests.aws_double.server import AwsDouble

__all__ = ["AwsDouble"]
