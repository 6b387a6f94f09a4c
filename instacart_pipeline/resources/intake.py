"""The intake: a day's upload of a table, held to its contract row by row.

Belongs here: what admission promises. Its twins: local/intake.py.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

from dagster import ConfigurableResource

from instacart_pipeline.lake.contracts import TableContract
from instacart_pipeline.resources.published import Published


class Intake(ConfigurableResource[Any], ABC):
    """Admits uploaded rows: good ones become the typed table, others its rejects, exact duplicates are counted.

    Of several rows with one key the first in the file is kept. Nothing else leaves the sight of the caller:
    rows read = rows published + rejects + duplicates.
    """

    @abstractmethod
    def admit(self, staged: TableContract, target: TableContract, dt: str) -> Published:
        """Publish the good rows of `staged` at `dt` as `target`, and the others as `<target>_rejects`.

        The facts of the version are rows_in, rejects and duplicates.

        Raises: ColumnsMissing, FileUnreadable and UploadChanged about files; VersionRefused if more than the allowed
        share of rows was rejected: the rejects are then published, to be looked at, and the good rows are not.
        """
