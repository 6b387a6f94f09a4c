"""Fixtures: the shop behind the real API and the real model server."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from instacart_pipeline.container.child_server import serving
from instacart_pipeline.resources.endpoints.local import LocalEndpoints
from instacart_pipeline_tests.platform import Platform
from instacart_pipeline_tests.serving import web
from instacart_pipeline_tests.serving.reorder import shop
from instacart_pipeline_tests.tiers import costs


@pytest.fixture(scope="package")
@costs("contract")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with a day and a deployed version, which tests only read."""
    home = tmp_path_factory.mktemp("shop")
    shop.put_day(Platform(home))
    shop.put_behind(shop.local_endpoints(home, ("127.0.0.1", 1)), shop.version_of(home, 1))
    return home


@pytest.fixture(scope="package")
@costs("contract")
def endpoints(home: Path) -> Iterator[LocalEndpoints]:
    """The endpoints of that home, with the model's server answering."""
    with serving(["--watch", str(home / "endpoints" / "reorder.json")], home / "server.log") as address:
        yield shop.local_endpoints(home, address)


@pytest.fixture(scope="package")
@costs("contract")
def url(home: Path, endpoints: LocalEndpoints) -> Iterator[str]:
    """The address of the API."""
    with shop.listening(shop.service(Platform(home), endpoints)) as url:
        yield url


@pytest.fixture(scope="package")
def client(url: str) -> Iterator[httpx.Client]:
    """A client of the API, over HTTP."""
    with web.client_of(url) as client:
        yield client
