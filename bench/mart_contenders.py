"""The contenders of the customer mart: how each is called, and where its mart lies afterwards.

Belongs here: command lines, environments, files. Doesn't: measuring, and what the figures mean.
"""

from __future__ import annotations

import os
import subprocess
import sys
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.contenders import PROJECT, Limits
from bench.measure import CommandFailed, Cost, measure
from bench.peers import WEEK


@dataclass(frozen=True)
class Run:
    """One measured run, and the Parquet files of the mart that it made."""

    cost: Cost
    mart: Sequence[str]


class Contender(ABC):
    """Makes the customer mart of a folder of thelook's CSVs, as a command."""

    def __init__(self, name: str, title: str) -> None:
        self.name = name
        self.title = title

    @abstractmethod
    def run(self, raw: Path, out: Path, limits: Limits) -> Run:
        """Make it below `out`, which exists and is empty. Raises CommandFailed."""


class Peer(Contender):
    """One of the scripts bench.peers.mart_*."""

    def run(self, raw: Path, out: Path, limits: Limits) -> Run:
        """Run the script, which writes customers.parquet."""
        command = [sys.executable, "-m", f"bench.peers.mart_{self.name.replace('-', '_')}", str(raw), str(out)]
        cost = measure(
            [*command, "--memory", limits.memory],
            env=os.environ,
            cwd=PROJECT,
            log=out / "log.txt",
            timeout=limits.timeout,
        )
        return Run(cost, [str(out / "customers.parquet")])


class Chain(Contender):
    """The platform, in a home that nothing has run in before. `whole`: segments, the mart of both, and the warehouse too."""

    def __init__(self, name: str, title: str, *, whole: bool) -> None:
        super().__init__(name, title)
        self.whole = whole

    def run(self, raw: Path, out: Path, limits: Limits) -> Run:
        """Upload the week, then run it: only the latter counts."""
        program, week, home = Path(sys.executable).with_name("instacart-pipeline"), WEEK.isoformat(), out / "home"
        if not program.exists():
            raise CommandFailed(f"there is no {program.name} beside {sys.executable}: install the project first.")
        # The settings of whoever runs the benchmark must not decide what is measured.
        mine = {name: value for name, value in os.environ.items() if not name.startswith(("INSTACART_", "DAGSTER_"))}
        env = {**mine, "INSTACART_HOME": str(home), "INSTACART_MEMORY": limits.memory}
        upload = [str(program), "upload", "customers", str(raw), "--dt", week]
        uploaded = subprocess.run(upload, env=env, cwd=PROJECT, capture_output=True, text=True, check=False)
        if uploaded.returncode != 0:
            raise CommandFailed(
                f"`{program.name} upload customers`: exit code {uploaded.returncode}.\n{uploaded.stderr[-2000:]}"
            )
        whole = [str(program), "run", "customers", "--dt", week]
        cost = measure(
            whole if self.whole else [sys.executable, "-m", "bench.mart_chain", week],
            env=env,
            cwd=PROJECT,
            log=out / "log.txt",
            timeout=limits.timeout,
        )
        return Run(cost, _published(home))


def _published(home: Path) -> list[str]:
    """The files of customers_features.customers."""
    from instacart_pipeline.customers.tables import CUSTOMERS  # noqa: PLC0415  # peers run without the platform
    from instacart_pipeline.profiles import local_lake  # noqa: PLC0415
    from instacart_pipeline.settings import Settings  # noqa: PLC0415

    version = local_lake(Settings(home=home)).catalog.current(CUSTOMERS, WEEK.isoformat())
    return sorted(map(str, Path(version.location).glob("*.parquet")))


FLOOR, CHAIN, WHOLE, PANDAS, NARROW = "duckdb", "chain", "chain-whole", "pandas", "pandas-narrow"
CONTENDERS = {
    contender.name: contender
    for contender in (
        Peer(FLOOR, "DuckDB (floor)"),
        Chain(CHAIN, "chain, up to the mart's figures", whole=False),
        Chain(WHOLE, "chain, with segments and warehouse", whole=True),
        Peer(PANDAS, "pandas"),
        Peer(NARROW, "pandas, needed columns only"),
    )
}
"""Every contender by its name, in the order they run in."""
