"""The customer mart over HTTP: sums of any choice, single customers, weeks; and what is refused."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import datetime, timezone
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings

from instacart_pipeline.customers.mart_tables import CUSTOMER_MART, SEGMENT_PROFILES
from instacart_pipeline.customers.tables import DISTRIBUTION_CENTERS
from instacart_pipeline.serving.customers.mart_answers import Customer, Segment
from instacart_pipeline_tests.platform import Platform, Row
from instacart_pipeline_tests.serving import web
from instacart_pipeline_tests.serving.customers import crowd
from instacart_pipeline_tests.serving.customers.crowd import BEFORE, WEEK
from instacart_pipeline_tests.tiers import costs

ROWS = crowd.some_customers()
OLDER = ROWS[:200]
KEY = "a-key-of-sixteen"


@pytest.fixture(scope="module")
@costs("contract")
def two_weeks(tmp_path_factory: pytest.TempPathFactory) -> Platform:
    platform = Platform(tmp_path_factory.mktemp("mart"))
    crowd.put(platform, OLDER, BEFORE)
    crowd.put(platform, ROWS)
    return platform


@pytest.fixture(scope="module")
def client(two_weeks: Platform) -> Iterator[httpx.Client]:
    with crowd.api(crowd.weeks_of(two_weeks)) as client:
        yield client


def ask(client: httpx.Client, **choice: str | int) -> Any:
    answer = client.get("/v1/mart", params=choice)
    assert answer.status_code == 200, answer.text
    return answer.json()


@pytest.mark.parametrize(
    "choice",
    [
        {},
        {"country": "China"},
        {"segment": 3},
        {"profit_level": 2},
        {"center": 7},
        {"center": 9},
        {"country": "United States", "segment": 2, "profit_level": 1, "center": 1},
        {"country": "France", "segment": 1, "profit_level": 3},
    ],
    ids=str,
)
def test_every_number_is_that_of_the_chosen_customers_added_up(client: httpx.Client, choice: dict[str, Any]) -> None:
    told = ask(client, **choice)
    reckoned = crowd.expected(ROWS, **choice)
    for name, found in crowd.told(told).items():
        if isinstance(found, dict):
            assert found == pytest.approx(reckoned[name])
            continue
        assert len(found) == len(reckoned[name]), name
        for one, other in zip(found, reckoned[name], strict=True):
            assert one == pytest.approx(other), name
    amounts = {name: told["totals"][name] for name in (*crowd.AMOUNTS, "revenue")}
    assert amounts == {name: f"{reckoned['totals'][name]:.4f}" for name in amounts}, "to the last digit"
    assert told["choice"] == {**dict.fromkeys(("country", "segment", "profit_level", "center")), **choice}


def test_the_answer_says_its_year_and_what_can_be_asked_for(client: httpx.Client) -> None:
    told = ask(client)
    assert (told["as_of"], told["since"]) == (WEEK, "2023-07-22")
    assert told["choices"] == {
        "weeks": [WEEK, BEFORE],
        "countries": ["Brasil", "China", "France", "South Korea", "United States"],
        "segments": [{"segment": number, "name": name} for number, name in crowd.SEGMENTS.items()],
        "profit_levels": [1, 2, 3],
        "centers": [{"id": center["id"], "name": center["name"]} for center in crowd.CENTERS],
    }


def test_segments_say_all_that_their_profiles_do() -> None:
    renamed = {"segment_name": "name"}
    assert {renamed.get(name, name) for name in SEGMENT_PROFILES.column_names} <= set(Segment.model_fields)


def test_an_older_week_is_asked_for_by_its_monday(client: httpx.Client) -> None:
    told = ask(client, week=BEFORE)
    assert told["as_of"] == BEFORE
    assert crowd.told(told)["totals"] == crowd.expected(OLDER)["totals"]
    assert ask(client)["as_of"] == WEEK
    assert client.get(f"/v1/mart/customers/{ROWS[-1]['user_id']}", params={"week": BEFORE}).status_code == 404
    assert client.get("/v1/mart/customers/1", params={"week": BEFORE}).json()["as_of"] == BEFORE


def test_a_customers_answer_is_the_row_of_the_mart(client: httpx.Client) -> None:
    for row in ROWS[::7]:
        told = client.get(f"/v1/mart/customers/{row['user_id']}").json()
        assert told.pop("as_of") == WEEK
        told["registered_at"] = datetime.fromisoformat(told["registered_at"].replace("Z", "+00:00"))
        told.update((name, Decimal(told[name])) for name in crowd.AMOUNTS)
        assert told == {**row, "registered_at": row["registered_at"].replace(tzinfo=timezone.utc)}
    assert list(Customer.model_fields) == ["as_of", *CUSTOMER_MART.column_names]


@pytest.mark.parametrize(
    ("address", "status", "words"),
    [
        ("/v1/mart?country=Atlantis", 404, "There is no country 'Atlantis' as of 2024-07-22. There is: Brasil, China"),
        ("/v1/mart?country=china", 404, "There is no country 'china'"),
        ("/v1/mart?segment=4", 404, "There is no segment 4 as of 2024-07-22. There is: 1 (Bought nothing), 2 ("),
        ("/v1/mart?center=3", 404, "There is no centre 3 as of 2024-07-22. There is: 1 (Memphis TN)"),
        ("/v1/mart?profit_level=4", 422, "profit_level: "),
        ("/v1/mart?segment=0", 422, "segment: "),
        ("/v1/mart?center=9223372036854775808", 422, "center: "),
        ("/v1/mart?country=", 422, "country: "),
        (
            "/v1/mart?week=2024-07-23",
            404,
            "no customer mart as of 2024-07-23. There is one as of 2024-07-22, 2024-07-15.",
        ),
        ("/v1/mart?week=monday", 422, "week: Value error, write a day as 2011-01-31"),
        ("/v1/mart/customers/2", 404, "No customer 2 had registered before 2024-07-22. There are 600, from 1 to 1798."),
        ("/v1/mart/customers/-1", 404, "No customer -1 "),
        ("/v1/mart/customers/9223372036854775807", 404, "No customer 9223372036854775807 "),
        ("/v1/mart/customers/9223372036854775808", 422, "user_id: "),
        ("/v1/mart/customers/me", 422, "user_id: "),
    ],
)
def test_what_can_not_be_meant_is_refused_in_words(client: httpx.Client, address: str, status: int, words: str) -> None:
    answer = client.get(address)
    assert answer.status_code == status
    assert words in answer.json()["error"]["message"]


def test_before_the_first_week_the_commands_that_make_one_are_named(platform: Platform) -> None:
    weeks = crowd.weeks_of(platform)
    with crowd.api(weeks) as client:
        for address in ("/v1/mart", "/v1/mart/customers/1", "/v1/mart?week=2024-07-22"):
            answer = client.get(address)
            assert (answer.status_code, answer.headers["retry-after"]) == (503, "2")
            assert "`instacart-pipeline upload customers DIR --dt MONDAY`" in answer.json()["error"]["message"]
            assert "`instacart-pipeline run customers --dt MONDAY`" in answer.json()["error"]["message"]
        assert client.get("/health").json()["customers"]["status"] == "unused"
        crowd.put(platform, ROWS)
        weeks.try_to_look()
        assert client.get("/v1/mart").status_code == 200
        assert client.get("/health").json()["customers"] == {"status": "ok", "trouble": [], "week": WEEK}


def test_a_week_without_a_single_customer_is_served(platform: Platform) -> None:
    crowd.put(platform, [])
    with crowd.api(crowd.weeks_of(platform)) as client:
        told = ask(client)
        assert told["totals"]["customers"] == 0
        assert told["totals"]["spend"] == "0.0000"
        assert told["totals"]["return_rate"] is None
        assert (told["segments"], told["countries"], told["age_bands"]) == ([], [], [])
        assert [center["customers"] for center in told["centers"]] == [0] * len(crowd.CENTERS)
        missing = client.get("/v1/mart/customers/1")
        assert missing.status_code == 404
        assert "There are none." in missing.json()["error"]["message"]


def test_amounts_stay_exact_where_floats_would_not(platform: Platform) -> None:
    large, small = Decimal("61234567890123.4567"), Decimal("0.0001")
    bought = next(row for row in ROWS if row["items"])
    rows = [
        {**bought, "user_id": number, "spend": spend, "refunds": small, "gross_margin": -spend}
        for number, spend in enumerate((large, small, small), start=1)
    ]
    crowd.put(platform, rows)
    with crowd.api(crowd.weeks_of(platform)) as client:
        totals = ask(client)["totals"]
        assert totals["spend"] == "61234567890123.4569"
        assert totals["revenue"] == "61234567890123.4566"
        assert totals["gross_margin"] == "-61234567890123.4569"
        assert client.get("/v1/mart/customers/1").json()["spend"] == "61234567890123.4567"


@pytest.fixture
@costs("deep")
def under_load(platform: Platform) -> Platform:
    return platform


def test_a_new_week_and_a_new_version_take_over_without_an_answer_lost(under_load: Platform) -> None:
    """Each answer is of one state of the mart, whole: its countries add up to its total, and so do its segments."""
    crowd.put(under_load, OLDER, BEFORE)
    states = {2: ROWS[:100], 3: ROWS[:350], 4: ROWS}
    stop, failures, seen = threading.Event(), list[str](), set[tuple[str, int]]()

    def hammer(url: str) -> None:
        with web.client_of(url) as asking:
            while not stop.is_set():
                told = ask(asking)
                total = Decimal(told["totals"]["spend"])
                parts = [
                    sum(Decimal(one["spend"]) for one in told[name]) for name in ("segments", "countries", "centers")
                ]
                if parts != [total] * 3:
                    failures.append(f"{total} {parts}")
                seen.add((told["as_of"], told["totals"]["customers"]))

    with crowd.listening(under_load, look_every=0.05) as url, ThreadPoolExecutor(2) as pool:
        asking = [pool.submit(hammer, url) for _ in range(2)]
        try:
            web.until(lambda: (BEFORE, len(OLDER)) in seen)
            for number, rows in states.items():
                crowd.put(under_load, rows, version=f"2026010{number}T000000000000-000000")
                web.until(lambda rows=rows: (WEEK, len(rows)) in seen)
        finally:
            stop.set()
    for each in asking:
        each.result()  # raises what was no answer
    assert failures == []
    assert seen == {(BEFORE, len(OLDER)), *((WEEK, len(rows)) for rows in states.values())}


def test_an_older_week_that_is_made_again_is_served_anew(platform: Platform) -> None:
    crowd.put(platform, OLDER, BEFORE)
    crowd.put(platform, ROWS)
    weeks = crowd.weeks_of(platform)
    with crowd.api(weeks) as client:
        assert ask(client, week=BEFORE)["totals"]["customers"] == len(OLDER)
        crowd.put(platform, OLDER[:50], BEFORE, "20260201T000000000000-000000")
        weeks.try_to_look()
        assert ask(client, week=BEFORE)["totals"]["customers"] == 50


def test_centres_of_another_upload_are_no_places_of_this_mart(platform: Platform) -> None:
    crowd.put(platform, ROWS)
    mart = platform.catalog.current(CUSTOMER_MART, WEEK)
    weeks = crowd.weeks_of(platform)
    with crowd.api(weeks) as client:
        assert ask(client)["centers"][0]["latitude"] == crowd.CENTERS[0]["latitude"]
        lineage = {DISTRIBUTION_CENTERS.qualified_name: "another"}
        older = replace(mart, name="20260201T0", lineage=lineage, facts={"upload": "another"})
        platform.catalog.publish(CUSTOMER_MART.database, CUSTOMER_MART.name, WEEK, older)
        weeks.try_to_look()
        assert ask(client)["centers"][0]["latitude"] is None
        assert [center["id"] for center in ask(client)["centers"]] == [1, 2, 4, 7, None]


def test_files_that_can_not_be_read_leave_the_week_before_in_place(platform: Platform) -> None:
    crowd.put(platform, OLDER, BEFORE)
    weeks = crowd.weeks_of(platform)
    with crowd.api(weeks) as client:
        spoilt = platform.zones.version(CUSTOMER_MART, WEEK, "20260101T000000000000-000000")
        platform.write(f"{spoilt}/part-00000.parquet", b"no Parquet")
        version = platform.catalog.current(CUSTOMER_MART, BEFORE)
        platform.catalog.publish(
            CUSTOMER_MART.database, CUSTOMER_MART.name, WEEK, replace(version, location=str(Path(spoilt)))
        )
        weeks.try_to_look()
        health = client.get("/health").json()["customers"]
        assert (health["status"], health["week"]) == ("ok", BEFORE)
        assert "A newer week can't be served" in health["trouble"][0]
        assert ask(client)["as_of"] == BEFORE
        asked = client.get("/v1/mart", params={"week": WEEK})
        assert asked.status_code == 503
        assert f"`instacart-pipeline run customers --dt {WEEK}`" in asked.json()["error"]["message"]


def test_customers_are_behind_the_key_and_the_page_is_not(platform: Platform) -> None:
    crowd.put(platform, ROWS)
    with crowd.api(crowd.weeks_of(platform), [KEY]) as client:
        for address in ("/v1/mart", "/v1/mart/customers/1"):
            assert client.get(address).status_code == 401
            assert client.get(address, headers={"X-API-Key": KEY}).status_code == 200
        page = client.get("/customers")
        assert page.status_code == 200
        assert page.headers["cache-control"] == "no-cache"
        assert "script-src 'self'" in page.headers["content-security-policy"]


@pytest.fixture(scope="module")
@costs("contract")
def url(two_weeks: Platform) -> Iterator[str]:
    with crowd.listening(two_weeks) as url:
        yield url


@pytest.mark.parametrize("path", ["/v1/mart", "/v1/mart/customers/{user_id}"])
def test_every_answer_is_as_described(client: httpx.Client, url: str, path: str, examples: int) -> None:
    schema = schemathesis.openapi.from_dict(client.get("/openapi.json").json())
    bounded = settings(
        max_examples=examples,
        deadline=None,
        derandomize=True,
        phases=(Phase.explicit, Phase.generate),
        suppress_health_check=list(HealthCheck),
    )
    statuses: set[int] = set()

    def unsound(case: Any) -> None:
        answer = case.call(base_url=url)
        statuses.add(answer.status_code)
        case.validate_response(answer)

    def sound(case: Any) -> None:
        if "user_id" in case.path_parameters and not case.query:
            case.path_parameters["user_id"] = ROWS[0]["user_id"]  # of made-up customers few exist
        unsound(case)

    modes: Any = (
        (schemathesis.GenerationMode.POSITIVE, sound),
        (schemathesis.GenerationMode.NEGATIVE, unsound),
    )
    for mode, hold in modes:
        bounded(given(case=schema[path]["GET"].as_strategy(generation_mode=mode))(hold))()
    assert {200, 404, 422} <= statuses


def test_rows_in_any_order_are_the_same_mart(platform: Platform) -> None:
    crowd.put(platform, ROWS[::-1])
    with crowd.api(crowd.weeks_of(platform)) as client:
        assert crowd.told(ask(client))["totals"] == crowd.expected(ROWS)["totals"]
        assert client.get("/v1/mart/customers/4").json()["age"] == ROWS[1]["age"]


@pytest.mark.parametrize("apart", [1, 700_000_000], ids=["near", "far"])
def test_a_choice_of_few_groups_and_of_many_customers_is_the_same_sum(apart: int) -> None:
    """Groups are fewer than customers, and add up to the same, however large the codes are."""
    import numpy as np

    from instacart_pipeline.serving.customers.mart_groups import grouped

    chance = np.random.default_rng(3)
    codes = {name: (apart * chance.integers(0, 3, 5_000)).astype(np.int32) for name in ("b", "c", "d")}
    codes["a"] = chance.integers(0, 3, 5_000).astype(np.int32)
    values = chance.integers(-(2**50), 2**50, 5_000)
    groups = grouped(codes, {"x": values, "n": np.ones(5_000, np.int64)})
    assert len(groups.codes["a"]) == 81
    by_a: list[Row] = [dict(row) for row in groups.of({"b": apart}).by("a", 3)]
    for code in range(3):
        of_it = (codes["a"] == code) & (codes["b"] == apart)
        assert by_a[code] == {"x": sum(map(int, values[of_it])), "n": int(of_it.sum())}
