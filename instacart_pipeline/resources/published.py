"""What a service gives back when it has published a table."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from instacart_pipeline.lake.contracts import TableContract
from instacart_pipeline.lake.errors import ContractViolated
from instacart_pipeline.lake.rules import Outcome
from instacart_pipeline.lake.versions import Version


@dataclass(frozen=True)
class Published:
    """A day of a table as it now stands in the catalog.

    `superseded` says that another run, which read newer inputs, published first: then `version` is that run's and the
    work done here was dropped. `service` is what the service says of the work itself: its id, what it scanned or cost.
    """

    table: TableContract
    dt: str
    version: Version
    seconds: float
    superseded: bool = False
    service: Mapping[str, str | int | float] = field(default_factory=dict)


class VersionRefused(ContractViolated):
    """A version that was just written breaks its contract, so it was not published. `outcomes` says what it breaks."""

    def __init__(self, table: TableContract, dt: str, outcomes: tuple[Outcome, ...], note: str = "") -> None:
        """Name each broken rule and say what readers see meanwhile."""
        broken = [
            f"  {outcome.rule}: {outcome.violations:,} rows. {outcome.detail}"
            for outcome in outcomes
            if not outcome.passed
        ]
        super().__init__(
            "\n".join(
                [
                    f"{table.qualified_name} dt={dt} breaks its contract and was not published; readers keep the version before.",
                    *broken,
                    *([note] if note else []),
                ]
            )
        )
        self.table = table
        self.outcomes = outcomes
