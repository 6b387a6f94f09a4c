"""The page in a real Chromium: what people see and do, by mouse, by keyboard alone, on a phone, and when things fail."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import pytest

from instacart_pipeline.resources.endpoints.local import LocalEndpoints
from instacart_pipeline_tests.platform import Platform
from instacart_pipeline_tests.serving.browser import DESKTOP, LOOK, PHONE, focused, opened
from instacart_pipeline_tests.serving.reorder import shop

if TYPE_CHECKING:
    from playwright.sync_api import Page, Route, ViewportSize

KEY = "a-key-of-sixteen"


def basket_of(page: Page) -> list[str]:
    return [re.sub(r"\s+", " ", text) for text in page.locator("#basket-body > .items > li").all_inner_texts()]


@pytest.mark.parametrize(("viewport", "scheme"), [(PHONE, "light"), (DESKTOP, "dark")], ids=["phone", "dark"])
def test_a_customers_basket_is_two_clicks_away(
    browser_in_depth: Page, url: str, viewport: ViewportSize, scheme: Literal["light", "dark"]
) -> None:
    with opened(browser_in_depth, url, viewport, scheme=scheme) as page:
        page.click("#customer")
        page.click("#customer-list >> text=7")
        page.wait_for_selector("#basket .items")
        shown(page)
        assert page.evaluate("document.documentElement.scrollWidth") == viewport["width"]


def shown(page: Page) -> None:
    """The page shows customer 7's basket."""
    assert basket_of(page) == [
        "Organic Bananas fresh things 92%",
        "Whole Milk fresh things 81%",
        "Sourdough Loaf fresh things 64%",
    ]
    widths = [bar.get_attribute("style") for bar in page.locator("#basket-body > .items .bar i").all()]
    assert widths == ["width: 92%;", "width: 81%;", "width: 64%;"]
    assert "Order no. 6, placed at 10:00, 7 days after the one before." in page.inner_text("#basket-body")
    assert page.locator("#last li.again").first.inner_text().startswith("Sourdough Loaf")
    assert page.inner_text("#status-text") == "Data of 20 November 2026 · model version 1"


def test_a_customers_basket_is_shown_and_all_of_it_works_by_keyboard_alone(browser: Page, url: str) -> None:
    with opened(browser, url, DESKTOP, "/#customer=7") as page:
        page.wait_for_selector("#basket .items")
        shown(page)
    with opened(browser, url, DESKTOP) as page:
        page.wait_for_selector("#chips button")
        keys = page.keyboard
        keys.press("Tab")
        assert page.evaluate("document.activeElement.className") == "skip"
        keys.press("Enter")
        keys.press("Tab") if focused(page) != "customer" else None
        assert focused(page) == "customer"
        outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
        assert outline == "solid", "the focus is to be seen"
        keys.type("12")
        page.wait_for_function("() => document.querySelectorAll('#customer-list [role=option]').length === 3")
        keys.press("ArrowDown")
        keys.press("ArrowDown")
        keys.press("ArrowUp")
        marked = page.get_attribute("#customer", "aria-activedescendant")
        assert page.inner_text(f"#{marked} span") == "12"
        keys.press("Escape")
        assert page.get_attribute("#customer", "aria-expanded") == "false"
        keys.press("ArrowDown")
        page.wait_for_selector("#customer-list [aria-selected=true]")
        keys.press("Enter")
        page.wait_for_selector("#basket .items")
        assert page.inner_text("#live") == "Predicted basket of customer 12: 1 product, or none at all."
        keys.press("Tab")  # the list of what is not predicted
        assert focused(page) == "SUMMARY"
        keys.press("Enter")
        assert page.locator("#basket details .items").inner_text().startswith("Earl Grey Tea")
        keys.press("Tab")
        assert focused(page) == "product"
        keys.type("tea")
        page.wait_for_selector("#product-list [role=option]")
        keys.press("Enter")  # there is but one
        page.wait_for_selector("#product-verdict .answer")
        assert page.inner_text("#product-verdict") == "Unlikely to buy\nEarl Grey Tea · Probability 0.0000"
        for _ in range(4):  # past the last orders
            keys.press("Tab")
        assert focused(page) == "vector"
        keys.type(shop.ORIGINAL_ROW)
        keys.press("Tab")
        keys.press("Enter")
        page.wait_for_selector("#vector-verdict .answer")
        assert page.inner_text("#vector-verdict") == "Likely to buy\nProbability 0.3000"


def test_a_number_that_is_typed_whole_needs_no_list(browser_in_depth: Page, url: str) -> None:
    with opened(browser_in_depth, url, PHONE) as page:
        page.fill("#customer", "120")
        page.press("#customer", "Enter")
        page.wait_for_function("() => location.hash === '#customer=120'")
        assert "the best prediction is “none”" in page.inner_text("#basket-body")
        assert page.locator("#basket details").get_attribute("open") is not None
        page.fill("#customer", "5")
        page.wait_for_selector("#customer-list .none")
        assert page.inner_text("#customer-list") == "No customer\u2019s number begins with 5."
        page.keyboard.press("Enter")
        assert page.evaluate("location.hash") == "#customer=120"


def test_an_address_names_its_customer(browser_in_depth: Page, url: str) -> None:
    with opened(browser_in_depth, url, DESKTOP, "/#customer=7") as page:
        page.wait_for_selector("#basket .items")
        assert page.input_value("#customer") == "7"
        page.evaluate("location.hash = '#customer=3'")
        page.wait_for_selector("#basket .notice")
        assert "User 3 has no open order" in page.inner_text("#basket .notice")
        assert not page.is_visible("#last")
        assert page.is_disabled("#product")


def test_names_are_text_never_markup(browser_in_depth: Page, url: str) -> None:
    with opened(browser_in_depth, url, DESKTOP, "/#customer=7") as page:
        page.wait_for_selector("#basket .items")
        page.click("#basket summary")
        assert "<b>Bold</b> & Spicy Salsa" in page.inner_text("#basket-body")
        assert page.locator("main b").count() == 0


def test_a_product_never_bought_is_said_plainly(browser_in_depth: Page, url: str) -> None:
    with opened(browser_in_depth, url, PHONE, "/#customer=7") as page:
        page.wait_for_selector("#basket .items")
        page.fill("#product", "noodles")
        page.click("#product-list >> text=Never Bought Noodles")
        page.wait_for_selector("#product-verdict .said")
        assert page.inner_text("#product-verdict") == (
            "User 7 has never bought Never Bought Noodles. The model speaks about products bought before."
        )
        page.fill("#product", "MILK")
        page.wait_for_function("() => document.querySelector('#product-list small')?.textContent === 'bought before'")
        page.press("#product", "Enter")
        page.wait_for_selector("#product-verdict .likely")
        assert page.inner_text("#product-verdict") == "Likely to buy\nWhole Milk · Probability 0.8100"


def test_a_vector_that_cannot_be_read_is_told_beside_its_field(browser_in_depth: Page, url: str) -> None:
    with opened(browser_in_depth, url, PHONE) as page:
        page.fill("#vector", shop.ORIGINAL_ROW.replace("75", "many"))
        page.click("#vector-form button[type=submit]")
        page.wait_for_selector("#vector-error:not(:empty)")
        assert "Row 1, field 3 (user_period) is 'many'." in page.inner_text("#vector-error")
        assert page.get_attribute("#vector", "aria-invalid") == "true"
        assert focused(page) == "vector"
        page.click("#vector-example")
        page.wait_for_selector("#vector-verdict .answer")
        assert page.inner_text("#vector-error") == ""
        assert page.get_attribute("#vector", "aria-invalid") is None
        page.fill("#vector", f"{shop.ORIGINAL_ROW}\n1{shop.ORIGINAL_ROW[1:]}")
        page.click("#vector-form button[type=submit]")
        page.wait_for_function("() => document.querySelectorAll('#vector-verdict .answer').length === 2")
        assert page.inner_text("#vector-verdict").splitlines() == [
            *("Likely to buy", "Row 1 · Probability 0.3000"),
            *("Unlikely to buy", "Row 2 · Probability 0.1000"),
        ]
        assert page.evaluate("document.documentElement.scrollWidth") == PHONE["width"]


def test_a_server_that_is_away_is_told_and_tried_again(browser_in_depth: Page, url: str) -> None:
    with opened(browser_in_depth, url, DESKTOP) as page:
        page.wait_for_selector("#chips button")
        page.context.set_offline(True)
        page.click("#chips button >> nth=0")
        page.wait_for_selector("#basket .notice")
        assert "The server can\u2019t be reached." in page.inner_text("#basket .notice")
        page.context.set_offline(False)
        page.click("text=Try again")
        page.wait_for_selector("#basket .items")


def test_a_slow_answer_is_waited_for_in_plain_sight(browser_in_depth: Page, url: str) -> None:
    with opened(browser_in_depth, url, DESKTOP) as page:
        page.wait_for_selector("#chips button")

        def later(route: Route) -> None:
            page.wait_for_timeout(600)
            route.continue_()

        page.route("**/v1/users/7/basket*", later)
        page.click("#chips button >> nth=0")
        page.wait_for_selector("#basket[aria-busy=true] .skeleton")
        page.wait_for_selector("#basket[aria-busy=false] .items")


def test_a_locked_server_asks_for_its_key_and_keeps_it_in_the_tab(
    browser_in_depth: Page, home: Path, endpoints: LocalEndpoints
) -> None:
    with (
        shop.listening(shop.service(Platform(home), endpoints), [KEY]) as url,
        opened(browser_in_depth, url, PHONE, "/#customer=7") as page,
    ):
        page.wait_for_selector("#key-form:visible")
        assert focused(page) == "key"
        page.keyboard.type("a-wrong-key-of-sixteen")
        page.keyboard.press("Enter")
        page.wait_for_selector("#key-error:not(:empty)")
        assert "This API key is not known." in page.inner_text("#key-error")
        page.fill("#key", KEY)
        page.keyboard.press("Enter")
        page.wait_for_selector("#basket .items")
        assert not page.is_visible("#key-form")
        page.reload()
        page.wait_for_selector("#basket .items")
        assert KEY not in page.content()
        page.click("#forget")
        page.wait_for_selector("#key-form:visible")


def test_every_field_has_a_name_and_every_colour_can_be_read(browser_in_depth: Page, url: str) -> None:
    """The basics of what accessibility checkers look at: names, one h1, unique ids, contrast of at least 4.5."""
    with opened(browser_in_depth, url, DESKTOP, "/#customer=12") as page:
        page.wait_for_selector("#basket .items")
        page.click("#vector-example")
        page.wait_for_selector("#vector-verdict .answer")
        for scheme in ("light", "dark"):
            page.emulate_media(color_scheme=scheme)
            found = page.evaluate(LOOK)
            assert found["nameless"] == []
            assert found["h1"] == 1
            assert found["language"] == "en"
            assert found["twice"] == []
            assert found["pale"] == [], scheme
            assert found["small"] == []
