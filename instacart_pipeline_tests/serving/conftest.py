"""Fixtures: a browser for the tests of the pages, the command `serve`, and how many requests are made up for an OpenAPI document."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from instacart_pipeline_tests.serving.browser import ARGUMENTS, CHROMIUM
from instacart_pipeline_tests.serving.processes import Serve, serving
from instacart_pipeline_tests.tiers import costs, skip_without

if TYPE_CHECKING:
    from playwright.sync_api import Page


@pytest.fixture(scope="package")
@costs("e2e")
def browser() -> Iterator[Page]:
    """A tab of a Chromium: one for all tests of the pages, which open them in it with `opened`.

    Not for the whole session: while Playwright is there, nothing else in the thread may run an event loop.
    """
    if importlib.util.find_spec("playwright") is None:
        skip_without("Playwright")
    if CHROMIUM is None:
        skip_without("Chromium")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        started = driver.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS.split())
        yield started.new_page(reduced_motion="reduce")
        started.close()


@pytest.fixture
@costs("deep")
def browser_in_depth(browser: Page) -> Page:
    """The same tab, for what is examined in depth: other viewports and schemes, failures, names and colours."""
    return browser


@pytest.fixture
@costs("e2e")
def serve(tmp_path: Path) -> Serve:
    """The command `serve`: about four processes that import the project, so e2e has one test of it."""
    return partial(serving, log=tmp_path / "serve.log")


@pytest.fixture
@costs("deep")
def serve_in_depth(serve: Serve) -> Serve:
    """The same, for processes that are killed."""
    return serve


@pytest.fixture(params=[4, 20])
@costs("contract", deep_params=(20,))
def examples(request: pytest.FixtureRequest) -> int:
    """How many requests are made up per operation, and per kind of request."""
    count: int = request.param
    return count
