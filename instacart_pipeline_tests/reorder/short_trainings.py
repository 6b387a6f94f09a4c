"""Trainings of the model that end within a second, for tests of what stands around them."""

from __future__ import annotations

import pytest

from instacart_pipeline.reorder import model_jobs as jobs


def shorten(patch: pytest.MonkeyPatch) -> None:
    """A few large rounds of boosting in place of many small ones, and a single trial."""
    patch.setattr(jobs, "DEFAULTS", {**jobs.DEFAULTS, "rounds": 15, "eta": 0.3})
    patch.setattr(jobs, "TRIALS", 1)
    patch.setattr(jobs, "TRIALS_AT_ONCE", 1)
