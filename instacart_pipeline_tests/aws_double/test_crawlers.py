"""Glue crawlers of the double, as unchanged boto3 sees them."""

from __future__ import annotations

import gzip
from typing import Any

import pytest

from instacart_pipeline_tests.aws_double import AwsDouble
from instacart_pipeline_tests.aws_double.support import BUCKET, Lake, eventually

DAYS = ("2026-11-19", "2026-11-20")


class Crawler:
    """A crawler of the folder products/, with a CSV classifier."""

    def __init__(self, lake: Lake, **settings: Any) -> None:
        self.glue = lake.glue
        self.glue.create_classifier(
            CsvClassifier={"Name": "csv", "Delimiter": ",", "QuoteSymbol": '"', "ContainsHeader": "PRESENT"}
        )
        targets = {"S3Targets": [{"Path": f"s3://{BUCKET}/products/"}]}
        definition = {"Role": "role", "DatabaseName": "shop", "Targets": targets, "Classifiers": ["csv"], **settings}
        self.glue.create_crawler(Name="crawler", **definition)

    @property
    def state(self) -> str:
        return str(self.glue.get_crawler(Name="crawler")["Crawler"]["State"])

    def start(self) -> None:
        self.glue.start_crawler(Name="crawler")

    def ended(self) -> Any:
        eventually(lambda: self.state == "READY")
        return self.glue.list_crawls(CrawlerName="crawler")["Crawls"][0]

    def crawl(self) -> Any:
        self.start()
        return self.ended()


def upload(lake: Lake, day: str, *rows: str, header: str = "product_id,product_name,price") -> None:
    lake.put(f"products/dt={day}/part.csv", "\n".join([header, *rows]) + "\n")


def partitions(lake: Lake) -> dict[str, Any]:
    found = lake.glue.get_partitions(DatabaseName="shop", TableName="products")["Partitions"]
    return {each["Values"][0]: each for each in found}


def test_a_crawl_enters_the_table_and_its_partitions(lake: Lake) -> None:
    upload(lake, DAYS[0], '1,"tea, green",1.50', "2,bread,2")
    body = gzip.compress(b'product_id,product_name,price\n3,"say ""hi""",3.0\n')
    lake.put(f"products/dt={DAYS[1]}/part.csv.gz", body)
    crawl = Crawler(lake).crawl()
    assert (crawl["State"], crawl["DPUHour"] > 0, crawl["EndTime"] > crawl["StartTime"]) == ("COMPLETED", True, True)
    table = lake.glue.get_table(DatabaseName="shop", Name="products")["Table"]
    columns = [(column["Name"], column["Type"]) for column in table["StorageDescriptor"]["Columns"]]
    assert columns == [("product_id", "bigint"), ("product_name", "string"), ("price", "double")]
    assert table["PartitionKeys"] == [{"Name": "dt", "Type": "string"}]
    assert table["StorageDescriptor"]["SerdeInfo"]["SerializationLibrary"].endswith("OpenCSVSerde")
    facts = {
        name: table["Parameters"][name] for name in ("classification", "skip.header.line.count", "UPDATED_BY_CRAWLER")
    }
    assert facts == {"classification": "csv", "skip.header.line.count": "1", "UPDATED_BY_CRAWLER": "crawler"}
    assert {day: each["StorageDescriptor"]["Location"] for day, each in partitions(lake).items()} == {
        day: f"s3://{BUCKET}/products/dt={day}/" for day in DAYS
    }
    assert lake.query("SELECT product_name, price FROM shop.products WHERE dt = '2026-11-20'") == [['say "hi"', "3.0"]]
    assert lake.query("SELECT product_name FROM shop.products WHERE product_id = 1") == [["tea, green"]]


def test_a_second_crawl_leaves_what_others_wrote_on_a_partition(lake: Lake) -> None:
    upload(lake, DAYS[0], "1,tea,1")
    crawler = Crawler(lake, TablePrefix="")
    crawler.crawl()
    partition = partitions(lake)[DAYS[0]]
    kept = {name: partition[name] for name in ("Values", "StorageDescriptor", "Parameters")}
    kept["Parameters"]["our.mark"] = "42"
    lake.glue.update_partition(
        DatabaseName="shop", TableName="products", PartitionValueList=[DAYS[0]], PartitionInput=kept
    )
    upload(lake, DAYS[0], "1,tea,1", "2,bread,2")
    upload(lake, DAYS[1], "1,tea,1,x", header="product_id,product_name,price,extra")
    crawler.crawl()
    found = partitions(lake)
    assert (found[DAYS[0]]["Parameters"]["our.mark"], found[DAYS[0]]["Parameters"]["recordCount"]) == ("42", "2")
    table = lake.glue.get_table(DatabaseName="shop", Name="products")["Table"]
    assert [each["Name"] for each in table["StorageDescriptor"]["Columns"]][-1] == "extra"


def test_a_folder_that_is_gone_is_treated_as_the_policy_says(lake: Lake) -> None:
    for day in DAYS:
        upload(lake, day, "1,tea,1")
    crawler = Crawler(lake)
    crawler.crawl()
    lake.s3.delete_object(Bucket=BUCKET, Key=f"products/dt={DAYS[0]}/part.csv")
    crawler.crawl()
    assert "DEPRECATED_BY_CRAWLER" in partitions(lake)[DAYS[0]]["Parameters"]
    policy = {"UpdateBehavior": "UPDATE_IN_DATABASE", "DeleteBehavior": "DELETE_FROM_DATABASE"}
    crawler.glue.update_crawler(Name="crawler", SchemaChangePolicy=policy)
    crawler.crawl()
    assert list(partitions(lake)) == [DAYS[1]]


def test_a_running_crawler_is_neither_started_nor_changed(aws: AwsDouble, lake: Lake) -> None:
    crawler = Crawler(lake)
    aws.outcomes.stuck("crawler")
    crawler.start()
    eventually(lambda: crawler.state == "RUNNING")
    for call in (
        crawler.start,
        lambda: crawler.glue.update_crawler(Name="crawler"),
        lambda: crawler.glue.delete_crawler(Name="crawler"),
    ):
        with pytest.raises(crawler.glue.exceptions.CrawlerRunningException):
            call()
    crawler.glue.stop_crawler(Name="crawler")
    assert crawler.ended()["State"] == "STOPPED"
    assert crawler.glue.get_crawler(Name="crawler")["Crawler"]["LastCrawl"]["Status"] == "CANCELLED"
    with pytest.raises(crawler.glue.exceptions.CrawlerNotRunningException):
        crawler.glue.stop_crawler(Name="crawler")


def test_crawls_are_listed_newest_first_and_filtered(aws: AwsDouble, lake: Lake) -> None:
    upload(lake, DAYS[0], "1,tea,1")
    crawler = Crawler(lake)
    crawler.crawl()
    aws.outcomes.failed("crawler", "Access denied to the bucket")
    failed = crawler.crawl()
    assert (failed["State"], failed["ErrorMessage"]) == ("FAILED", "Access denied to the bucket")
    crawler.crawl()
    crawls = crawler.glue.list_crawls(CrawlerName="crawler", MaxResults=2)
    assert [each["State"] for each in crawls["Crawls"]] == ["COMPLETED", "FAILED"]
    more = crawler.glue.list_crawls(CrawlerName="crawler", NextToken=crawls["NextToken"])["Crawls"]
    assert [each["State"] for each in more] == ["COMPLETED"]
    rule = {"FieldName": "STATE", "FilterOperator": "EQ", "FieldValue": "FAILED"}
    only = crawler.glue.list_crawls(CrawlerName="crawler", Filters=[rule])["Crawls"]
    assert [each["CrawlId"] for each in only] == [failed["CrawlId"]]
    log = aws.client("logs").get_log_events(logGroupName="/aws-glue/crawlers", logStreamName="crawler")["events"]
    assert any(failed["CrawlId"] in event["message"] and "Access denied" in event["message"] for event in log)


def test_partitions_that_inherit_take_the_columns_that_stand_in_the_table(lake: Lake) -> None:
    upload(lake, DAYS[0], "1,tea,1")
    output = '{"Version": 1.0, "CrawlerOutput": {"Partitions": {"AddOrUpdateBehavior": "InheritFromTable"}}}'
    policy = {"UpdateBehavior": "LOG", "DeleteBehavior": "LOG"}
    crawler = Crawler(lake, Configuration=output, SchemaChangePolicy=policy)
    crawler.crawl()
    table = lake.glue.get_table(DatabaseName="shop", Name="products")["Table"]
    texts = [{"Name": column["Name"], "Type": "string"} for column in table["StorageDescriptor"]["Columns"]]
    definition = {name: table[name] for name in ("Name", "StorageDescriptor", "PartitionKeys", "Parameters")}
    definition["StorageDescriptor"]["Columns"] = texts
    lake.glue.update_table(DatabaseName="shop", TableInput=definition)
    upload(lake, DAYS[1], "2,bread,")
    crawler.crawl()
    assert partitions(lake)[DAYS[1]]["StorageDescriptor"]["Columns"] == texts
    assert lake.query("SELECT product_id, price FROM shop.products WHERE dt = '2026-11-20'") == [["2", ""]]


def test_days_whose_values_look_different_do_not_fit_together_unless_partitions_inherit(lake: Lake) -> None:
    upload(lake, DAYS[0], "1,tea,1.5")
    upload(lake, DAYS[1], "1,tea,1")
    Crawler(lake).crawl()
    assert lake.failure("SELECT price FROM shop.products").startswith("HIVE_PARTITION_SCHEMA_MISMATCH")


def test_the_database_must_be_there(lake: Lake) -> None:
    assert "nowhere" in Crawler(lake, DatabaseName="nowhere").crawl()["ErrorMessage"]
