"""The customers page in a real Chromium: its numbers, the filter, the map, one customer, by keyboard alone, on a phone, and when things fail."""

from __future__ import annotations

import json
from collections.abc import Iterator
from decimal import ROUND_HALF_UP, Decimal
from typing import TYPE_CHECKING, Any, Literal

import pytest

from instacart_pipeline_tests.platform import Platform, Row
from instacart_pipeline_tests.serving.browser import DESKTOP, LOOK, PHONE, focused, opened
from instacart_pipeline_tests.serving.customers import crowd
from instacart_pipeline_tests.serving.customers.crowd import BEFORE, WEEK
from instacart_pipeline_tests.tiers import costs

if TYPE_CHECKING:
    from playwright.sync_api import Page, ViewportSize

ROWS = crowd.some_customers()
OLDER = ROWS[:200]
CHINESE = [row for row in ROWS if row["country"] == "China"]
KEY = "a-key-of-sixteen"


@pytest.fixture(scope="module")
@costs("contract")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    platform = Platform(tmp_path_factory.mktemp("mart"))
    crowd.put(platform, OLDER, BEFORE)
    crowd.put(platform, ROWS)
    with crowd.listening(platform) as url:
        yield url


def dollars(amount: Decimal) -> str:
    rounded = amount.quantize(Decimal("0.01"), ROUND_HALF_UP)
    return f"{'-' if rounded < 0 else ''}${abs(rounded):,.2f}"


def rate(part: float | None) -> str:
    exact = None if part is None else (Decimal(part) * 100).quantize(Decimal("0.1"), ROUND_HALF_UP)
    return "–" if exact is None else f"{exact}%"  # noqa: RUF001  # as the page writes what is not known


def ready(page: Page, rows: list[Row]) -> None:
    """Wait until the page shows the revenue of these customers."""
    page.wait_for_function(
        "said => document.querySelector('#tiles dd')?.firstChild.data === said && document.querySelector('#customers').ariaBusy === 'false'",
        arg=dollars(crowd.sums(rows)["revenue"]),
    )


def table(page: Page, name: str) -> list[list[str]]:
    """The rows of a card's table, as they are read."""
    rows: Any = page.evaluate(
        "name => [...document.querySelectorAll(`#${name} tbody tr`)].map((row) => [...row.cells].map((cell) => cell.firstChild.textContent))",
        name,
    )
    return [list(row) for row in rows]


def shown(page: Page, **choice: Any) -> None:
    """The page shows the numbers of the choice, in every list."""
    expected = crowd.expected(ROWS, **choice)
    assert [row[:3] for row in table(page, "segments")] == [
        [f"{one['segment']}. {one['name']}", f"{one['customers']:,}", rate(one["share"])]
        for one in expected["segments"]
    ]
    centers = sorted(
        (one for one in expected["centers"] if one["id"] is not None), key=lambda one: (-one["customers"], one["id"])
    )
    assert [[row[0], row[1], row[2], row[4]] for row in table(page, "centers")] == [
        [str(at), one["name"], f"{one['customers']:,}", rate(one["near_share"])]
        for at, one in enumerate(centers, start=1)
    ]
    assert [row[1:] for row in table(page, "levels")] == [
        [f"{one['customers']:,}", rate(one["share"]), dollars(one["spend"]), rate(one["return_rate"])]
        for one in expected["profit_levels"]
    ]
    assert [row[:2] for row in table(page, "sources")] == [
        [one["source"] or "Not known", f"{one['customers']:,}"] for one in expected["traffic_sources"]
    ]
    assert [row[:4] for row in table(page, "countries")] == [
        [one["country"] or "Not known", rate(one["return_rate"]), str(one["returns"]), f"{one['items']:,}"]
        for one in expected["countries"]
    ]
    assert [row[1:4] for row in table(page, "ages")] == [
        [rate(one["return_rate"]), str(one["returns"]), f"{one['items']:,}"] for one in expected["age_bands"]
    ]


@pytest.mark.parametrize(("viewport", "scheme"), [(PHONE, "light"), (DESKTOP, "dark")], ids=["phone", "dark"])
def test_the_newest_week_is_there_at_once(
    browser_in_depth: Page, url: str, viewport: ViewportSize, scheme: Literal["light", "dark"]
) -> None:
    with opened(browser_in_depth, url, viewport, "/customers", scheme=scheme) as page:
        ready(page, ROWS)
        shown(page)
        assert page.title() == "Customers as of 22 July 2024"
        assert page.inner_text("#subtitle") == "As of Monday, 22 July 2024"
        assert page.inner_text("#status-text") == "The newest of 2 weeks"
        assert page.evaluate("document.documentElement.scrollWidth") == viewport["width"]
        assert page.locator("main b").count() == 0, "names are text, never markup"
        assert page.locator(".skeleton, .waiting").count() == 0


def test_choices_are_made_in_the_filter_and_in_the_lists_and_kept_in_the_address(
    browser_in_depth: Page, url: str
) -> None:
    with opened(browser_in_depth, url, DESKTOP, "/customers") as page:
        ready(page, ROWS)
        assert page.is_disabled("#clear")
        page.select_option("#country", "China")
        ready(page, CHINESE)
        shown(page, country="China")
        assert page.locator("#countries .marked .name").inner_text() == "China"
        page.click("#segments button >> text=Spend little")
        both = [row for row in CHINESE if row["segment"] == 2]
        ready(page, both)
        shown(page, country="China", segment=2)
        assert page.input_value("#segment") == "2"
        assert page.evaluate("location.search") == "?country=China&segment=2"
        page.reload()
        ready(page, both)
        page.go_back()
        ready(page, CHINESE)
        page.click("#countries button >> text=China")  # once more shows all again
        ready(page, ROWS)
        page.click("#levels button >> text=Level 2")
        ready(page, [row for row in ROWS if row["profit_level"] == 2])
        page.click("#clear")
        ready(page, ROWS)
        assert page.evaluate("location.search") == ""
        assert focused(page) == "week"


def test_an_older_week_is_one_choice_away(browser_in_depth: Page, url: str) -> None:
    with opened(browser_in_depth, url, PHONE, "/customers?customer=1") as page:
        ready(page, ROWS)
        page.wait_for_selector("#one h3 >> text=Customer 1, as of 22 July 2024")
        page.select_option("#week", BEFORE)
        ready(page, OLDER)
        page.wait_for_selector("#one h3 >> text=Customer 1, as of 15 July 2024")
        assert page.title() == "Customers as of 15 July 2024"
        assert page.inner_text("#status-text") == "An older week; the newest is 22 July 2024"
        assert page.evaluate("location.search") == f"?week={BEFORE}&customer=1"
        page.select_option("#week", "")
        ready(page, ROWS)


def test_dots_lie_where_their_centres_do_and_are_as_large_as_their_customers_are_many(
    browser_in_depth: Page, url: str
) -> None:
    with opened(browser_in_depth, url, DESKTOP, "/customers") as page:
        ready(page, ROWS)
        dots: Any = page.evaluate(
            "[...document.querySelectorAll('.map .center')].map((dot) => [Number(dot.dataset.center), "
            "...['cx', 'cy', 'r'].map((name) => Number(dot.querySelector('circle').getAttribute(name)))])"
        )
        at = {number: (x, y, r) for number, x, y, r in dots}
        assert at[4][0] < at[1][0] < at[2][0] < at[9][0] < at[7][0], "west to east"
        assert at[2][1] < at[7][1] < at[1][1] < at[4][1] < at[9][1], "north to south"
        customers = {one["id"]: one["customers"] for one in crowd.expected(ROWS)["centers"]}
        most = max((1, 2, 4, 7), key=lambda number: customers[number])
        for number in (1, 2, 4, 7):
            area = (at[number][2] / at[most][2]) ** 2
            assert area == pytest.approx(customers[number] / customers[most], abs=0.001)
        page.locator(".map [data-center='4']").click()
        ready(page, [row for row in ROWS if row["dc_id"] == 4])
        assert page.locator("#centers .marked .link").inner_text() == "Los Angeles CA"


def test_one_customer_is_looked_up(browser_in_depth: Page, url: str) -> None:
    row = next(row for row in ROWS if row["returns"] and row["dc_id"] and row["country"] and row["age"])
    with opened(browser_in_depth, url, PHONE, "/customers") as page:
        ready(page, ROWS)
        page.fill("#user", str(row["user_id"]))
        page.keyboard.press("Enter")
        page.wait_for_selector("#one dl")
        told: Any = page.evaluate(
            "Object.fromEntries([...document.querySelectorAll('#one dl div')].map((pair) => [...pair.children].map((part) => part.textContent)))"
        )
        assert told["Spend"] == dollars(row["spend"])
        assert told["Segment"] == f"{row['segment']}. {row['segment_name']}"
        assert told["Returned"] == f"{row['returns']} ({rate(row['return_rate'])})"
        assert told["Distance"] == f"{row['distance_in_km']:,.2f} km"
        assert told["Nearest centre"] == row["nearest_distribution_center"]
        page.fill("#user", "2")
        page.click("#one-form button")
        page.wait_for_selector("#user-error:not(:empty)")
        assert page.inner_text("#user-error").startswith("No customer 2 had registered before 2024-07-22.")
        assert page.inner_text("#one") == ""
        assert page.get_attribute("#user", "aria-invalid") == "true"
        page.fill("#user", "me")
        page.click("#one-form button")
        page.wait_for_selector("#user-error >> text=user_id")


def test_its_numbers_are_shown_and_all_of_it_works_by_keyboard_alone(browser: Page, url: str) -> None:
    with opened(browser, url, DESKTOP, "/customers") as page:
        ready(page, ROWS)
        shown(page)
        assert page.inner_text("#status-text") == "The newest of 2 weeks"
        keys = page.keyboard
        keys.press("Tab")
        assert page.evaluate("document.activeElement.className") == "skip"
        keys.press("Enter")
        keys.press("Tab") if focused(page) != "week" else None
        assert focused(page) == "week"
        keys.press("Tab")
        keys.type("Chin")
        ready(page, CHINESE)
        shown(page, country="China")
        assert page.inner_text("#live").startswith(f"{len(CHINESE)} customers as of 22 July 2024: revenue ")
        for _ in range(30):
            keys.press("Tab")
            if page.evaluate("document.activeElement.matches('#centers .link')"):
                break
        name = page.evaluate("document.activeElement.textContent")
        assert page.locator(".map .center.on").count() == 1, "its dot lights up"
        keys.press("Enter")
        center = next(one["id"] for one in crowd.CENTERS if one["name"] == name)
        ready(page, [row for row in CHINESE if row["dc_id"] == center])
        assert page.evaluate("document.activeElement.textContent") == name, "the focus stays where it was"


def test_before_the_first_week_the_command_that_makes_one_is_told(browser_in_depth: Page, platform: Platform) -> None:
    with crowd.listening(platform) as url, opened(browser_in_depth, url, PHONE, "/customers") as page:
        page.wait_for_selector("#trouble .empty")
        assert "instacart-pipeline run customers --dt MONDAY" in page.locator("#trouble code").all_inner_texts()
        assert page.inner_text("#status-text") == "There are no customers to show"
        assert not page.is_visible("#customers")
        assert page.evaluate("document.documentElement.scrollWidth") == PHONE["width"]


def test_what_can_not_be_shown_is_said_in_words(browser_in_depth: Page, url: str) -> None:
    with opened(browser_in_depth, url, DESKTOP, "/customers?country=Atlantis") as page:
        page.wait_for_selector("#trouble .notice")
        assert "There is no country 'Atlantis' as of 2024-07-22." in page.inner_text("#trouble")
        page.wait_for_selector("#country option[value=China]", state="attached")
        page.click("#clear")
        ready(page, ROWS)
        assert page.inner_text("#trouble") == ""
        page.goto(f"{url}/customers?segment=1&profit_level=3")
        page.wait_for_selector("#trouble .empty")
        assert "No customer is all of that." in page.inner_text("#trouble")
        page.click("#clear")
        ready(page, ROWS)
        page.goto(f"{url}/customers?week=2020-01-06")
        page.wait_for_selector("#trouble .notice")
        assert "There is no customer mart as of 2020-01-06." in page.inner_text("#trouble")


def test_a_server_that_is_away_is_told_and_tried_again(browser_in_depth: Page, url: str) -> None:
    with opened(browser_in_depth, url, DESKTOP, "/customers") as page:
        ready(page, ROWS)
        page.context.set_offline(True)
        page.select_option("#country", "China")
        page.wait_for_selector("#trouble .notice")
        assert "The server can\u2019t be reached." in page.inner_text("#trouble")
        page.context.set_offline(False)
        page.click("text=Try again")
        ready(page, CHINESE)


def test_a_locked_server_asks_for_its_key(browser_in_depth: Page, platform: Platform) -> None:
    crowd.put(platform, ROWS)
    with (
        crowd.listening(platform, [KEY]) as url,
        opened(browser_in_depth, url, PHONE, "/customers?country=China&customer=1") as page,
    ):
        page.wait_for_selector("#key-form:visible")
        page.fill("#key", "a-wrong-key-of-sixteen")
        page.keyboard.press("Enter")
        page.wait_for_selector("#key-error:not(:empty)")
        page.fill("#key", KEY)
        page.keyboard.press("Enter")
        ready(page, CHINESE)
        page.wait_for_selector(f"#one h3 >> text=Customer 1, as of {int(WEEK[-2:])} July 2024")
        assert not page.is_visible("#key-form")
        assert KEY not in page.content()


def test_every_field_has_a_name_and_every_colour_can_be_read(browser_in_depth: Page, url: str) -> None:
    with opened(browser_in_depth, url, DESKTOP, "/customers?country=China&center=4&customer=1") as page:
        ready(page, [row for row in CHINESE if row["dc_id"] == 4])
        page.wait_for_selector("#one dl")
        for summary in page.locator("summary").all():
            summary.click()
        for scheme in ("light", "dark"):
            page.emulate_media(color_scheme=scheme)
            found = page.evaluate(LOOK)
            assert (found["nameless"], found["h1"], found["twice"]) == ([], 1, [])
            assert found["language"] == "en-GB"
            assert found["pale"] == [], scheme
            assert found["small"] == [], json.dumps(found["small"])
