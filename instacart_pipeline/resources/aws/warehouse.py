"""The warehouse on AWS: Redshift Serverless, asked through its Data API."""

from collections.abc import Mapping, Sequence

from dagster import ResourceDependency

from instacart_pipeline.lake.contracts import TableContract
from instacart_pipeline.lake.errors import SettingsInvalid
from instacart_pipeline.lake.sql import Query
from instacart_pipeline.resources.athena import QueryResult
from instacart_pipeline.resources.aws.lake import AwsLake
from instacart_pipeline.resources.published import Published
from instacart_pipeline.resources.warehouse import Loaded, Warehouse


class RedshiftWarehouse(Warehouse):
    """The warehouse in a database of a workgroup. `role` reads and writes the lake for it."""

    lake: ResourceDependency[AwsLake]
    workgroup: str
    database: str
    role: str

    def load(self, query: Query, target: TableContract, days: Sequence[str]) -> Loaded:
        """See Warehouse."""
        raise SettingsInvalid("The warehouse on AWS is not there yet.")

    def rebuild(self, query: Query, target: TableContract, dt: str) -> Loaded:
        """See Warehouse."""
        raise SettingsInvalid("The warehouse on AWS is not there yet.")

    def publish(self, query: Query, target: TableContract, dt: str) -> Published:
        """See Warehouse."""
        raise SettingsInvalid("The warehouse on AWS is not there yet.")

    def query(self, query: Query, limit: int | None = None) -> QueryResult:
        """See Warehouse."""
        raise SettingsInvalid("The warehouse on AWS is not there yet.")

    def days(self, table: TableContract) -> Mapping[str, str]:
        """See Warehouse."""
        raise SettingsInvalid("The warehouse on AWS is not there yet.")
