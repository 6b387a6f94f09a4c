"""The stream on Kinesis: records in batches, iterators kept, checkpoints and claims in a DynamoDB table (checkpoints.py)."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from dagster import ResourceDependency

from instacart_pipeline.lake.errors import PipelineError
from instacart_pipeline.resources.aws.session import AwsSession
from instacart_pipeline.resources.stream import Batch, Claim, Entry, Lag, Rewind, Shard, Stream, StreamState


class KinesisStream(Stream):
    """The Kinesis stream `name`. What consumers have read is kept in the table `<prefix>checkpoints`."""

    session: ResourceDependency[AwsSession]
    name: str
    prefix: str

    def put(self, entries: Sequence[Entry]) -> None:
        """See Stream."""
        raise PipelineError(f"{len(entries)} records can't be put yet.")

    def state(self) -> StreamState:
        """See Stream."""
        return StreamState(self.name)

    def read(self, shard: str, after: str, limit: int) -> Batch:
        """See Stream."""
        raise PipelineError(f"{shard} can't be read yet: {limit} after {after}.")

    @contextmanager
    def claim(self, consumer: str, shard: Shard) -> Iterator[Claim | None]:
        """See Stream."""
        raise PipelineError(f"{shard} can't be claimed yet by {consumer}.")
        yield None

    def rewind(self, consumer: str, to: Rewind) -> None:
        """See Stream."""
        raise PipelineError(f"{consumer} can't be rewound yet to {to}.")

    def lag(self, consumer: str) -> Sequence[Lag]:
        """See Stream."""
        raise PipelineError(f"{consumer}'s lag can't be told yet.")
