"""A real Chromium for the tests of the pages. All of them share one tab: a context of its own would cost a test a second."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from playwright.sync_api import ConsoleMessage, Error, Page, Request, ViewportSize

CHROMIUM = next(
    (path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))), None
)
ARGUMENTS = "--no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking --disable-component-update --disable-sync"
DESKTOP: ViewportSize = {"width": 1280, "height": 800}
PHONE: ViewportSize = {"width": 375, "height": 812}
_WAIT_MS = 60_000


@contextmanager
def opened(
    tab: Page, url: str, viewport: ViewportSize, path: str = "/", *, scheme: Literal["light", "dark"] = "light"
) -> Iterator[Page]:
    """A page in the tab, as if nobody had opened one before; asks for nothing from elsewhere, and no script fails or is refused."""
    elsewhere: list[str] = []
    errors: list[str] = []

    def asked(request: Request) -> None:
        if not request.url.startswith((url, "data:")):
            elsewhere.append(request.url)

    def failed(error: Error) -> None:
        errors.append(str(error))

    def said(message: ConsoleMessage) -> None:
        if "Content Security Policy" in message.text:
            errors.append(message.text)

    tab.set_default_timeout(_WAIT_MS)
    tab.set_viewport_size(viewport)
    tab.emulate_media(color_scheme=scheme)
    tab.on("request", asked)
    tab.on("pageerror", failed)
    tab.on("console", said)
    try:
        tab.goto(f"{url}{path}")
        yield tab
    finally:
        tab.context.set_offline(False)
        tab.unroute_all(behavior="wait")
        tab.evaluate("sessionStorage.clear(), localStorage.clear()")
        tab.remove_listener("request", asked)
        tab.remove_listener("pageerror", failed)
        tab.remove_listener("console", said)
        tab.goto("about:blank")
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
