"""Glue crawlers and classifiers, as the API shows them. What a crawl does is in crawl.py."""

from __future__ import annotations

import json
import threading
import time
import uuid
from typing import Any

from instacart_pipeline_tests.aws_double.catalog import Catalog
from instacart_pipeline_tests.aws_double.crawl import GROUP, Crawl
from instacart_pipeline_tests.aws_double.jobs import JobRun, Jobs, JobTiming
from instacart_pipeline_tests.aws_double.logs import Logs
from instacart_pipeline_tests.aws_double.objects import Objects
from instacart_pipeline_tests.aws_double.paging import page
from instacart_pipeline_tests.aws_double.wire import AwsError, Parameters

_STATES = {
    "queued": "RUNNING",
    "running": "RUNNING",
    "stopping": "RUNNING",
    "succeeded": "COMPLETED",
    "failed": "FAILED",
    "stopped": "STOPPED",
    "timed_out": "FAILED",
}
_LAST_CRAWL = {"COMPLETED": "SUCCEEDED", "FAILED": "FAILED", "STOPPED": "CANCELLED"}
_OPERATORS = {
    "EQ": lambda left, right: left == right,
    "NE": lambda left, right: left != right,
    "GT": lambda left, right: left > right,
    "GE": lambda left, right: left >= right,
    "LT": lambda left, right: left < right,
    "LE": lambda left, right: left <= right,
}


class Crawlers:
    """The part of Glue's API that is about crawlers and classifiers."""

    def __init__(self, jobs: Jobs, objects: Objects, catalog: Catalog, logs: Logs, pace: JobTiming) -> None:
        self._jobs, self._objects, self._catalog, self._logs, self._pace = jobs, objects, catalog, logs, pace
        self._crawlers: dict[str, Parameters] = {}
        self._classifiers: dict[str, Parameters] = {}
        self._crawls: dict[str, list[tuple[JobRun, Crawl]]] = {}
        self._lock = threading.Lock()

    def create_crawler(self, parameters: Parameters) -> Parameters:
        """Make a crawler."""
        with self._lock:
            if parameters["Name"] in self._crawlers:
                raise AwsError("AlreadyExistsException", f"Crawler with name {parameters['Name']} already exists")
            self._check(parameters)
            now = time.time()
            settings = {name: value for name, value in parameters.items() if name not in ("Tags", "Schedule")}
            self._crawlers[parameters["Name"]] = {**settings, "CreationTime": now, "LastUpdated": now, "Version": 1}
        return {}

    def update_crawler(self, parameters: Parameters) -> Parameters:
        """Change a crawler that is not running."""
        with self._lock:
            crawler = self._idle(parameters["Name"])
            self._check(parameters)
            crawler.update({name: value for name, value in parameters.items() if name != "Schedule"})
            crawler.update(LastUpdated=time.time(), Version=crawler["Version"] + 1)
        return {}

    def delete_crawler(self, parameters: Parameters) -> Parameters:
        """Remove a crawler that is not running."""
        with self._lock:
            self._idle(parameters["Name"])
            del self._crawlers[parameters["Name"]]
            self._crawls.pop(parameters["Name"], None)
        return {}

    def get_crawler(self, parameters: Parameters) -> Parameters:
        """A crawler with its state and last crawl."""
        with self._lock:
            name = parameters["Name"]
            defaults: Parameters = {
                "Classifiers": [],
                "SchemaChangePolicy": {
                    "UpdateBehavior": "UPDATE_IN_DATABASE",
                    "DeleteBehavior": "DEPRECATE_IN_DATABASE",
                },
                "RecrawlPolicy": {"RecrawlBehavior": "CRAWL_EVERYTHING"},
                "CrawlElapsedTime": 0,
            }
            found = {**defaults, **self._find(name), "State": self._state(name)}
            ended = [run for run, _ in self._crawls.get(name, []) if not run.alive]
            if ended:
                run = ended[-1]
                found["LastCrawl"] = {
                    "Status": _LAST_CRAWL[run.state],
                    "ErrorMessage": run.error or None,
                    "StartTime": run.started,
                    **_log_place(run),
                }
        return {"Crawler": found}

    def start_crawler(self, parameters: Parameters) -> Parameters:
        """Start a crawl."""
        with self._lock:
            name = parameters["Name"]
            crawler = dict(self._idle(name))
            classifiers = [self._classifiers[each] for each in crawler.get("Classifiers") or []]
            run = JobRun("crawler", str(uuid.uuid4()), name, _STATES, json.dumps(crawler["Targets"]))
            crawl = Crawl(crawler, classifiers, run, self._objects, self._catalog, self._logs)
            self._crawls.setdefault(name, []).append((run, crawl))
            self._jobs.start(run, crawl.work, crawl.fail)
        return {}

    def stop_crawler(self, parameters: Parameters) -> Parameters:
        """Stop the crawl that is running."""
        with self._lock:
            name = parameters["Name"]
            self._find(name)
            state = self._state(name)
            if state == "STOPPING":
                raise AwsError("CrawlerStoppingException", f"Crawler with name {name} is stopping")
            if state == "READY":
                raise AwsError("CrawlerNotRunningException", f"Crawler with name {name} isn't running")
            self._jobs.stop(self._crawls[name][-1][0])
        return {}

    def list_crawls(self, parameters: Parameters) -> Parameters:
        """A crawler's crawls, the newest first."""
        with self._lock:
            self._find(parameters["CrawlerName"])
            crawls = [_history(run, crawl) for run, crawl in self._crawls.get(parameters["CrawlerName"], [])][::-1]
        for rule in parameters.get("Filters") or []:
            crawls = [each for each in crawls if _passes(each, rule)]
        shown, token = page(crawls, parameters.get("NextToken"), parameters.get("MaxResults") or 20)
        return {"Crawls": shown, "NextToken": token}

    def create_classifier(self, parameters: Parameters) -> Parameters:
        """Make a CSV classifier."""
        classifier = _csv(parameters)
        with self._lock:
            if classifier["Name"] in self._classifiers:
                raise AwsError("AlreadyExistsException", f"Classifier with name {classifier['Name']} already exists")
            now = time.time()
            self._classifiers[classifier["Name"]] = {
                **classifier,
                "CreationTime": now,
                "LastUpdated": now,
                "Version": 1,
            }
        return {}

    def update_classifier(self, parameters: Parameters) -> Parameters:
        """Change a classifier."""
        classifier = _csv(parameters)
        with self._lock:
            known = self._classifier(classifier["Name"])
            known.update(classifier, LastUpdated=time.time(), Version=known["Version"] + 1)
        return {}

    def get_classifier(self, parameters: Parameters) -> Parameters:
        """A classifier."""
        return {"Classifier": {"CsvClassifier": self._classifier(parameters["Name"])}}

    def delete_classifier(self, parameters: Parameters) -> Parameters:
        """Remove a classifier."""
        self._classifier(parameters["Name"])
        del self._classifiers[parameters["Name"]]
        return {}

    def _check(self, parameters: Parameters) -> None:
        for name in parameters.get("Classifiers") or []:
            self._classifier(name)
        if "Targets" in parameters and not parameters["Targets"].get("S3Targets"):
            raise AwsError(
                "InvalidInputException", "Crawler must have at least one target; the double knows S3 targets"
            )

    def _classifier(self, name: str) -> Parameters:
        if name not in self._classifiers:
            raise AwsError("EntityNotFoundException", f"Classifier with name {name} not found")
        return self._classifiers[name]

    def _find(self, name: str) -> Parameters:
        if name not in self._crawlers:
            raise AwsError("EntityNotFoundException", f"Crawler with name {name} does not exist")
        return self._crawlers[name]

    def _idle(self, name: str) -> Parameters:
        crawler = self._find(name)
        if self._state(name) != "READY":
            raise AwsError("CrawlerRunningException", f"Crawler with name {name} has already started")
        return crawler

    def _state(self, name: str) -> str:
        """A crawler is STOPPING for a while after each of its crawls, and can't be started meanwhile."""
        crawls = self._crawls.get(name)
        if not crawls:
            return "READY"
        run = crawls[-1][0]
        if run.ended is not None:
            return "STOPPING" if time.time() - run.ended < self._pace.stopping else "READY"
        return "STOPPING" if run.phase == "stopping" else run.state


def _csv(parameters: Parameters) -> Parameters:
    found = parameters.get("CsvClassifier")
    if not isinstance(found, dict):
        raise AwsError("InvalidInputException", "the double knows CSV classifiers only")
    return found


def _log_place(run: JobRun) -> dict[str, str]:
    return {"LogGroup": GROUP, "LogStream": run.name, "MessagePrefix": run.id}


def _history(run: JobRun, crawl: Crawl) -> dict[str, Any]:
    return {
        "CrawlId": run.id,
        "State": run.state,
        "StartTime": run.started,
        "EndTime": run.ended,
        "Summary": crawl.summary() if run.phase == "succeeded" else None,
        "ErrorMessage": run.error or None,
        "DPUHour": round(max((run.ended - run.started) / 3600, 0.001), 6) if run.ended else 0.0,
        **_log_place(run),
    }


def _passes(crawl: dict[str, Any], rule: Parameters) -> bool:
    names = {
        "CRAWL_ID": "CrawlId",
        "STATE": "State",
        "START_TIME": "StartTime",
        "END_TIME": "EndTime",
        "DPU_HOUR": "DPUHour",
    }
    value: Any = crawl[names[rule["FieldName"]]]
    given: Any = rule["FieldValue"]
    if rule["FieldName"] in ("START_TIME", "END_TIME"):
        value, given = (value or 0) * 1000, float(given)  # milliseconds
    elif rule["FieldName"] == "DPU_HOUR":
        given = float(given)
    return bool(_OPERATORS[rule["FilterOperator"]](value, given))
