"""The same API over the backends of AWS: the day's tables come from S3, by Glue's catalog."""

from __future__ import annotations

from pathlib import Path

from instacart_pipeline.resources.endpoints.local import LocalEndpoints
from instacart_pipeline.serving.reorder.part import service_of
from instacart_pipeline_tests.aws_double.server import REGION, AwsDouble
from instacart_pipeline_tests.aws_platform import AwsPlatform
from instacart_pipeline_tests.platform import DT
from instacart_pipeline_tests.serving.reorder import shop

NEXT = "2026-11-21"


def test_a_day_in_s3_is_served_and_followed_by_the_next(
    aws: AwsDouble, tmp_path: Path, endpoints: LocalEndpoints
) -> None:
    platform = AwsPlatform(tmp_path, aws.endpoint, aws_region=REGION)
    shop.put_day(platform)
    found = platform.resources
    service = service_of(found.catalog, found.table_files, endpoints, tmp_path)
    with shop.api(service) as client:
        told = client.get("/v1/users/7/basket").raise_for_status().json()
        assert ([one["product_id"] for one in told["basket"]], told["day"]) == ([1, 2, 3], DT)
        shop.put_day(platform, NEXT)
        assert service.days.look()
        assert client.get("/v1/users/7/basket").json()["day"] == NEXT
        assert client.get("/health").json()["reorder"]["trouble"] == []
    assert not any((tmp_path / "serving").glob(".making-*")), "nothing that was downloaded is left"
