"""How far consumers of a stream are, and who reads for them: one item a consumer and shard in a DynamoDB table.

Belongs here: positions, and leases that are taken, renewed and lost by conditional writes. Doesn't: shards and records (__init__.py).
"""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from instacart_pipeline.lake.errors import PipelineError
from instacart_pipeline.resources.aws_account.errors import AwsConflict
from instacart_pipeline.resources.lookup_tables import LookupTable, Value
from instacart_pipeline.resources.lookup_tables.aws.dynamo import DynamoTable, packed, unpacked
from instacart_pipeline.resources.stream import START, Claim, ClaimLost, Shard, StreamBusy

if TYPE_CHECKING:
    from instacart_pipeline.resources.aws_account.session import AwsSession

CHECKPOINTS = LookupTable("checkpoints", "consumer", "shard")
"""consumer (`<stream>/<consumer>`), shard, position, finished; while a worker has the shard: owner, lease_until (milliseconds since 1970)."""

_RENEWALS = 3
"""How often a lease is renewed within its own time."""
_FREE = "attribute_not_exists(#owner) OR #owner = :me OR #until < :now"
_UNFINISHED = "(attribute_not_exists(#finished) OR #finished = :no)"
_RELEASED = " REMOVE #owner, #until"
_NAMES = {"owner": "owner", "until": "lease_until", "position": "position", "finished": "finished"}


@dataclass(frozen=True)
class Checkpoint:
    """How far a consumer is at a shard."""

    position: str = START
    finished: bool = False


class Checkpoints:
    """The checkpoints of a stream's consumers, in the table `<prefix>checkpoints`. A lease that isn't renewed for `lease_seconds` is anybody's.

    The clocks of workers must agree within a fraction of that. If they don't, a shard is read by two for a while, and the one that
    lost it learns so from its next commit: records are read twice, and never left out.
    """

    def __init__(
        self, session: AwsSession, prefix: str, stream: str, *, lease_seconds: float, patience_seconds: float
    ) -> None:
        self.lease_seconds, self._stream = lease_seconds, stream
        self._table = DynamoTable(session, f"{prefix}{CHECKPOINTS.name}", patience_seconds, StreamBusy)

    def of(self, consumer: str) -> dict[str, Checkpoint]:
        """The checkpoints of a consumer by shard; without those where it has not begun."""
        found: dict[str, Checkpoint] = {}
        going_on: dict[str, Any] = {}
        while True:
            told = self._table.call(
                "query",
                KeyConditionExpression="consumer = :consumer",
                ExpressionAttributeValues=packed({":consumer": f"{self._stream}/{consumer}"}),
                ConsistentRead=True,
                **going_on,
            )
            for item in map(unpacked, told["Items"]):
                found[str(item["shard"])] = _checkpoint(item)
            if not told.get("LastEvaluatedKey"):
                return found
            going_on = {"ExclusiveStartKey": told["LastEvaluatedKey"]}

    def take(self, consumer: str, shard: Shard, *, finished_too: bool = False) -> KinesisClaim | None:
        """A claim, if nobody has it and the shard is not finished, or may be."""
        owner = uuid.uuid4().hex
        try:
            told = self._update(
                consumer,
                shard.id,
                owner,
                "SET #owner = :me, #until = :until",
                condition=_FREE if finished_too else f"({_FREE}) AND {_UNFINISHED}",
                values={":now": _now(), ":until": self._until()} | ({} if finished_too else {":no": False}),
            )
        except AwsConflict:
            return None
        return KinesisClaim(self, consumer, shard, owner, _checkpoint(told).position)

    def hold(self, consumer: str, shard: str, owner: str, change: str, values: Mapping[str, Value]) -> None:
        """Change what an owner holds: `change` is an update expression. Raises ClaimLost if it is somebody else's by now."""
        try:
            self._update(consumer, shard, owner, change, condition="#owner = :me", values=values)
        except AwsConflict as error:
            raise ClaimLost(
                f"{consumer} has lost its claim on {shard}: the lease of {self.lease_seconds:g} s ran out, and another worker reads the shard. "
                "What was read since the last commit is that worker's to read again."
            ) from error

    def renew(self, consumer: str, shard: str, owner: str, change: str = "", **values: Value) -> None:
        """Prolong the lease and, in the same write, set what `change` says. Raises ClaimLost."""
        given = {f":{name}": value for name, value in values.items()}
        self.hold(consumer, shard, owner, f"SET #until = :until{change}", {":until": self._until(), **given})

    def release(self, consumer: str, shard: str, owner: str) -> None:
        """Give a claim back. Raises ClaimLost."""
        self.hold(consumer, shard, owner, _RELEASED.strip(), {})

    def _update(
        self, consumer: str, shard: str, owner: str, change: str, *, condition: str, values: Mapping[str, Value]
    ) -> dict[str, Value]:
        used = {f"#{name}": attribute for name, attribute in _NAMES.items() if f"#{name}" in change + condition}
        told = self._table.call(
            "update_item",
            Key=packed({"consumer": f"{self._stream}/{consumer}", "shard": shard}),
            UpdateExpression=change,
            ConditionExpression=condition,
            ExpressionAttributeNames=used,
            ExpressionAttributeValues=packed({":me": owner, **values}),
            ReturnValues="ALL_NEW",
        )
        return unpacked(told["Attributes"])

    def _until(self) -> int:
        return _now() + round(1000 * self.lease_seconds)


class KinesisClaim(Claim):
    """A claim for as long as its lease is renewed: by every commit, and in the background within `kept`."""

    def __init__(self, checkpoints: Checkpoints, consumer: str, shard: Shard, owner: str, position: str) -> None:
        self._checkpoints, self._consumer, self.shard = checkpoints, consumer, shard
        self._owner, self.position = owner, position
        self._over = threading.Event()

    def commit(self, sequence: str) -> None:
        """See Claim."""
        self._checkpoints.renew(
            self._consumer, self.shard.id, self._owner, ", #position = :position", position=sequence
        )
        self.position = sequence

    def finish(self) -> None:
        """See Claim."""
        self._checkpoints.renew(self._consumer, self.shard.id, self._owner, ", #finished = :yes", yes=True)

    def restart(self, position: str) -> None:
        """Have the shard read again from a position, also if it was finished. Raises ClaimLost."""
        change = ", #position = :position, #finished = :no"
        self._checkpoints.renew(self._consumer, self.shard.id, self._owner, change, position=position, no=False)
        self.position = position

    @contextmanager
    def kept(self) -> Iterator[None]:
        """Renews the lease in the background within the block, and gives it back at the end."""
        renewing = threading.Thread(target=self._renew, name=f"lease {self.shard.id}", daemon=True)
        renewing.start()
        try:
            yield
        finally:
            self._over.set()
            renewing.join()
            self._give_back()

    def _renew(self) -> None:
        while not self._over.wait(self._checkpoints.lease_seconds / _RENEWALS):
            try:
                self._checkpoints.renew(self._consumer, self.shard.id, self._owner)
            except ClaimLost:  # noqa: PERF203  # one try a round is what it is about
                return  # which the next commit says
            except PipelineError:
                continue  # the lease is good for two more tries; if they fail as well the next commit says so

    def _give_back(self) -> None:
        try:
            self._checkpoints.release(self._consumer, self.shard.id, self._owner)
        except PipelineError:
            return  # lost, or it runs out by itself; what the block raised says more


def _checkpoint(item: Mapping[str, Value]) -> Checkpoint:
    return Checkpoint(str(item.get("position", START)), bool(item.get("finished", False)))


def _now() -> int:
    return time.time_ns() // 1_000_000
