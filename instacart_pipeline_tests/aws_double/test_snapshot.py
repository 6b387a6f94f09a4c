"""Snapshots: what a double holds is given back, to the same double or to another one."""

from __future__ import annotations

import json
from typing import Any

import pytest
from botocore.exceptions import ClientError

from instacart_pipeline_tests.aws_double import AwsDouble
from instacart_pipeline_tests.aws_double.support import BUCKET, OPEN_CSV, Lake, eventually

STEPS = [{"Action": {"Operation": "RENAME", "Parameters": {"sourceColumn": "a", "targetColumn": "b"}}}]
CODE = "import sys; print(sys.argv[2])"


def fill(lake: Lake) -> None:
    """Put something into every service that a deployment makes something in, and let a job of each run."""
    aws = lake.aws
    lake.put("orders/a.csv", "id\n1\n2\n")
    lake.table("orders", {"id": "string"}, OPEN_CSV, **{"skip.header.line.count": "1"})
    lake.athena.create_work_group(Name="mart", Configuration={"BytesScannedCutoffPerQuery": 10_000_000})
    url = aws.client("sqs").create_queue(QueueName="alerts")["QueueUrl"]
    attributes = aws.client("sqs").get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])
    topic = aws.client("sns").create_topic(Name="alerts")["TopicArn"]
    raw = {"RawMessageDelivery": "true"}
    aws.client("sns").subscribe(
        TopicArn=topic, Protocol="sqs", Endpoint=attributes["Attributes"]["QueueArn"], Attributes=raw
    )
    kinesis, dynamodb, databrew = (aws.client(each) for each in ("kinesis", "dynamodb", "databrew"))
    kinesis.create_stream(StreamName="purchases", ShardCount=1)
    kinesis.put_record(StreamName="purchases", Data=b"one", PartitionKey="1")
    dynamodb.create_table(
        TableName="customers",
        KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
        BillingMode="PAY_PER_REQUEST",
    )
    dynamodb.put_item(TableName="customers", Item={"id": {"S": "1"}})
    databrew.create_recipe(Name="recipe", Steps=STEPS)
    databrew.publish_recipe(Name="recipe")
    script = lake.put("code/job.py", CODE)
    lake.glue.create_job(Name="job", Role="role", Command={"Name": "pythonshell", "ScriptLocation": script})
    run = lake.glue.start_job_run(JobName="job")["JobRunId"]
    targets = {"S3Targets": [{"Path": f"s3://{BUCKET}/orders/"}]}
    lake.glue.create_crawler(Name="crawler", Role="role", DatabaseName="shop", Targets=targets)
    lake.glue.start_crawler(Name="crawler")
    aws.client("sagemaker").create_model_package_group(ModelPackageGroupName="models")
    data = aws.client("redshift-data")
    statements = ["CREATE SCHEMA shop", "CREATE TABLE shop.t (a int not null)", "INSERT INTO shop.t VALUES (7)"]
    data.batch_execute_statement(WorkgroupName="warehouse", Database="dev", Sqls=statements)
    eventually(lambda: not any(job.alive for job in aws.jobs()))
    eventually(lambda: lake.glue.get_crawler(Name="crawler")["Crawler"]["State"] == "READY")
    assert lake.glue.get_job_run(JobName="job", RunId=run)["JobRun"]["JobRunState"] == "SUCCEEDED"


def told(lake: Lake) -> dict[str, Any]:
    """What every service says of what `fill` put there."""
    aws = lake.aws
    sqs, kinesis, dynamodb = (aws.client(each) for each in ("sqs", "kinesis", "dynamodb"))
    aws.client("sns").publish(TopicArn=aws.client("sns").list_topics()["Topics"][0]["TopicArn"], Message="failed")
    (message,) = sqs.receive_message(QueueUrl=sqs.get_queue_url(QueueName="alerts")["QueueUrl"])["Messages"]
    shard = kinesis.list_shards(StreamName="purchases")["Shards"][0]["ShardId"]
    start = kinesis.get_shard_iterator(StreamName="purchases", ShardId=shard, ShardIteratorType="TRIM_HORIZON")
    data, place = aws.client("redshift-data"), {"WorkgroupName": "warehouse", "Database": "dev"}
    statement = data.execute_statement(**place, Sql="SELECT a FROM shop.t")["Id"]
    eventually(lambda: data.describe_statement(Id=statement)["Status"] == "FINISHED")
    objects = lake.s3.list_objects_v2(Bucket=BUCKET, Prefix="orders/")["Contents"]
    (run,) = lake.glue.get_job_runs(JobName="job")["JobRuns"]
    answers = {
        "objects": [(each["Key"], each["ETag"], each["LastModified"]) for each in objects],
        "rows": lake.query("SELECT id FROM shop.orders ORDER BY 1"),
        "workgroup": lake.athena.get_work_group(WorkGroup="mart")["WorkGroup"]["Configuration"],
        "message": message["Body"],
        "records": [each["Data"] for each in kinesis.get_records(ShardIterator=start["ShardIterator"])["Records"]],
        "items": dynamodb.scan(TableName="customers")["Items"],
        "recipe": aws.client("databrew").describe_recipe(Name="recipe")["RecipeVersion"],
        "log": aws.client("logs").get_log_events(logGroupName="/aws-glue/jobs/output", logStreamName=run["Id"])[
            "events"
        ],
        "crawls": lake.glue.list_crawls(CrawlerName="crawler")["Crawls"],
        "groups": aws.client("sagemaker").list_model_package_groups()["ModelPackageGroupSummaryList"],
        "warehouse": data.get_statement_result(Id=statement)["Records"],
    }
    return {name: json.loads(json.dumps(answer, default=str)) for name, answer in answers.items()}


def test_a_double_is_again_as_it_was_and_so_is_another(aws: AwsDouble, lake: Lake) -> None:
    fill(lake)
    kept = aws.snapshot()
    before = told(lake)
    lake.put("orders/b.csv", "id\n3\n")
    lake.glue.delete_table(DatabaseName="shop", Name="orders")
    lake.athena.create_work_group(Name="other")
    aws.client("databrew").publish_recipe(Name="recipe")
    aws.client("dynamodb").put_item(TableName="customers", Item={"id": {"S": "2"}})
    aws.faults.add("denied", "s3", times=None)
    aws.outcomes.failed("athena")
    aws.outcomes.stuck("glue")
    lake.glue.start_job_run(JobName="job")
    aws.restore(kept)
    assert not aws.jobs()
    assert not list(aws.requests)
    assert told(lake) == before
    with pytest.raises(ClientError, match="not found"):
        lake.athena.get_work_group(WorkGroup="other")
    aws.close()
    with AwsDouble() as other:
        other.restore(kept)
        assert told(Lake(other)) == before
        assert len(other.client("s3").list_buckets()["Buckets"]) == 1
        with pytest.raises(ClientError, match="PreconditionFailed"):
            other.client("s3").put_object(Bucket=BUCKET, Key="orders/a.csv", Body=b"", IfNoneMatch="*")


def test_a_snapshot_waits_for_no_job(aws: AwsDouble, lake: Lake) -> None:
    aws.outcomes.stuck("athena")
    lake.start("SELECT 1")
    with pytest.raises(RuntimeError, match="still runs"):
        aws.snapshot()
