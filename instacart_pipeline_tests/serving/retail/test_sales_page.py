"""The sales page in a real Chromium: its numbers, the filter, by keyboard alone, on a phone, and when things fail."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import date
from decimal import ROUND_HALF_UP, Decimal
from typing import TYPE_CHECKING, Any, Literal

import pytest

from instacart_pipeline_tests.platform import Platform
from instacart_pipeline_tests.serving.browser import DESKTOP, LOOK, PHONE, focused, opened
from instacart_pipeline_tests.serving.retail import books
from instacart_pipeline_tests.tiers import costs

if TYPE_CHECKING:
    from playwright.sync_api import Page, Route, ViewportSize

LINES = books.some_lines()
GERMANS = [line for line in LINES if line.country == "Germany"]
KEY = "a-key-of-sixteen"
MONTHS = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
]


@pytest.fixture(scope="module")
@costs("contract")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    platform = Platform(tmp_path_factory.mktemp("sales"))
    books.put(platform, LINES)
    with books.listening(platform) as url:
        yield url


def pounds(amount: Decimal) -> str:
    rounded = amount.quantize(Decimal("0.01"), ROUND_HALF_UP)
    return f"{'-' if rounded < 0 else ''}£{abs(rounded):,.2f}"


def revenue_of(lines: list[books.Line]) -> str:
    return pounds(sum((line.amount for line in lines), Decimal(0)))


def ready(page: Page, revenue: str) -> None:
    """Wait until the page shows that net revenue."""
    page.wait_for_function(
        "said => document.querySelector('#tiles dd')?.innerText === said && document.querySelector('#sales').ariaBusy === 'false'",
        arg=revenue,
    )


def table(page: Page, name: str) -> list[list[str]]:
    """The rows of a chart's numbers, as they are read."""
    rows: Any = page.evaluate(
        "name => [...document.querySelectorAll(`#${name} tbody tr`)].map((row) => [...row.cells].map((cell) => cell.textContent))",
        name,
    )
    return [list(row) for row in rows]


def shown(page: Page, lines: list[books.Line]) -> None:
    """The page shows these lines' numbers, to the penny, in every table that the country does not reach beyond."""
    expected = books.expected(lines)
    months = [row for row in table(page, "months") if row[1] != "£0.00"]
    assert [row[0].removesuffix(" (in part)") for row in months] == [
        f"{MONTHS[int(row['month'][5:]) - 1]} {row['month'][:4]}" for row in expected["months"]
    ]
    assert [row[1] for row in months] == [pounds(row["revenue"]) for row in expected["months"]]
    assert [row[1] for row in table(page, "quarters")] == [pounds(row["revenue"]) for row in expected["quarters"]]
    assert [row[1:] for row in table(page, "weeks") if row[1:] != ["£0.00", "0", "0"]] == [
        [pounds(row["revenue"]), f"{row['invoices']:,}", f"{row['quantity']:,}"] for row in expected["weeks"]
    ]
    assert table(page, "seasons") == [
        [
            one["season"].title(),
            product["product_code"],
            product["description"] or f"Product {product['product_code']}",
            pounds(product["revenue"]),
            f"{product['quantity']:,}",
        ]
        for one in expected["seasons"]
        for product in one["products"]
    ]
    assert table(page, "customers") == [
        [f"{row['rank']}. {row['customer_id']}", row["country"], pounds(row["revenue"]), str(row["invoices"])]
        for row in expected["customers"][:10]
    ]


@pytest.mark.parametrize(("viewport", "scheme"), [(PHONE, "light"), (DESKTOP, "dark")], ids=["phone", "dark"])
def test_the_page_shows_the_numbers_of_the_tables(
    browser_in_depth: Page, url: str, viewport: ViewportSize, scheme: Literal["light", "dark"]
) -> None:
    with opened(browser_in_depth, url, viewport, "/sales", scheme=scheme) as page:
        ready(page, revenue_of(LINES))
        shown(page, LINES)
        assert [row[:2] for row in table(page, "countries")] == [
            [f"{row['rank']}. {row['country']}", pounds(row["revenue"])] for row in books.expected(LINES)["countries"]
        ]
        invoices = len({line.invoice for line in LINES if line.invoice[0] != "C"})
        assert page.locator("#tiles dd").all_inner_texts()[1:3] == [f"{invoices:,}", f"{len(LINES):,}"]
        assert page.locator("#months .column").count() == 13
        begins_whole = min(line.day for line in LINES).day == 1
        assert page.locator("#months .column.partial").count() == (1 if begins_whole else 2)
        assert page.inner_text("#status-text") == "Sales up to 9 December 2011"
        assert page.evaluate("document.documentElement.scrollWidth") == viewport["width"]
        assert page.locator("main b").count() == 0, "names are text, never markup"


def test_columns_are_as_high_as_their_numbers(browser_in_depth: Page, url: str) -> None:
    with opened(browser_in_depth, url, DESKTOP, "/sales") as page:
        ready(page, revenue_of(LINES))
        heights = [float(one.get_attribute("height") or 0) for one in page.locator("#months .column").all()]
        revenue = [float(row["revenue"]) for row in books.expected(LINES)["months"]]
        scale = max(heights) / max(revenue)
        assert heights == pytest.approx([value * scale for value in revenue], abs=0.01)


def test_a_country_and_days_are_chosen_and_kept_in_the_address(browser_in_depth: Page, url: str) -> None:
    with opened(browser_in_depth, url, DESKTOP, "/sales") as page:
        ready(page, revenue_of(LINES))
        page.click("#country")
        page.click("#country-list >> text=Germany")
        ready(page, revenue_of(GERMANS))
        shown(page, GERMANS)
        assert page.locator("#countries .marked .name").inner_text() == "Germany"
        page.fill("#from", "2011-03-15")
        page.fill("#to", "2011-08-02")
        chosen = [line for line in GERMANS if date(2011, 3, 15) <= line.day <= date(2011, 8, 2)]
        ready(page, revenue_of(chosen))
        shown(page, chosen)
        assert page.locator("#months .column.partial").count() == 2
        assert page.evaluate("location.search") == "?country=Germany&from=2011-03-15&to=2011-08-02"
        page.reload()
        ready(page, revenue_of(chosen))
        assert (page.input_value("#country"), page.input_value("#from")) == ("Germany", "2011-03-15")
        page.go_back()
        page.go_back()
        ready(page, revenue_of(GERMANS))
        page.click("#countries button >> text=Germany")  # once more shows all again
        ready(page, revenue_of(LINES))
        assert page.evaluate("location.search") == ""


def test_quick_ranges_count_back_from_the_newest_day(browser_in_depth: Page, url: str) -> None:
    with opened(browser_in_depth, url, PHONE, "/sales") as page:
        ready(page, revenue_of(LINES))
        for name, first in (
            ("Last 30 days", date(2011, 11, 10)),
            ("Last 90 days", date(2011, 9, 11)),
            ("2011", date(2011, 1, 1)),
        ):
            page.click(f"#ranges >> text={name}")
            ready(page, revenue_of([line for line in LINES if line.day >= first]))
            assert page.locator("#ranges [aria-pressed=true]").inner_text() == name
            assert (page.input_value("#from"), page.input_value("#to")) == (str(first), "2011-12-09")
        page.click("#ranges >> text=All days")
        ready(page, revenue_of(LINES))


def test_an_address_opens_the_view_it_names(browser_in_depth: Page, url: str) -> None:
    with opened(browser_in_depth, url, PHONE, "/sales?country=EIRE&to=2011-06-30") as page:
        chosen = [line for line in LINES if line.country == "EIRE" and line.day <= date(2011, 6, 30)]
        ready(page, revenue_of(chosen))
        shown(page, chosen)
        assert page.title() == "Sales to EIRE"
        assert page.evaluate("document.documentElement.scrollWidth") == PHONE["width"]


def test_its_numbers_are_shown_and_all_of_it_works_by_keyboard_alone(browser: Page, url: str) -> None:
    with opened(browser, url, DESKTOP, "/sales") as page:
        ready(page, revenue_of(LINES))
        shown(page, LINES)
        assert page.inner_text("#status-text") == "Sales up to 9 December 2011"
        keys = page.keyboard
        keys.press("Tab")
        assert page.evaluate("document.activeElement.className") == "skip"
        keys.press("Enter")
        keys.press("Tab") if focused(page) != "country" else None
        assert focused(page) == "country"
        keys.type("fra")
        page.wait_for_function("() => document.querySelectorAll('#country-list [role=option]').length === 1")
        keys.press("Enter")
        french = [line for line in LINES if line.country == "France"]
        ready(page, revenue_of(french))
        shown(page, french)
        assert page.inner_text("#live").startswith("Sales to France, ")
        assert f"to 9 December 2011: net revenue {revenue_of(french)}, " in page.inner_text("#live")
        for _ in range(30):
            keys.press("Tab")
            if page.evaluate("document.activeElement.matches('#months .hit')"):
                break
        months = books.expected(french)["months"]
        keys.press("End")
        assert page.inner_text("#months .tip.shown strong") == pounds(months[-1]["revenue"])
        assert "December 2011" in page.inner_text("#months .tip.shown")
        keys.press("Home")
        keys.press("ArrowRight")
        name = page.evaluate("document.activeElement.getAttribute('aria-label')")
        assert name == f"January 2011, {pounds(months[1]['revenue'])}"
        keys.press("Escape")
        assert page.locator("#months .tip.shown").count() == 0
        keys.press("Tab")
        assert focused(page) == "SUMMARY"
        keys.press("Enter")
        assert page.is_visible("#months table")


def test_a_chart_speaks_where_the_mouse_is(browser_in_depth: Page, url: str) -> None:
    with opened(browser_in_depth, url, DESKTOP, "/sales") as page:
        ready(page, revenue_of(LINES))
        page.hover("#weeks .hit >> nth=20")
        week = table(page, "weeks")[20]
        assert page.inner_text("#weeks .tip.shown").splitlines() == [
            week[1],
            week[0],
            f"{week[2]} {'invoice' if week[2] == '1' else 'invoices'}, {week[3]} pieces",
        ]
        page.hover("h1")
        assert page.locator(".tip.shown").count() == 0


def test_what_can_not_be_shown_is_said_in_words(browser_in_depth: Page, url: str) -> None:
    with opened(browser_in_depth, url, DESKTOP, "/sales?country=Atlantis") as page:
        page.wait_for_selector("#trouble .notice")
        assert "Nothing was sold to 'Atlantis'" in page.inner_text("#trouble")
        page.click("#country")
        page.click("#country-list >> text=All countries")
        ready(page, revenue_of(LINES))
        assert page.inner_text("#trouble") == ""
        page.fill("#from", "2011-06-02")
        page.fill("#to", "2011-06-01")
        page.wait_for_selector("#dates-error:not(:empty)")
        assert page.inner_text("#dates-error") == "The first day lies after the last one. Turn them round."
        page.goto(f"{url}/sales?country=Germany&from=2010-12-25&to=2010-12-26")
        page.wait_for_selector("#trouble .empty")
        assert page.inner_text("#trouble").startswith(
            "Nothing was sold to Germany, 25 to 26 December 2010. The records go from"
        )
        assert not page.is_visible("#charts")


def test_a_server_that_is_away_is_told_and_tried_again(browser_in_depth: Page, url: str) -> None:
    with opened(browser_in_depth, url, DESKTOP, "/sales") as page:
        ready(page, revenue_of(LINES))
        page.context.set_offline(True)
        page.click("#ranges >> text=2011")
        page.wait_for_selector("#trouble .notice")
        assert "The server can\u2019t be reached." in page.inner_text("#trouble")
        page.context.set_offline(False)
        page.click("text=Try again")
        ready(page, revenue_of([line for line in LINES if line.day.year == 2011]))


def test_a_slow_answer_is_waited_for_in_plain_sight(browser_in_depth: Page, url: str) -> None:
    with opened(browser_in_depth, url, DESKTOP, "/static/icon.svg") as page:

        def later(route: Route) -> None:
            page.wait_for_timeout(500)
            route.continue_()

        page.route("**/v1/sales*", later)
        page.goto(f"{url}/sales", wait_until="commit")
        page.wait_for_selector("#sales[aria-busy=true] .skeleton")
        ready(page, revenue_of(LINES))
        assert page.locator(".skeleton, .waiting").count() == 0


def test_a_week_below_zero_and_a_gap_are_drawn(browser_in_depth: Page, platform: Platform) -> None:
    def line(day: date, invoice: str, quantity: int) -> books.Line:
        return books.Line(day, "Germany", invoice, "1", "10002", quantity, Decimal("12.50"))

    lines = [line(date(2011, 1, 4), "1", 40), line(date(2011, 2, 1), "C2", -30), line(date(2011, 5, 3), "3", 20)]
    books.put(platform, lines)
    with books.listening(platform) as url, opened(browser_in_depth, url, PHONE, "/sales") as page:
        ready(page, "£375.00")
        assert [row[:2] for row in table(page, "months")] == [
            ["January 2011 (in part)", "£500.00"],
            ["February 2011", "-£375.00"],
            ["March 2011", "£0.00"],
            ["April 2011", "£0.00"],
            ["May 2011", "£250.00"],
        ]
        zero = float(page.get_attribute("#months .zero", "y1") or 0)
        tops = [float(one.get_attribute("y") or 0) for one in page.locator("#months .column").all()]
        assert tops[0] < zero
        assert tops[1] == pytest.approx(zero)
        assert page.locator("#months .unit").text_content() == "£"


def test_a_locked_server_asks_for_its_key(browser_in_depth: Page, platform: Platform) -> None:
    books.put(platform, LINES)
    with (
        books.listening(platform, [KEY]) as url,
        opened(browser_in_depth, url, PHONE, "/sales?country=Germany") as page,
    ):
        page.wait_for_selector("#key-form:visible")
        assert focused(page) == "key"
        page.keyboard.type("a-wrong-key-of-sixteen")
        page.keyboard.press("Enter")
        page.wait_for_selector("#key-error:not(:empty)")
        page.fill("#key", KEY)
        page.keyboard.press("Enter")
        ready(page, revenue_of(GERMANS))
        assert not page.is_visible("#key-form")
        page.reload()
        ready(page, revenue_of(GERMANS))
        assert KEY not in page.content()


def test_every_field_has_a_name_and_every_colour_can_be_read(browser_in_depth: Page, url: str) -> None:
    with opened(browser_in_depth, url, DESKTOP, "/sales?country=Germany") as page:
        ready(page, revenue_of(GERMANS))
        for summary in page.locator("summary").all():
            summary.click()
        for scheme in ("light", "dark"):
            page.emulate_media(color_scheme=scheme)
            found = page.evaluate(LOOK)
            assert (found["nameless"], found["h1"], found["twice"]) == ([], 1, [])
            assert found["language"] == "en-GB"
            assert found["pale"] == [], scheme
            assert found["small"] == [], json.dumps(found["small"])
