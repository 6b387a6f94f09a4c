"""A real Chromium for the tests of the pages. They are skipped, saying so, where there is none, or no Playwright (the package, which drives it)."""

from __future__ import annotations

import importlib.util
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page, Request

CHROMIUM = next(
    (path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))), None
)
ARGUMENTS = "--no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking --disable-component-update --disable-sync"
DESKTOP, PHONE = {"width": 1280, "height": 800}, {"width": 375, "height": 812}
MARKS = [
    pytest.mark.skipif(
        importlib.util.find_spec("playwright") is None,
        reason="the package playwright, which drives a browser, is not here",
    ),
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is installed on this machine (apt-get install chromium)"),
    pytest.mark.xdist_group("browser"),
]


@contextmanager
def opened(browser: Browser, url: str, viewport: dict[str, int], path: str = "/", **context: Any) -> Iterator[Page]:
    """The page in a browser of its own; asks for nothing from elsewhere, and no script fails."""
    elsewhere: list[str] = []
    errors: list[str] = []

    def asked(request: Request) -> None:
        if not request.url.startswith((url, "data:")):
            elsewhere.append(request.url)

    profile: Any = {"viewport": viewport, **context}
    own = browser.new_context(**profile)
    page = own.new_page()
    page.set_default_timeout(10_000)
    page.on("request", asked)
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("console", lambda said: errors.append(said.text) if "Content Security Policy" in said.text else None)
    page.goto(f"{url}{path}")
    try:
        yield page
    finally:
        own.close()
    assert elsewhere == []
    assert errors == []


def focused(page: Page) -> str:
    return str(page.evaluate("document.activeElement.id || document.activeElement.tagName"))


LOOK = """() => {
  const seen = (element) => element.checkVisibility() && element.getBoundingClientRect().width > 1;
  const name = (element) => element.getAttribute("aria-label") || element.labels?.[0]?.innerText || element.innerText || element.alt;
  const parts = (colour) => colour.match(/[\\d.]+/g).map(Number);
  const light = (rgb) => rgb.slice(0, 3).map((v) => v / 255).map((v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4))
    .reduce((sum, v, at) => sum + v * [0.2126, 0.7152, 0.0722][at], 0);
  const ground = (element) => {
    for (let at = element; at; at = at.parentElement) {
      const colour = parts(getComputedStyle(at).backgroundColor);
      if (colour.length < 4 || colour[3] > 0) return colour;
    }
    return [255, 255, 255];
  };
  const pale = [];
  for (const element of document.querySelectorAll("body *")) {
    const own = [...element.childNodes].some((node) => node.nodeType === 3 && node.textContent.trim());
    if (!own || !seen(element)) continue;
    const [a, b] = [light(parts(getComputedStyle(element).color)), light(ground(element))].sort((x, y) => y - x);
    if ((a + 0.05) / (b + 0.05) < 4.5) pale.push(`${element.className || element.tagName}: ${element.textContent.slice(0, 30)}`);
  }
  const ids = [...document.querySelectorAll("[id]")].map((element) => element.id);
  return {
    nameless: [...document.querySelectorAll("input, textarea, button, a, [role=listbox]")].filter((e) => !name(e)).map((e) => e.outerHTML),
    h1: document.querySelectorAll("h1").length,
    language: document.documentElement.lang,
    twice: ids.filter((id, at) => ids.indexOf(id) !== at),
    small: [...document.querySelectorAll("button, summary, input")].filter((e) => seen(e) && e.getBoundingClientRect().height < 24).map((e) => e.outerHTML),
    pale,
  };
}"""
