"""Fixtures that several folders share: a platform in a folder of its own, an AWS double, Spark, and small uploads."""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import hypothesis
import pytest

from instacart_pipeline_tests.aws_double import AwsDouble, opened
from instacart_pipeline_tests.aws_double.botocore_costs import pay_once
from instacart_pipeline_tests.aws_double.server import REGION
from instacart_pipeline_tests.platform import Platform, write_upload
from instacart_pipeline_tests.resources.disks import small_disk  # noqa: F401  # a fixture
from instacart_pipeline_tests.tiers import costs, missing, skip_without

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

pytest_plugins = ["instacart_pipeline_tests.tiers"]

# How fast examples are made says something about the machine, nothing about the project.
hypothesis.settings.register_profile(
    "any machine", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("any machine")

# A shell starts what it puts in the background deaf to Ctrl-C, and nohup to hanging up; tests of signals must not depend on that.
for _number, _handler in ((signal.SIGINT, signal.default_int_handler), (signal.SIGHUP, signal.SIG_DFL)):
    if signal.getsignal(_number) is signal.SIG_IGN:
        signal.signal(_number, _handler)

REAL_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"

MEMORY_DISK = Path("/dev/shm")  # noqa: S108  # a mount point of Linux, below which folders of this run's own are made
ROOM_NEEDED = 6 << 30
"""Bytes that must be free on the memory disk, or the tests' files are kept where the system keeps temporary ones."""
if os.access(MEMORY_DISK, os.W_OK) and shutil.disk_usage(MEMORY_DISK).free >= ROOM_NEEDED:
    # Dagster and SQLite flush every event to the disk. In tests that is waiting for nothing. Child processes inherit it.
    os.environ["TMPDIR"] = tempfile.tempdir = str(MEMORY_DISK)
# On few cores that many processes share, threads of OpenMP (XGBoost's, scikit-learn's) spend most of their time spinning.
os.environ.setdefault("OMP_THREAD_LIMIT", "1")
# A JVM of a test runs for seconds: to optimize its code, and to collect its garbage side by side, is half of what it costs.
for _options in ("SPARK_SUBMIT_OPTS", "SPARK_LAUNCHER_OPTS"):
    os.environ.setdefault(_options, "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC")


@pytest.fixture(scope="session", autouse=True)
def botocore_costs() -> Iterator[None]:
    """Have botocore work out once per process what it works out for each session and client: that is most of their cost."""
    with pytest.MonkeyPatch.context() as patch:
        pay_once(patch)
        yield


@pytest.fixture
@costs("contract")
def platform(tmp_path: Path) -> Platform:
    """The local platform, its home in a fresh folder."""
    return Platform(tmp_path / "home")


@pytest.fixture
@costs("contract")
def aws() -> Iterator[AwsDouble]:
    """An AWS of its own with an empty bucket `lake`, and its credentials in the environment."""
    with opened(AwsDouble()) as double:
        double.client("s3").create_bucket(Bucket="lake", CreateBucketConfiguration={"LocationConstraint": REGION})
        yield double


@pytest.fixture(scope="session")
@costs("deep")
def spark() -> Iterator[SparkSession]:
    """A Spark session: one, and one JVM, for all tests of a worker. Views of a test before may still be there."""
    pytest.importorskip("pyspark", reason=missing("PySpark"))
    from instacart_pipeline_tests.spark_session import session

    opened = session()
    yield opened
    opened.stop()


@pytest.fixture
def upload_folder(tmp_path: Path) -> Path:
    """A whole small upload: 6 users, 12 products, hand-made; see write_upload."""
    return write_upload(tmp_path / "upload")


@pytest.fixture(scope="session")
@costs("deep")
def real_data() -> Path:
    """The real data sets that may lie beside the clone; skips the test where they don't."""
    if not REAL_DATA.is_dir():
        skip_without("real data")
    return REAL_DATA
