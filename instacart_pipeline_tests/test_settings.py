"""The settings: what each variable takes, and how wrong ones are told."""

import os
from datetime import date
from pathlib import Path

import pytest

from instacart_pipeline import setting_readers
from instacart_pipeline.lake.errors import SettingsInvalid
from instacart_pipeline.lake.zones import Zones
from instacart_pipeline.settings import PROJECT, Settings

WRONG = {
    "INSTACART_PROFILE": "moon",
    "INSTACART_MEMORY": "600MB",
    "INSTACART_THREADS": "-1",
    "INSTACART_CONCURRENT_STEPS": "-1",
    "INSTACART_GLUE_ENGINE": "flink",
    "INSTACART_RESULT_FILES": "0",
    "INSTACART_TRAINING_PAIRS": "many",
    "INSTACART_MAX_REJECTED": "1.5",
    "INSTACART_ROW_COUNT_TOLERANCE": "half",
    "INSTACART_RETENTION_DAYS": "a week",
    "INSTACART_FIRST_DAY": "2026-13-01",
    "INSTACART_TIMEZONE": "Mars/Olympus",
    "INSTACART_SETTLE_SECONDS": "1.5",
    "INSTACART_DAGSTER_URL": "localhost:3000",
    "INSTACART_MODEL_URL": "127.0.0.1:8080",
    "INSTACART_LAKE": "s3://Acme lake",
    "INSTACART_AWS_ROLE": "admin",
    "INSTACART_AWS_ENDPOINT": "ftp://aws",
    "INSTACART_SERVICE_ROLE": "arn:aws:iam",
    "INSTACART_ATHENA_SCAN_LIMIT": "1MB",
    "INSTACART_ATHENA_REUSE_MINUTES": "-5",
    "INSTACART_GLUE_WORKER": "G.9X",
    "INSTACART_GLUE_WORKERS": "1",
    "INSTACART_DATABREW_NODES": "1",
    "INSTACART_MODEL_IMAGE": "sagemaker-xgboost",
    "INSTACART_TRAINING_INSTANCE": "m5.large",
    "INSTACART_STREAM_CONSUMERS": "fargate",
    "INSTACART_UPLOAD_QUEUE": "uploads",
    "INSTACART_ALERT_TOPIC": "alerts",
    "INSTACART_JOB_DEADLINE": "0",
    "INSTACART_POLL_SECONDS": "0",
}


def test_nothing_set_is_enough() -> None:
    settings = Settings.from_env({})
    assert settings == Settings()
    assert settings.home == PROJECT / ".instacart"
    assert settings.memory_bytes == 2_000_000_000
    assert settings.engine_threads >= 1


def test_threads_are_those_asked_for_on_a_system_without_cpu_affinity(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    assert Settings().engine_threads == os.cpu_count()
    assert Settings(threads=3).engine_threads == 3


def test_a_variable_set_to_nothing_is_not_set() -> None:
    assert Settings.from_env({"INSTACART_MEMORY": "", "INSTACART_HOME": "  "}) == Settings()


def test_every_variable_is_read(tmp_path: Path) -> None:
    settings = Settings.from_env(
        {
            "INSTACART_HOME": f"{tmp_path}/a/../b",
            "INSTACART_PROFILE": "local",
            "INSTACART_MEMORY": "1.5GB",
            "INSTACART_THREADS": "3",
            "INSTACART_CONCURRENT_STEPS": "2",
            "INSTACART_GLUE_ENGINE": "spark",
            "INSTACART_RESULT_FILES": "4",
            "INSTACART_TRAINING_PAIRS": "250000",
            "INSTACART_MAX_REJECTED": "0.2",
            "INSTACART_ROW_COUNT_TOLERANCE": "1",
            "INSTACART_RETENTION_DAYS": "0",
            "INSTACART_FIRST_DAY": "2025-02-28",
            "INSTACART_TIMEZONE": "Europe/Berlin",
            "INSTACART_SETTLE_SECONDS": "5",
            "HOME": "/not/ours",
        }
    )
    assert settings == Settings(
        home=tmp_path / "b",
        profile="local",
        memory="1.5GB",
        threads=3,
        concurrent_steps=2,
        glue_engine="spark",
        result_files=4,
        training_pairs=250_000,
        max_rejected=0.2,
        row_count_tolerance=1.0,
        retention_days=0,
        first_day=date(2025, 2, 28),
        timezone="Europe/Berlin",
        settle_seconds=5,
    )
    assert settings.memory_bytes == 1_500_000_000
    assert settings.engine_threads == 1
    assert settings.steps_at_once == 2


def test_every_variable_of_aws_is_read() -> None:
    given = {
        "profile": "aws",
        "dagster_url": "https://dagster.acme.example",
        "lake": "s3://acme-{zone}",
        "aws_region": "eu-central-1",
        "aws_profile": "data",
        "aws_role": "arn:aws:iam::123456789012:role/dagster",
        "aws_endpoint": "http://127.0.0.1:4566",
        "service_role": "arn:aws:iam::123456789012:role/services",
        "athena_workgroup": "analysts",
        "athena_scan_limit": "50GB",
        "athena_reuse_minutes": 5,
        "glue_worker": "G.2X",
        "glue_workers": 4,
        "databrew_nodes": 5,
        "model_image": "492215442770.dkr.ecr.eu-central-1.amazonaws.com/sagemaker-xgboost:3.2-0",
        "training_instance": "ml.c5.4xlarge",
        "transform_instance": "ml.m5.large",
        "endpoint_instance": "ml.m7i.large",
        "stream_consumers": "lambda",
        "upload_queue": "https://sqs.eu-central-1.amazonaws.com/123456789012/uploads",
        "alert_topic": "arn:aws:sns:eu-central-1:123456789012:alerts",
        "job_deadline": 30,
        "poll_seconds": 5.0,
    }
    settings = Settings.from_env({f"INSTACART_{name.upper()}": str(value) for name, value in given.items()})
    assert {name: getattr(settings, name) for name in given} == given
    assert settings.steps_at_once == 5


def test_api_keys_are_read_and_never_shown() -> None:
    first, second = "a-key-of-sixteen-", "another-key-of-20-or-more"
    settings = Settings.from_env({"INSTACART_API_KEYS": f" {first}, {second},"})
    assert settings.api_keys == (first, second)
    assert first not in repr(settings)
    with pytest.raises(SettingsInvalid) as told:
        Settings.from_env({"INSTACART_API_KEYS": f"{first},too-short"})
    assert str(told.value).splitlines()[1].startswith("  INSTACART_API_KEYS=...: write keys of 16 ")
    assert "too-short" not in str(told.value)


@pytest.mark.parametrize(
    ("lake", "features"),
    [
        ("s3://acme", "s3://acme/features"),
        ("s3://acme/lake/", "s3://acme/lake/features"),
        ("s3://acme-{zone}", "s3://acme-features"),
        ("s3://acme-{zone}/lake", "s3://acme-features/lake"),
    ],
)
def test_a_lake_is_a_bucket_a_prefix_or_a_bucket_a_zone(lake: str, features: str) -> None:
    assert Zones(Settings.from_env({"INSTACART_LAKE": lake}).lake).zone("features") == features


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_value_is_told_with_its_variable(name: str) -> None:
    with pytest.raises(SettingsInvalid) as told:
        Settings.from_env({name: WRONG[name]})
    (_, problem) = str(told.value).splitlines()
    assert problem.startswith(f"  {name}={WRONG[name]!r}: ")


def test_all_wrong_values_are_told_at_once() -> None:
    with pytest.raises(SettingsInvalid) as told:
        Settings.from_env(WRONG)
    assert [line.split("=")[0].strip() for line in str(told.value).splitlines()[1:]] == list(WRONG)


def test_a_misspelt_variable_is_told_with_those_there_are() -> None:
    with pytest.raises(
        SettingsInvalid, match=r"INSTACART_MEMROY is no setting of this project; there are .*INSTACART_MEMORY"
    ):
        Settings.from_env({"INSTACART_MEMROY": "2GB"})


@pytest.mark.parametrize(
    ("text", "size"), [("800MB", 800_000_000), ("2GB", 2_000_000_000), (" 1.5 gb ", 1_500_000_000)]
)
def test_sizes_are_decimal(text: str, size: int) -> None:
    assert setting_readers.size(text) == size


@pytest.mark.parametrize("text", ["2", "GB", "-1GB", "2GiB", "2TB", "1,5GB"])
def test_another_size_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="800MB or 2GB"):
        setting_readers.size(text)


@pytest.mark.parametrize(("lag", "buffer", "right"), [("121", "60", True), ("120", "60", False), ("", "300", False)])
def test_a_transaction_may_be_late_only_after_twice_the_time_it_is_gathered_for(
    lag: str, buffer: str, right: bool
) -> None:
    given = {"INSTACART_STREAM_LAG_SECONDS": lag, "INSTACART_STREAM_BUFFER_SECONDS": buffer}
    if right:
        assert Settings.from_env(given).stream_lag_seconds == int(lag)
        return
    with pytest.raises(SettingsInvalid) as told:
        Settings.from_env(given)
    (_, problem) = str(told.value).splitlines()
    assert problem.startswith(
        f"  INSTACART_STREAM_LAG_SECONDS={lag or 600}: it must be more than twice INSTACART_STREAM_BUFFER_SECONDS={buffer}"
    )


@pytest.mark.parametrize(
    ("profile", "consumers", "known"),
    [("local", "worker", True), ("local", "lambda", True), ("aws", "worker", True), ("aws", "lambda", False)],
)
def test_only_lambda_on_aws_keeps_its_lag_to_itself(profile: str, consumers: str, known: bool) -> None:
    environment = {"INSTACART_PROFILE": profile, "INSTACART_STREAM_CONSUMERS": consumers}
    assert Settings.from_env(environment).lag_is_known is known
