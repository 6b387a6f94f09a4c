"""A crawl: folders of CSV objects in S3 become tables and partitions of the Glue catalog, as the real crawler enters them."""

from __future__ import annotations

import fnmatch
import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from instacart_pipeline_tests.aws_double.catalog import Catalog, Partition, Table
from instacart_pipeline_tests.aws_double.crawl_csv import Found, classify
from instacart_pipeline_tests.aws_double.jobs import JobFailure, JobRun
from instacart_pipeline_tests.aws_double.logs import Logs
from instacart_pipeline_tests.aws_double.objects import Objects, S3Object, split_uri
from instacart_pipeline_tests.aws_double.wire import Parameters

GROUP = "/aws-glue/crawlers"


@dataclass
class _Folder:
    """A folder that is a table: its objects by partition, an empty tuple for those in no partition."""

    location: str
    keys: tuple[str, ...] = ()
    partitions: dict[tuple[str, ...], list[S3Object]] = field(default_factory=dict)
    places: dict[tuple[str, ...], str] = field(default_factory=dict)


class Crawl:
    """One crawl of one crawler."""

    def __init__(
        self,
        crawler: Parameters,
        classifiers: Sequence[Parameters],
        run: JobRun,
        objects: Objects,
        catalog: Catalog,
        logs: Logs,
    ) -> None:
        self._crawler, self._classifiers, self._run = crawler, classifiers, run
        self._objects, self._catalog, self._logs = objects, catalog, logs
        self._changes: dict[str, dict[str, list[str]]] = {"TABLE": {}, "PARTITION": {}}
        output = json.loads(crawler.get("Configuration") or "{}").get("CrawlerOutput", {})
        self._inherit = output.get("Partitions", {}).get("AddOrUpdateBehavior") == "InheritFromTable"
        self._merge = output.get("Tables", {}).get("AddOrUpdateBehavior") == "MergeNewColumns"
        policy = crawler.get("SchemaChangePolicy") or {}
        self._update = policy.get("UpdateBehavior", "UPDATE_IN_DATABASE")
        self._delete = policy.get("DeleteBehavior", "DEPRECATE_IN_DATABASE")
        self._new_only = (crawler.get("RecrawlPolicy") or {}).get("RecrawlBehavior") == "CRAWL_NEW_FOLDERS_ONLY"

    def work(self) -> None:
        """Crawl all targets. Raises JobFailure or Stopped."""
        self._log("BENCHMARK : Running Start Crawl for Crawler " + self._run.name)
        if not self._catalog.has_database(self._crawler.get("DatabaseName", "")):
            raise JobFailure(f"Database {self._crawler.get('DatabaseName')} not found. (EntityNotFoundException)")
        for target in self._crawler["Targets"]["S3Targets"]:
            for folder in self._folders(target):
                self._run.check_stop()
                self._enter(folder)
        self._log("BENCHMARK : Crawler has finished running and is in state READY")

    def fail(self, error: str) -> None:
        """Write the end of the log of a crawl that failed."""
        self._log(f"ERROR : {error}")

    def summary(self) -> str:
        """What has been changed, as ListCrawls tells it."""
        return json.dumps(
            {
                kind: {what: {"Count": len(names), "Details": {"names": names}} for what, names in changes.items()}
                for kind, changes in self._changes.items()
                if changes
            }
        )

    def _folders(self, target: Parameters) -> Iterable[_Folder]:
        """The tables below a target: the target itself, or each folder in it that holds partitions or files."""
        root = target["Path"].rstrip("/") + "/"
        prefix = split_uri(root)[1]
        found: dict[str, _Folder] = {}
        for item in self._objects.data_below(root):
            inside = item.key[len(prefix) :]
            if any(fnmatch.fnmatch(inside, pattern.replace("**", "*")) for pattern in target.get("Exclusions") or []):
                continue
            parts = inside.split("/")[:-1]
            first = next((place for place, part in enumerate(parts) if "=" in part), len(parts))
            table, keys = parts[:first], parts[first:]
            location = root + "".join(f"{part}/" for part in table)
            folder = found.setdefault(location, _Folder(location))
            values = tuple(part.partition("=")[2] for part in keys)
            folder.keys = folder.keys or tuple(part.partition("=")[0] for part in keys)
            folder.partitions.setdefault(values, []).append(item)
            folder.places[values] = location + "".join(f"{part}/" for part in keys)
        return found.values() or [_Folder(root)]

    def _enter(self, folder: _Folder) -> None:
        database, name = self._crawler["DatabaseName"], self._table_name(folder.location)
        known = self._catalog.table(database, name)
        there = (
            {tuple(each["Values"]): each for each in self._catalog.partitions(database, name)}
            if known and folder.keys
            else {}
        )
        if known is not None and not folder.keys and known.get("PartitionKeys"):
            there = {tuple(each["Values"]): each for each in self._catalog.partitions(database, name)}
        found = {}
        for values, items in folder.partitions.items():
            self._run.check_stop()
            if self._new_only and values in there:
                continue
            if classified := classify([(item, self._objects) for item in items], self._classifiers, self._log):
                found[values] = classified
        if found:
            table = self._put_table(database, name, folder, list(found.values()), known)
            for values, classified in found.items():
                if values:
                    self._put_partition(database, table, folder.places[values], values, classified)
        self._gone(database, name, [each for values, each in there.items() if values not in folder.partitions])

    def _put_table(
        self, database: str, name: str, folder: _Folder, found: Sequence[Found], known: Table | None
    ) -> Table:
        whole = Found.merged(found)
        table: Table = {
            "Name": name,
            "Owner": "owner",
            "Retention": 0,
            "TableType": "EXTERNAL_TABLE",
            "PartitionKeys": [{"Name": key, "Type": "string"} for key in folder.keys],
            "StorageDescriptor": whole.storage(folder.location),
            "Parameters": {**whole.parameters(), "UPDATED_BY_CRAWLER": self._run.name},
        }
        if known is None:
            self._note("TABLE", "ADD", name, "Created table")
        else:
            table["Parameters"] = {**(known.get("Parameters") or {}), **table["Parameters"]}
            old = known["StorageDescriptor"].get("Columns") or []
            columns = table["StorageDescriptor"]["Columns"]
            if self._merge:
                names = {column["Name"] for column in old}
                columns = [*old, *(column for column in columns if column["Name"] not in names)]
                table["StorageDescriptor"]["Columns"] = columns
            if columns != old:
                self._note("TABLE", "UPDATE", name, "Updated table")
            if self._update == "LOG":
                return known
        self._catalog.put_table(database, table)
        return table

    def _put_partition(self, database: str, table: Table, place: str, values: tuple[str, ...], found: Found) -> None:
        # Read anew: somebody may have put parameters on it since the crawl began, and they are theirs to keep.
        known = self._catalog.partition(database, table["Name"], list(values))
        storage: dict[str, Any] = (
            {**table["StorageDescriptor"], "Location": place} if self._inherit else found.storage(place)
        )
        before = (known or {}).get("Parameters") or {}
        partition = {
            "Values": list(values),
            "StorageDescriptor": storage,
            "Parameters": {**before, **found.parameters()},
        }
        if known is None:
            self._note("PARTITION", "ADD", place, "Created partition")
        elif known["StorageDescriptor"].get("Columns") != storage["Columns"]:
            self._note("PARTITION", "UPDATE", place, "Updated partition")
        self._catalog.put_partition(database, table["Name"], partition)

    def _gone(self, database: str, name: str, partitions: Sequence[Partition]) -> None:
        for partition in partitions:
            place = partition["StorageDescriptor"]["Location"]
            if self._delete == "DELETE_FROM_DATABASE":
                self._catalog.delete_partition(database, name, partition["Values"])
                self._note("PARTITION", "DELETE", place, "Deleted partition")
            elif self._delete == "DEPRECATE_IN_DATABASE":
                known = self._catalog.partition(database, name, partition["Values"])
                if known is None:
                    continue
                mark = {"DEPRECATED_BY_CRAWLER": str(int(self._run.started * 1000))}
                parameters = {**(known.get("Parameters") or {}), **mark}
                self._catalog.put_partition(database, name, {**known, "Parameters": parameters})

    def _table_name(self, location: str) -> str:
        last = location.rstrip("/").rpartition("/")[2].lower()
        prefix: str = self._crawler.get("TablePrefix", "")
        return prefix + re.sub(r"\W", "_", last)

    def _note(self, kind: str, what: str, name: str, text: str) -> None:
        self._changes[kind].setdefault(what, []).append(name)
        self._log(f"INFO : {text} {name} in database {self._crawler['DatabaseName']}")

    def _log(self, text: str) -> None:
        self._logs.write(GROUP, self._run.name, [f"[{self._run.id}] {text}"])
