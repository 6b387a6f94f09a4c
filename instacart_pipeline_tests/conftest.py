"""Fixtures: a platform in a folder of its own, and small uploads for it."""

from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest

from instacart_pipeline_tests.aws_double.server import REGION, AwsDouble
from instacart_pipeline_tests.platform import Platform, write_upload

# How fast examples are made says something about the machine, nothing about the project.
hypothesis.settings.register_profile(
    "any machine", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("any machine")

REAL_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"


@pytest.fixture
def platform(tmp_path: Path) -> Platform:
    """The local platform, its home in a fresh folder."""
    return Platform(tmp_path / "home")


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch) -> Iterator[AwsDouble]:
    """An AWS of its own with an empty bucket `lake`, and its credentials in the environment."""
    with AwsDouble() as double:
        for name, value in double.environment().items():
            monkeypatch.setenv(name, value)
        double.client("s3").create_bucket(Bucket="lake", CreateBucketConfiguration={"LocationConstraint": REGION})
        yield double


@pytest.fixture
def upload_folder(tmp_path: Path) -> Path:
    """A whole small upload: 6 users, 12 products, hand-made; see write_upload."""
    return write_upload(tmp_path / "upload")


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The real data sets that may lie beside the clone; skips the test where they don't."""
    if not REAL_DATA.is_dir():
        pytest.skip("the real data sets (../shared/data beside the clone) are not here")
    return REAL_DATA
