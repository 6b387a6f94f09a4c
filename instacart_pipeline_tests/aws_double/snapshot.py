"""What a double holds at a moment, as bytes: moto's backends and the double's own services.

Belongs here: which attributes make up a service's state, and how they are written and read. Doesn't: what they mean.
"""

from __future__ import annotations

import io
import pickle
import threading
from collections.abc import Mapping
from typing import Any

from moto.backends import get_backend
from moto.core.base_backend import BackendDict, BaseBackend

Snapshot = bytes
"""As good in another double as in that which it was taken from, in another process too."""

_STATE: Mapping[str, tuple[str, ...]] = {
    "Athena": ("_groups", "_executions"),
    "Crawlers": ("_crawlers", "_classifiers", "_crawls"),
    "DataBrew": ("_working", "_published", "_datasets", "_definitions", "_runs"),
    "Endpoints": ("_configs", "_tags"),
    "GlueJobs": ("_definitions", "_created", "_runs"),
    "Logs": ("_groups", "_number"),
    "Models": ("_known",),
    "Processing": ("_known", "_messages"),
    "Redshift": ("_statements",),
    "Registry": ("_groups", "_packages", "_tokens"),
    "Training": ("_known", "_metrics"),
    "Transform": ("_known",),
    "Tuning": ("_known", "_trials"),
}
"""By class of a service's handlers: the attributes that hold what was made. A service that is not named here can't be kept."""


_RLOCK, _LOCK = type(threading.RLock()), type(threading.Lock())


def write(handlers: list[Any], shared: list[Any], rest: Any) -> Snapshot:
    """What moto and the handlers hold. `shared` are parts that the double they are read into has, too; `rest` anything else."""
    file = io.BytesIO()
    own = {
        type(each).__name__: {name: getattr(each, name) for name in _STATE[type(each).__name__]} for each in handlers
    }
    _Pickler(file, shared).dump((_moto_state(), own, rest))
    return file.getvalue()


def read(snapshot: Snapshot, handlers: list[Any], shared: list[Any]) -> Any:
    """Bring what a snapshot holds into moto and handlers that are empty; the `rest` it was written with."""
    moto, own, rest = _Unpickler(io.BytesIO(snapshot), shared).load()
    for place, state in moto["backends"].items():
        _backend(*place).__dict__.update(state)
    _bucket_accounts().update(moto["buckets"])
    for each in handlers:
        vars(each).update(own[type(each).__name__])
    return rest


def _moto_state() -> dict[str, Any]:
    backends: Any = BackendDict
    found = {place: vars(backend) for service in backends._instances for place, backend in _places(service)}
    return {"backends": found, "buckets": dict(_bucket_accounts())}


def _places(service: Any) -> list[tuple[tuple[str, str, str], Any]]:
    name = service.service_name
    return [((name, account, region), backend) for account, region, backend in service.iter_backends()]


def _backend(service: str, account: str, region: str) -> Any:
    backends: Any = get_backend(service)  # type: ignore[call-overload]  # its names are literals
    return backends[account][region]


def _bucket_accounts() -> dict[str, Any]:
    """Which account a bucket is of: moto keeps this beside the backends of S3."""
    backends: Any = get_backend("s3")
    accounts: dict[str, Any] = backends.bucket_accounts
    return accounts


class _Pickler(pickle.Pickler):
    """Names backends and shared parts in place of writing them: those of the reader are there already."""

    def __init__(self, file: io.BytesIO, shared: list[Any]) -> None:
        super().__init__(file, protocol=pickle.HIGHEST_PROTOCOL)
        self._shared = {id(each): type(each).__name__ for each in shared}

    def persistent_id(self, value: Any) -> Any:
        """The name of a thing that is not written."""
        if isinstance(value, BaseBackend):
            services: Any = BackendDict
            for service in services._instances:
                for place, backend in _places(service):
                    if backend is value:
                        return place
        return self._shared.get(id(value))

    def reducer_override(self, value: Any) -> Any:
        """A lock of moto's is made anew: nobody holds it, as nothing is answered meanwhile."""
        if isinstance(value, _RLOCK):
            return threading.RLock, ()
        if isinstance(value, _LOCK):
            return threading.Lock, ()
        return NotImplemented


class _Unpickler(pickle.Unpickler):
    def __init__(self, file: io.BytesIO, shared: list[Any]) -> None:
        super().__init__(file)
        self._shared = {type(each).__name__: each for each in shared}

    def persistent_load(self, name: Any) -> Any:
        """The thing of a name."""
        return _backend(*name) if isinstance(name, tuple) else self._shared[name]
