"""The double's SageMaker: what the service's contract says, held without the code under test."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError

from instacart_pipeline_tests.aws_double.support import BUCKET, Lake, eventually

ROLE = "arn:aws:iam::123456789012:role/instacart"
IMAGE = "492215442770.dkr.ecr.eu-central-1.amazonaws.com/sagemaker-xgboost:3.2-0"
TRAIN = b"""
import argparse, os, pathlib, sys
parser = argparse.ArgumentParser()
parser.add_argument("--depth", type=int)
depth = parser.parse_args().depth
folder = pathlib.Path(os.environ["SM_CHANNEL_TRAIN"])
print("loss=9.0")
print(f"loss=0.{depth}")
if depth > 7:
    sys.exit("too deep")
total = sum(len(each.read_text()) for each in folder.rglob("*.txt"))
pathlib.Path(os.environ["SM_MODEL_DIR"], "model.txt").write_text(str(total))
"""
SERVE = b"""
def model_fn(folder): return float(open(folder + "/model.txt").read())
def input_fn(body, kind):
    if kind != "text/csv": raise ValueError(kind)
    return [[float(field or 0) for field in line.split(",")] for line in body.decode().splitlines()]
def predict_fn(rows, model): return [model / row[0] for row in rows]
def output_fn(answers, accept): return "".join(f"{each}\\n" for each in answers), accept
"""


def packed(files: dict[str, bytes]) -> bytes:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w:gz") as archive:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return made.getvalue()


class Studio:
    """A lake with code and data, and clients of SageMaker."""

    def __init__(self, lake: Lake) -> None:
        self.lake, self.aws = lake, lake.aws
        self.api, self.runtime = lake.aws.client("sagemaker"), lake.aws.client("sagemaker-runtime")
        self.code = lake.put("code/sourcedir.tar.gz", packed({"train.py": TRAIN, "serve.py": SERVE}))
        lake.put("data/part/a.txt", "four")
        lake.put("data/b.txt", "sixsix")

    def request(self, name: str = "job-1", depth: int = 5, **changes: Any) -> dict[str, Any]:
        given = {"depth": depth, "sagemaker_program": "train.py", "sagemaker_submit_directory": self.code}
        source = {"S3DataType": "S3Prefix", "S3Uri": f"s3://{BUCKET}/data/"}
        return {
            "TrainingJobName": name,
            "HyperParameters": {key: json.dumps(value) for key, value in given.items()},
            "AlgorithmSpecification": {
                "TrainingImage": IMAGE,
                "TrainingInputMode": "File",
                "MetricDefinitions": [{"Name": "loss", "Regex": r"loss=([\d.]+)"}],
            },
            "RoleArn": ROLE,
            "InputDataConfig": [{"ChannelName": "train", "DataSource": {"S3DataSource": source}}],
            "OutputDataConfig": {"S3OutputPath": f"s3://{BUCKET}/out"},
            "ResourceConfig": {"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 5},
            "StoppingCondition": {"MaxRuntimeInSeconds": 60},
            **changes,
        }

    def train(self, **given: Any) -> dict[str, Any]:
        request = self.request(**given)
        self.api.create_training_job(**request)
        return self.ended(request["TrainingJobName"])

    def ended(self, name: str) -> dict[str, Any]:
        def look() -> Any:
            found = self.api.describe_training_job(TrainingJobName=name)
            return found if found["TrainingJobStatus"] in ("Completed", "Failed", "Stopped") else None

        found: dict[str, Any] = eventually(look)
        return found

    def model(self, name: str = "model-1") -> str:
        data = self.train(name=f"for-{name}")["ModelArtifacts"]["S3ModelArtifacts"]
        environment = {"SAGEMAKER_PROGRAM": "serve.py", "SAGEMAKER_SUBMIT_DIRECTORY": self.code}
        container = {"Image": IMAGE, "ModelDataUrl": data, "Environment": environment}
        self.api.create_model(ModelName=name, PrimaryContainer=container, ExecutionRoleArn=ROLE)
        return name

    def endpoint(self, name: str = "shop") -> None:
        variant = {"VariantName": "only", "ModelName": self.model(), "InstanceType": "ml.m5.large"}
        variants = [{**variant, "InitialInstanceCount": 1}]
        self.api.create_endpoint_config(EndpointConfigName="config-1", ProductionVariants=variants)
        self.api.create_endpoint(EndpointName=name, EndpointConfigName="config-1")
        eventually(lambda: self.api.describe_endpoint(EndpointName=name)["EndpointStatus"] == "InService")


@pytest.fixture
def studio(lake: Lake) -> Iterator[Studio]:
    yield Studio(lake)


def refusal(call: Any, **given: Any) -> tuple[str, str]:
    with pytest.raises(ClientError) as refused:
        call(**given)
    error = refused.value.response["Error"]
    return error["Code"], error["Message"]


def test_a_training_runs_its_script_and_leaves_the_model_below_its_own_name(studio: Studio) -> None:
    found = studio.train()
    assert (found["TrainingJobStatus"], found["SecondaryStatus"]) == ("Completed", "Completed")
    assert found["ModelArtifacts"]["S3ModelArtifacts"] == f"s3://{BUCKET}/out/job-1/output/model.tar.gz"
    assert [(each["MetricName"], each["Value"]) for each in found["FinalMetricDataList"]] == [("loss", 0.5)]
    assert studio.lake.listed("out/") == ["out/job-1/output/model.tar.gz"]  # it reported nothing
    body = studio.lake.s3.get_object(Bucket=BUCKET, Key="out/job-1/output/model.tar.gz")["Body"].read()
    with tarfile.open(fileobj=io.BytesIO(body)) as archive:
        model = archive.extractfile("model.txt")
        assert model
        assert model.read() == b"10"


def test_a_failed_script_is_told_with_its_exit_code_and_its_last_words(studio: Studio) -> None:
    found = studio.train(depth=8)
    assert found["TrainingJobStatus"] == "Failed"
    assert found["FailureReason"].startswith("AlgorithmError: ExecuteUserScriptError:\nExitCode 1")
    assert "too deep" in found["FailureReason"]
    streams = studio.aws.client("logs").describe_log_streams(
        logGroupName="/aws/sagemaker/TrainingJobs", logStreamNamePrefix="job-1/"
    )["logStreams"]
    assert len(streams) == 1


def test_names_are_unique_for_ever(studio: Studio) -> None:
    studio.train()
    code, message = refusal(studio.api.create_training_job, **studio.request())
    assert code == "ResourceInUse"
    assert "must be unique within an AWS account and region" in message


def test_what_is_not_there_is_a_validation_exception(studio: Studio) -> None:
    told = refusal(studio.api.describe_training_job, TrainingJobName="nothing")
    assert told == ("ValidationException", "Requested resource not found.")
    code, message = refusal(studio.api.describe_endpoint, EndpointName="nothing")
    assert (code, message.split('"')[0]) == ("ValidationException", "Could not find endpoint ")


def test_only_a_job_that_runs_can_be_stopped(studio: Studio) -> None:
    studio.aws.outcomes.stuck("sagemaker")
    studio.api.create_training_job(**studio.request())
    studio.api.stop_training_job(TrainingJobName="job-1")
    assert studio.ended("job-1")["TrainingJobStatus"] == "Stopped"
    told = refusal(studio.api.stop_training_job, TrainingJobName="job-1")
    assert told == ("ValidationException", "The request was rejected because the training job is in status Stopped.")


def test_a_request_outside_the_models_limits_is_refused(studio: Studio) -> None:
    assert refusal(studio.api.create_training_job, **studio.request(name="x" * 64))[0] == "ValidationException"
    assert studio.aws.jobs("sagemaker") == []


def test_a_prefix_with_nothing_below_it_fails_the_job(studio: Studio) -> None:
    request = studio.request()
    request["InputDataConfig"][0]["DataSource"]["S3DataSource"]["S3Uri"] = f"s3://{BUCKET}/nothing/"
    studio.api.create_training_job(**request)
    assert "No S3 objects found" in studio.ended("job-1")["FailureReason"]


def test_a_transform_filters_joins_and_filters_again(studio: Studio) -> None:
    studio.lake.put("rows/x", "7,extra,2\n8,extra,4\n")
    place = {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": f"s3://{BUCKET}/rows/"}}
    studio.api.create_transform_job(
        TransformJobName="t-1",
        ModelName=studio.model(),
        TransformInput={"DataSource": place, "ContentType": "text/csv", "SplitType": "Line"},
        TransformOutput={"S3OutputPath": f"s3://{BUCKET}/answers", "Accept": "text/csv", "AssembleWith": "Line"},
        TransformResources={"InstanceType": "ml.m5.large", "InstanceCount": 1},
        DataProcessing={"InputFilter": "$[2:]", "JoinSource": "Input", "OutputFilter": "$[0,-1]"},
    )
    eventually(lambda: studio.api.describe_transform_job(TransformJobName="t-1")["TransformJobStatus"] == "Completed")
    body = studio.lake.s3.get_object(Bucket=BUCKET, Key="answers/x.out")["Body"].read()
    assert body == b"7,5.0\n8,2.5\n"


def test_an_endpoint_answers_by_the_model_s_own_hooks(studio: Studio) -> None:
    studio.endpoint()
    answer = studio.runtime.invoke_endpoint(
        EndpointName="shop", Body=b"4\n", ContentType="text/csv", CustomAttributes="who=me"
    )
    assert (answer["Body"].read(), answer["CustomAttributes"]) == (b"2.5\n", "who=me")


@pytest.mark.parametrize(("body", "kind", "status"), [(b"0\n", "text/csv", 400), (b"{}", "application/json", 415)])
def test_what_the_model_refuses_is_a_model_error_with_its_status(
    studio: Studio, body: bytes, kind: str, status: int
) -> None:
    studio.endpoint()
    with pytest.raises(ClientError) as refused:
        studio.runtime.invoke_endpoint(EndpointName="shop", Body=body, ContentType=kind)
    response = refused.value.response
    assert response["Error"]["Code"] == "ModelError"
    assert response["ResponseMetadata"]["HTTPStatusCode"] == 424
    assert response["OriginalStatusCode"] == status


def test_an_endpoint_under_way_can_be_neither_updated_nor_deleted(studio: Studio) -> None:
    studio.endpoint()
    studio.aws.sagemaker.endpoints.seconds = 0.5
    studio.api.update_endpoint(EndpointName="shop", EndpointConfigName="config-1")
    for call in (studio.api.delete_endpoint, studio.api.update_endpoint):
        given = {"EndpointName": "shop"} if call == studio.api.delete_endpoint else {}
        given = given or {"EndpointName": "shop", "EndpointConfigName": "config-1"}
        assert "in-progress endpoint" in refusal(call, **given)[1]
    assert studio.runtime.invoke_endpoint(EndpointName="shop", Body=b"4\n")["Body"].read() == b"2.5\n"


def test_a_package_s_card_must_be_one_and_its_properties_short(studio: Studio) -> None:
    studio.api.create_model_package_group(ModelPackageGroupName="toy")
    given: dict[str, Any] = {"ModelPackageGroupName": "toy"}
    card = {"ModelCardContent": "no json", "ModelCardStatus": "Draft"}
    assert "not valid JSON" in refusal(studio.api.create_model_package, **given, ModelCard=card)[1]
    properties = {"long": "x" * 257}
    assert "too long" in refusal(studio.api.create_model_package, **given, CustomerMetadataProperties=properties)[1]
    one = studio.api.create_model_package(**given, ClientToken="a", ModelApprovalStatus="Approved")
    assert studio.api.create_model_package(**given, ClientToken="a")["ModelPackageArn"] == one["ModelPackageArn"]
