"""The platform on AWS as tests drive it: the same definitions and job, against the double."""

from __future__ import annotations

LAKE = "s3://lake"
