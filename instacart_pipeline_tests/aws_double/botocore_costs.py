"""What botocore works out anew for each session and client is worked out once per process: that is most of their cost.

All of it follows from botocore's own files: descriptions of services, rules of endpoints, names of events. What a client is
given (region, credentials, settings, handlers of events) stays its own.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import cache
from typing import Any

import botocore.client
import botocore.endpoint_provider
import botocore.hooks
import botocore.loaders
import botocore.model
import botocore.session
import pytest

LOADER = botocore.loaders.create_loader()
"""Reads a file of botocore's once."""


def pay_once(patch: pytest.MonkeyPatch) -> None:
    """Share it among the sessions and clients of this process, for as long as the patch holds."""
    patch.setattr(botocore.session, "create_loader", lambda _path=None: LOADER)
    patch.setattr(botocore.hooks, "accepts_kwargs", _accepts_kwargs)
    patch.setattr(botocore.hooks.EventAliaser, "_alias_event_name", _aliased)
    patch.setattr(botocore.endpoint_provider, "RuleSet", _rule_set)
    patch.setattr(botocore.client.ClientCreator, "_load_service_model", _service_model)
    patch.setattr(botocore.client.ClientCreator, "_create_methods", _methods)


@cache
def service_model(service: str, version: str | None = None) -> Any:
    """botocore's model of a service."""
    description = LOADER.load_service_model(service, "service-2", api_version=version)
    return botocore.model.ServiceModel(description, service_name=service)


def _accepts_kwargs(function: Callable[..., Any]) -> bool:
    code = getattr(function, "__code__", None)
    return bool(_KEPT_ACCEPTS_KWARGS(function) if code is None else code.co_flags & inspect.CO_VARKEYWORDS)


def _aliased(aliaser: Any, event: str) -> str:
    if aliaser._event_aliases is not botocore.hooks.EVENT_ALIASES:
        return str(_KEPT_ALIASED(aliaser, event))
    if event not in _ALIASED:
        _ALIASED[event] = _KEPT_ALIASED(aliaser, event)
    return _ALIASED[event]


def _rule_set(**given: Any) -> Any:
    # By identity: the loader gives the same objects each time, and they stay alive in the result.
    key = (id(given["rules"]), id(given["partitions"]))
    if key not in _RULE_SETS:
        _RULE_SETS[key] = (_KEPT_RULE_SET(**given), given)
    return _RULE_SETS[key][0]


def _service_model(creator: Any, service: str, version: str | None = None) -> Any:
    if creator._loader is not LOADER:
        return _KEPT_SERVICE_MODEL(creator, service, version)
    return service_model(service, version)


def _methods(creator: Any, model: Any) -> dict[str, Any]:
    if id(model) not in _METHODS:
        _METHODS[id(model)] = (_KEPT_METHODS(creator, model), model)
    return dict(_METHODS[id(model)][0])


_KEPT_ACCEPTS_KWARGS: Any = botocore.hooks.accepts_kwargs
_KEPT_ALIASED: Any = botocore.hooks.EventAliaser._alias_event_name
_KEPT_RULE_SET: Any = botocore.endpoint_provider.RuleSet
_KEPT_SERVICE_MODEL: Any = botocore.client.ClientCreator._load_service_model
_KEPT_METHODS: Any = botocore.client.ClientCreator._create_methods
_ALIASED: dict[str, str] = {}
_RULE_SETS: dict[tuple[int, int], tuple[Any, Any]] = {}
_METHODS: dict[int, tuple[dict[str, Any], Any]] = {}
