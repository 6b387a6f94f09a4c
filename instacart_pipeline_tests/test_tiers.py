"""The tiers: that a test's tier and group follow from its fixtures, what a unit test may not do, and what a run says at its end."""

from __future__ import annotations

from pathlib import Path

import pytest

from instacart_pipeline_tests import tiers
from instacart_pipeline_tests.tiers import costs

pytest_plugins = ["pytester"]

FIXTURES = """
    import pytest
    from instacart_pipeline_tests.tiers import costs, skip_without

    @pytest.fixture
    @costs("contract")
    def double():
        return 1

    @pytest.fixture
    def lake(double):
        return double

    @pytest.fixture(params=["duckdb", "spark"])
    @costs("contract", deep_params=("spark",))
    def engine(request):
        return request.param

    @pytest.fixture(scope="module", params=["local", "aws"])
    @costs("contract")
    def backend(request):
        return request.param

    @pytest.fixture
    @costs("e2e")
    def browser():
        skip_without("Chromium")
"""


@pytest.fixture
def run(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    """A folder of tests with fixtures of each tier, whose fixtures count as the project's."""
    pytester.makeconftest(FIXTURES)
    monkeypatch.setattr(tiers, "PACKAGE", "")
    return pytester


def outcome(run: pytest.Pytester, tests: str, *options: str) -> pytest.RunResult:
    run.makepyfile(test_it=tests)
    return run.runpytest_inprocess("-p", "instacart_pipeline_tests.tiers", "-p", "no:xdist", *options)


def placed(run: pytest.Pytester, tests: str) -> dict[str, tiers.Placement]:
    module = run.makepyfile(test_it=tests)
    items, _ = run.inline_genitems(module, "-p", "instacart_pipeline_tests.tiers")
    return {item.name: tiers.placement_of(item) for item in items}


def test_a_test_is_of_the_highest_tier_of_its_fixtures(run: pytest.Pytester) -> None:
    found = placed(
        run,
        """
        def test_plain(tmp_path): ...
        def test_indirect(lake): ...
        def test_page(lake, browser): ...
        """,
    )
    assert {name: place.tier for name, place in found.items()} == {
        "test_plain": "unit",
        "test_indirect": "contract",
        "test_page": "e2e",
    }


def test_a_parameter_that_costs_more_makes_only_its_own_test_deep(run: pytest.Pytester) -> None:
    found = placed(run, "def test_it(engine): ...")
    assert {name: place.tier for name, place in found.items()} == {
        "test_it[duckdb]": "contract",
        "test_it[spark]": "deep",
    }


def test_tests_that_share_a_fixture_are_a_group_of_their_own_for_each_parameter(run: pytest.Pytester) -> None:
    found = placed(run, "def test_one(backend): ...\ndef test_two(backend): ...\ndef test_alone(double): ...")
    assert {name: place.group for name, place in found.items()} == {
        "test_one[local]": "test_it.py (local)",
        "test_two[local]": "test_it.py (local)",
        "test_one[aws]": "test_it.py (aws)",
        "test_two[aws]": "test_it.py (aws)",
        "test_alone": "",
    }


@pytest.fixture
@costs("contract")
def two_workers(run: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    """`run`, by the two worker processes of pytest-xdist."""
    monkeypatch.setenv("PYTHONPATH", str(Path(tiers.__file__).parents[1]))
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    run.makeconftest(f"{FIXTURES}\n    from instacart_pipeline_tests import tiers\n    tiers.PACKAGE = ''\n")
    return run


def test_a_group_is_run_by_one_worker(two_workers: pytest.Pytester) -> None:
    tests = "import os, pathlib\n" + "".join(
        f"def test_{number}(backend): pathlib.Path(f'by-{{backend}}-{{os.getpid()}}').touch()\n" for number in range(8)
    )
    two_workers.makepyfile(test_it=tests)
    result = two_workers.runpytest_subprocess(
        *("-p", "xdist", "-p", "instacart_pipeline_tests.tiers", "-n", "2", "--dist", "loadgroup"), timeout=600
    )
    result.assert_outcomes(passed=16)
    names = sorted(file.name.split("-")[1] for file in two_workers.path.glob("by-*"))
    assert names == ["aws", "local"], "a backend was made by more than one process"


@pytest.mark.parametrize(
    ("what", "event"),
    [
        ("import socket; socket.socket().bind(('127.0.0.1', 0))", "socket.bind"),
        ("import subprocess; subprocess.run(['true'])", "subprocess.Popen"),
    ],
)
def test_a_unit_test_that_starts_something_fails_and_one_that_declares_it_does_not(
    run: pytest.Pytester, what: str, event: str
) -> None:
    result = outcome(run, f"def test_pure():\n    {what}\n\ndef test_declared(double):\n    {what}\n")
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines([f"*test_pure is a unit test and may not do {event}.*"])


def test_each_tier_says_what_it_cost_and_one_over_its_budget_fails_the_run(
    run: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    tests = "def test_it():\n    sum(range(2_000_000))\n\ndef test_other(double): ...\n"
    within = outcome(run, tests)
    within.stdout.fnmatch_lines(["unit *1 tests * s of * s", "contract *1 tests * s of * s"])
    assert within.ret == pytest.ExitCode.OK
    monkeypatch.setattr(tiers, "CPU_BUDGET", {**tiers.CPU_BUDGET, "unit": 0.0})
    over = outcome(run, tests)
    over.stdout.fnmatch_lines(["unit *1 tests *over 1.5 times the budget*"])
    assert over.ret == pytest.ExitCode.TESTS_FAILED
    assert outcome(run, tests, "-k", "other").ret == pytest.ExitCode.OK


def test_a_run_says_what_was_skipped_for_want_of_what_and_how_to_get_it(run: pytest.Pytester) -> None:
    result = outcome(run, "def test_one(browser): ...\ndef test_two(browser): ...\n")
    result.assert_outcomes(skipped=2)
    result.stdout.fnmatch_lines(["Chromium: 2 tests. To run them: Debian: apt-get install chromium*"])
