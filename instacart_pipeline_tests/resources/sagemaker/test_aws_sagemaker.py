"""SageMaker on AWS: what is asked of it, what is found again, and what is left. What both backends promise is in test_backends_sagemaker.py."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

from instacart_pipeline.lake.contracts import Column
from instacart_pipeline.lake.errors import ArtefactNotFound, JobFailed, SettingsInvalid
from instacart_pipeline.resources.managed_jobs.attempts import Work
from instacart_pipeline.resources.sagemaker import ProcessingJob, Range, TrainingJob, TransformJob, TuningJob
from instacart_pipeline.resources.sagemaker.aws import AwsSageMaker
from instacart_pipeline.resources.sagemaker.aws.jobs import TrainingJobs, job_name
from instacart_pipeline_tests.aws_double.jobs import most_alive_at_once
from instacart_pipeline_tests.aws_double.snapshot import Snapshot
from instacart_pipeline_tests.aws_double.wire import AwsError
from instacart_pipeline_tests.platform import DT
from instacart_pipeline_tests.resources.aws_models import put_model
from instacart_pipeline_tests.resources.aws_site import ROLE, WORKGROUP, Opened, Site
from instacart_pipeline_tests.resources.toy_model import CODE, DOUBLED, METRICS, ROWS, SCORES

IMAGE = "492215442770.dkr.ecr.eu-central-1.amazonaws.com/sagemaker-xgboost:3.2-0"


@pytest.fixture(scope="module")
def stocked(opened_double: Opened) -> Snapshot:
    """The rows that the toy learns from."""

    def prepare(site: Site) -> None:
        unforced: Any = {"EnforceWorkGroupConfiguration": False}  # as deploy makes it
        site.aws.client("athena").update_work_group(WorkGroup=WORKGROUP, ConfigurationUpdates=unforced)
        site.fill(ROWS, [{"id": number, "y": float(number), "x": None if number == 2 else 0.5} for number in (1, 2, 3)])

    return opened_double.kept(prepare)


@pytest.fixture
def site(opened_double: Opened, stocked: Snapshot) -> Site:
    return Site(opened_double.holding(stocked))


@pytest.fixture
def sagemaker(site: Site) -> AwsSageMaker:
    """SageMaker, with the rows that the toy learns from."""
    return AwsSageMaker(
        lake=site.lake, image=IMAGE, role=ROLE, training_instance="ml.m5.xlarge", transform_instance="ml.m5.large"
    )


def training(**hyperparameters: str | int | float) -> TrainingJob:
    given = {"rounds": 3, "rate": 0.5, **hyperparameters}
    return TrainingJob("toy", "model", CODE, given, {"train": ROWS}, METRICS)


def test_a_training_is_asked_for_in_script_mode_over_one_version_of_each_table(
    sagemaker: AwsSageMaker, site: Site
) -> None:
    made = sagemaker.train(training(), DT)
    (asked,) = site.aws.requests.of("sagemaker", "CreateTrainingJob")
    given = asked.parameters
    assert given["AlgorithmSpecification"] == {
        "TrainingImage": IMAGE,
        "TrainingInputMode": "File",
        "MetricDefinitions": [{"Name": "loss", "Regex": METRICS["loss"]}],
    }
    assert {name: json.loads(value) for name, value in given["HyperParameters"].items()} == {
        "rounds": 3,
        "rate": 0.5,
        "sagemaker_program": "train.py",
        "sagemaker_submit_directory": f"{made.location}/sourcedir.tar.gz",
        "sagemaker_region": "eu-central-1",
        "sagemaker_container_log_level": 20,
    }
    (channel,) = given["InputDataConfig"]
    location = site.catalog.current(ROWS, DT).location
    assert (channel["ChannelName"], channel["DataSource"]["S3DataSource"]["S3Uri"]) == ("train", f"{location}/")
    assert given["StoppingCondition"] == {"MaxRuntimeInSeconds": 60}
    assert given["Tags"] == [{"Key": "created_by", "Value": "instacart_pipeline"}]
    names = {key.rpartition("/")[2] for key in site.keys(made.location.removeprefix("s3://lake/"))}
    assert names == {"model.tar.gz", "output.tar.gz", "sourcedir.tar.gz"}
    assert site.left_behind() == []


def test_a_failed_training_leaves_the_version_before_and_nothing_else(sagemaker: AwsSageMaker, site: Site) -> None:
    before = put_model(site.lake)
    keys = site.keys("models/")
    with pytest.raises(JobFailed, match="the cat sat on the cable"):
        sagemaker.train(training(fail="the cat sat on the cable"), DT)
    assert sagemaker.artefact("toy", "model", DT) == before
    assert site.keys("models/") == keys
    assert site.left_behind() == []


def test_a_version_computed_from_older_rows_does_not_replace_a_newer_one(sagemaker: AwsSageMaker, site: Site) -> None:
    made = put_model(site.lake)
    newer = replace(made, lineage={"toy_features.rows": "99990101T000000000000-aaaaaa"})
    site.put(f"{made.location.rpartition('/')[0]}/published.json", _record(json.loads(newer.record())))
    assert sagemaker.train(training(), DT) == newer
    assert len({key.split("/v=")[1].split("/")[0] for key in site.keys("models/") if "/v=" in key}) == 1


def test_versions_past_their_retention_are_swept_but_for_registered_ones(sagemaker: AwsSageMaker, site: Site) -> None:
    first, second, third = (put_model(site.lake) for _ in range(3))
    long_ago = (datetime.now(timezone.utc) - timedelta(days=30)).isoformat()
    record = _record(json.loads(third.record()), [[first.location, long_ago], [second.location, long_ago]])
    site.put(f"{third.location.rpartition('/')[0]}/published.json", record)
    site.put("s3://lake/models/_registered/toy/1.json", json.dumps({"artefact": json.loads(second.record())}))
    assert list(sagemaker.sweep("toy")) == [first.location]
    assert list(sagemaker.sweep("toy")) == []
    assert not site.keys(first.location.removeprefix("s3://lake/"))
    assert site.keys(second.location.removeprefix("s3://lake/"))
    assert sagemaker.artefact("toy", "model", DT) == third


SCORING = {"source": ROWS, "ids": ("id",), "features": ("y", "x"), "score": "score"}


def test_a_transform_asks_for_the_ids_and_the_answer_alone(sagemaker: AwsSageMaker, site: Site) -> None:
    model = put_model(site.lake)
    published = sagemaker.transform(TransformJob("scores", model, **SCORING), SCORES, DT)  # type: ignore[arg-type]
    assert site.rows(SCORES) == [{"id": number, "score": 1.75 + number} for number in (1, 2, 3)]
    (asked,) = site.aws.requests.of("sagemaker", "CreateTransformJob")
    assert asked.parameters["DataProcessing"] == {
        "InputFilter": "$[1:]",
        "JoinSource": "Input",
        "OutputFilter": "$[0,-1]",
    }
    assert published.version.lineage == {
        "toy_features.rows": site.catalog.current(ROWS, DT).name,
        "toy_models.model": model.version,
    }
    assert site.left_behind() == []
    assert site.aws.client("sagemaker").list_models()["Models"] == []
    assert site.aws.client("glue").get_tables(DatabaseName="toy_unpublished")["TableList"] == []


def test_a_transform_that_fails_leaves_nothing(sagemaker: AwsSageMaker, site: Site) -> None:
    model = put_model(site.lake)
    site.fill(ROWS, [{"id": 1, "y": -1.0, "x": None}])
    with pytest.raises(JobFailed, match=r"(?s)See job logs.*-1 can't be predicted"):
        sagemaker.transform(TransformJob("scores", model, **SCORING), SCORES, DT)  # type: ignore[arg-type]
    assert site.unpublished(SCORES) == []
    assert site.left_behind() == []
    assert site.aws.client("sagemaker").list_models()["Models"] == []


def test_a_transform_with_fewer_answers_than_rows_publishes_nothing(sagemaker: AwsSageMaker, site: Site) -> None:
    model = put_model(site.lake)
    filled = site.fill(ROWS, [{"id": 1, "y": 2.0, "x": None}, {"id": 2, "y": 2.0, "x": 0.5}])
    counted = replace(
        filled, rows=3, facts={"counted": "3"}
    )  # or it would be the same upload, which keeps its first version
    site.catalog.publish(ROWS.database, ROWS.name, DT, counted)
    with pytest.raises(JobFailed, match=r"answered 2 of the 3 rows of toy_features\.rows dt=.* Nothing was published"):
        sagemaker.transform(TransformJob("scores", model, **SCORING), SCORES, DT)  # type: ignore[arg-type]
    assert site.catalog.find(SCORES, DT) is None
    assert site.unpublished(SCORES) == []


def test_a_day_without_rows_is_scored_without_a_job(sagemaker: AwsSageMaker, site: Site) -> None:
    model = put_model(site.lake)
    site.fill(ROWS, [])
    published = sagemaker.transform(TransformJob("scores", model, **SCORING), SCORES, DT)  # type: ignore[arg-type]
    assert published.version.rows == 0
    assert site.aws.requests.count("sagemaker", "CreateTransformJob") == 0


def test_columns_that_are_no_numbers_are_refused_before_anything_starts(sagemaker: AwsSageMaker, site: Site) -> None:
    named = replace(ROWS, columns=(*ROWS.columns, Column("name", "string")))
    model = put_model(site.lake)
    before = len(site.aws.jobs())
    for features, target, said in (
        (("y", "name"), SCORES, r"name of toy_features.rows are no numbers"),
        (("y", "nowhere"), SCORES, r"needs the columns nowhere, which toy_features.rows lacks"),
        (("y", "x"), DOUBLED, r"makes the columns id, score; toy_sandbox.doubled has id, y"),
    ):
        with pytest.raises(JobFailed, match=said):
            sagemaker.transform(TransformJob("scores", model, named, ("id",), features, "score"), target, DT)
    empty = replace(model, location=f"{model.location}-gone")
    with pytest.raises(ArtefactNotFound, match=r"holds no model.tar.gz"):
        sagemaker.transform(TransformJob("scores", empty, ROWS, ("id",), ("y", "x"), "score"), SCORES, DT)
    assert len(site.aws.jobs()) == before


def tuning(**given: Any) -> TuningJob:
    ranges = {"rate": Range(0.1, 0.9), "rounds": Range(1, 4, "integer")}
    return TuningJob("search", training(), ranges, "loss", **{"trials": 3, "at_once": 2, **given})


def test_a_search_tells_its_trials_and_the_best_of_them(sagemaker: AwsSageMaker, site: Site) -> None:
    made = sagemaker.tune(tuning(), DT)
    (asked,) = site.aws.requests.of("sagemaker", "CreateHyperParameterTuningJob")
    config = asked.parameters["HyperParameterTuningJobConfig"]
    assert (config["Strategy"], config["TrainingJobEarlyStoppingType"]) == ("Bayesian", "Auto")
    assert config["ResourceLimits"] == {"MaxNumberOfTrainingJobs": 3, "MaxParallelTrainingJobs": 2}
    (integers,) = config["ParameterRanges"]["IntegerParameterRanges"]
    assert integers == {"Name": "rounds", "MinValue": "1", "MaxValue": "4", "ScalingType": "Auto"}
    assert "rate" not in asked.parameters["TrainingJobDefinition"]["StaticHyperParameters"]
    assert [trial.number for trial in made.trials] == [1, 2, 3]
    best = min(made.trials, key=lambda trial: trial.objective or 0.0)
    assert made.hyperparameters == best.hyperparameters
    assert made.metrics == {"loss": best.objective}
    assert isinstance(made.hyperparameters["rounds"], int)
    trainings = [run for run in site.aws.jobs("sagemaker") if run.name.startswith("training-job/")]
    assert most_alive_at_once(trainings) == 2
    assert site.left_behind() == []


def test_a_search_whose_trials_all_fail_fails(sagemaker: AwsSageMaker, site: Site) -> None:
    with pytest.raises(
        JobFailed, match=r"(?s)search: no trial reported loss. The last that failed: .*the sky is green"
    ):
        sagemaker.tune(replace(tuning(), training=training(fail="the sky is green")), DT)
    assert site.keys("models/") == []


def test_an_artefact_that_is_not_there_is_named(sagemaker: AwsSageMaker) -> None:
    with pytest.raises(ArtefactNotFound, match=r"Nothing was published as toy/model for dt=2026-01-01"):
        sagemaker.artefact("toy", "model", "2026-01-01")


def test_a_processing_script_s_last_words_are_in_the_error(sagemaker: AwsSageMaker, site: Site) -> None:
    job = ProcessingJob("toy", "report", CODE, "nowhere.py", {"rows": ROWS})
    with pytest.raises(JobFailed, match=r"See job logs for more information.*nowhere.py") as failed:
        sagemaker.process(job, DT)
    assert "The end of its log:" in str(failed.value)
    assert site.keys("models/") == []
    assert site.left_behind() == []


def test_a_processing_that_writes_no_table_publishes_none(sagemaker: AwsSageMaker, site: Site) -> None:
    job = ProcessingJob("toy", "doubled", CODE, "double.py", {"rows": ROWS})
    with pytest.raises(JobFailed, match="ended well but wrote no Parquet file"):
        sagemaker.process_table(job, DOUBLED, DT)
    assert site.unpublished(DOUBLED) == []


def test_an_artefact_whose_files_are_gone_is_named(sagemaker: AwsSageMaker, site: Site) -> None:
    gone = replace(put_model(site.lake), location="s3://lake/models/toy/model/dt=2026-11-20/v=gone")
    before = len(site.aws.jobs())
    with pytest.raises(ArtefactNotFound, match="v=gone is gone"), sagemaker.unpacked(gone):
        pass
    with pytest.raises(ArtefactNotFound, match=r"report reads .*v=gone, which is gone"):
        sagemaker.process(ProcessingJob("toy", "report", CODE, "double.py", {"rows": ROWS}, {"model": gone}), DT)
    assert len(site.aws.jobs()) == before


def test_without_image_or_role_nothing_is_started(site: Site) -> None:
    bare = AwsSageMaker(
        lake=site.lake, image="", role="", training_instance="ml.m5.large", transform_instance="ml.m5.large"
    )
    with pytest.raises(SettingsInvalid, match="INSTACART_MODEL_IMAGE and INSTACART_SERVICE_ROLE"):
        bare.train(training(), DT)
    assert site.aws.jobs("sagemaker") == []


def test_a_quota_of_none_is_an_error_at_once_and_not_a_wait(sagemaker: AwsSageMaker, site: Site) -> None:
    fault = site.aws.faults.add("limit", "sagemaker", "CreateTrainingJob", times=None)
    fault.error = lambda call: _none_at_all()  # type: ignore[method-assign]  # noqa: ARG005
    with pytest.raises(
        JobFailed, match=r"The account's quota 'ml.m5.xlarge for training job usage' is 0, and 1 is needed"
    ):
        sagemaker.train(training(), DT)
    assert fault.hits == 1


def test_a_job_s_name_fits_and_says_what_it_is_of() -> None:
    work = Work("run", "reorder_models.basket_" + "x" * 60, "2026-11-20", "0" * 16)
    name = TrainingJobs.name_of(TrainingJobs.__new__(TrainingJobs), work, "f" * 64)
    assert len(name) <= 63
    assert name.startswith("reorder-models-basket-x")
    assert name.endswith("-" + "f" * 16)
    assert job_name("toy_models.search", "a" * 64, 32) == "toy-models-sear-" + "a" * 16


def _record(artefact: object, retired: object = ()) -> str:
    return json.dumps({"artefact": artefact, "retired": retired})


def _none_at_all() -> AwsError:
    return AwsError(
        "ResourceLimitExceeded",
        "The account-level service limit 'ml.m5.xlarge for training job usage' is 0 Instances, with current utilization of"
        " 0 Instances and a request delta of 1 Instances.",
    )
