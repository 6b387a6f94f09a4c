"""The session: where AWS is, and as whom. Every call of the project to AWS goes through it.

Belongs here: credentials, region, endpoint, and how often a single call is tried. Doesn't: what is called.
"""

import threading
from collections.abc import Callable, Iterator
from functools import cache, lru_cache
from typing import TYPE_CHECKING, Any, TypeVar, cast

from dagster import ConfigurableResource

if TYPE_CHECKING:
    import boto3

Made = TypeVar("Made")

_TRIES = 6
"""How often a call that can be repeated without harm is tried, with growing, jittered pauses of at most 20 s between."""
_ANSWER_SECONDS = 20
"""How long a connection, and then an answer, may take. Together less than half of the lease on a lock, on which locks.py relies."""


class AwsSession(ConfigurableResource[Any]):
    """Clients of AWS services. Whatever is left empty is taken from the usual AWS configuration of the machine.

    With `role`, that role is assumed and renews itself for as long as the credentials it is assumed with are good.
    """

    region: str = ""
    profile: str = ""
    endpoint: str = ""
    role: str = ""

    def client(self, service: str, *, once: bool = False) -> Any:
        """A boto3 client of a service, shared by all threads. With `once` it tries nothing a second time."""
        return self._clients.client(service, once=once)

    @property
    def region_name(self) -> str:
        """The region that calls go to."""
        return str(self.client("s3").meta.region_name)

    def call(self, service: str, operation: str, *, once: bool = False, **parameters: Any) -> dict[str, Any]:
        """One operation (in boto3's spelling), its answer as boto3 gives it.

        Throttling and failures of the service are tried again within bounds, unless `once`. Raises the AwsError that says
        what kind of trouble it was. Expired credentials are read anew once.
        """

        def answer() -> dict[str, Any]:
            return cast("dict[str, Any]", getattr(self.client(service, once=once), operation)(**parameters))

        return cast("dict[str, Any]", self._translating(service, operation, answer))

    def pages(self, service: str, operation: str, **parameters: Any) -> Iterator[dict[str, Any]]:
        """The pages of an operation, one call each, made as they are asked for. Raises as `call` does.

        Credentials are read anew only for the first page: boto3's iterator is at its end once a page failed, and to go on
        with it would pass off the pages so far as all there are.
        """

        def begun() -> tuple[Iterator[dict[str, Any]], dict[str, Any] | None]:
            pages = iter(self.client(service).get_paginator(operation).paginate(**parameters))
            return pages, next(pages, None)

        pages, page = self._translating(service, operation, begun)
        while page is not None:
            yield page
            page = self._translating(service, operation, lambda: next(pages, None), renewed=True)

    def doing(self, service: str, operation: str, call: Callable[[Any], Made]) -> Made:
        """What `call(client)` gives, for what boto3 makes several operations of. Raises as `call` does; may be called twice."""
        return cast("Made", self._translating(service, operation, lambda: call(self.client(service))))

    @property
    def _clients(self) -> "_Clients":
        return _clients_of(self.region, self.profile, self.endpoint, self.role)

    def _translating(self, service: str, operation: str, call: Callable[[], Any], *, renewed: bool = False) -> Any:
        from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415  # as boto3

        from instacart_pipeline.resources.aws_account.errors import AwsExpired, translated  # noqa: PLC0415

        try:
            return call()
        except (ClientError, BotoCoreError) as error:
            ours = translated(service, operation, error)
            if renewed or not isinstance(ours, AwsExpired):
                raise ours from error
        self._clients.renew()
        return self._translating(service, operation, call, renewed=True)


class _Clients:
    """The clients of one place and identity. Making one reads the description of its service."""

    def __init__(self, region: str, profile: str, endpoint: str, role: str) -> None:
        self.region, self.profile, self.endpoint, self.role = region, profile, endpoint or None, role
        self._made: dict[tuple[str, bool], Any] = {}
        self._session: boto3.session.Session | None = None
        self._lock = threading.RLock()

    def client(self, service: str, *, once: bool) -> Any:
        """See AwsSession.client."""
        import botocore.config  # noqa: PLC0415  # loaded where it is used, so that importing definitions stays cheap

        with self._lock:
            if (service, once) not in self._made:
                config = botocore.config.Config(
                    retries={"mode": "standard", "total_max_attempts": 1 if once else _TRIES},
                    connect_timeout=_ANSWER_SECONDS,
                    read_timeout=_ANSWER_SECONDS,
                    max_pool_connections=32,
                    user_agent_extra="instacart_pipeline",
                )
                self._session = self._session or self._new_session()
                self._made[service, once] = self._session.client(service, endpoint_url=self.endpoint, config=config)
            return self._made[service, once]

    def renew(self) -> None:
        """Forget the clients and their credentials: the next call reads them anew."""
        with self._lock:
            self._made.clear()
            self._session = None

    def _new_session(self) -> "boto3.session.Session":
        import boto3  # noqa: PLC0415  # as botocore

        own = boto3.session.Session(botocore_session=_core(self.profile), region_name=self.region or None)
        if not self.role:
            return own
        from instacart_pipeline.resources.aws_account.roles import AssumedRole  # noqa: PLC0415

        assumed = _core("")
        provider = AssumedRole(own, self.role, self.endpoint)
        assumed.get_component("credential_provider").insert_before("env", provider)
        return boto3.session.Session(botocore_session=assumed, region_name=own.region_name)


def _core(profile: str) -> Any:
    import botocore.session  # noqa: PLC0415

    core = botocore.session.Session(profile=profile or None)
    core.register_component("data_loader", _models())
    return core


@cache
def _models() -> Any:
    """The descriptions of the services, shared by all sessions: each would read and keep its own, tens of megabytes."""
    import botocore.session  # noqa: PLC0415

    return botocore.session.Session().get_component("data_loader")


# Dagster copies a resource for each one that depends on it; what is costly is shared by all copies. A process has one
# place and identity, or a few of them one after the other.
_clients_of = lru_cache(maxsize=4)(_Clients)
