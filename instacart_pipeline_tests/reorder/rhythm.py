"""Building what the model is given, table by table, by the real services, without training anything."""

from __future__ import annotations

import math

from instacart_pipeline.reorder import model_tables as m
from instacart_pipeline.reorder.assets import sql
from instacart_pipeline.resources.glue import GlueJob
from instacart_pipeline_tests.platform import DT, Platform, Row

ATHENA = (m.USER_RHYTHM, m.PRD_RHYTHM, m.USER_AISLE_RHYTHM, m.USER_DEPARTMENT_RHYTHM)


def build_pairs(platform: Platform, *, windows: int, dt: str = DT) -> None:
    """Build every table up to the pairs, with `windows` orders before the last one as further examples."""
    athena, glue = platform.resources.athena, platform.resources.glue
    athena.create_table_as(sql("order_context"), m.ORDER_CONTEXT, dt)
    glue.run(GlueJob("up_rhythm", sql("up_rhythm").given(windows=windows)), m.UP_RHYTHM, dt)
    for table in ATHENA:
        athena.create_table_as(sql(table.name), table, dt)
    for table, is_open in ((m.TRAINING_PAIRS, 0), (m.OPEN_PAIRS, 1)):
        glue.run(GlueJob(table.name, sql("pairs").given(open=is_open)), table, dt)


def alike(first: Row, second: Row) -> bool:
    """Whether two rows are equal but for the last digits, as an engine sums in no set order."""
    return first.keys() == second.keys() and all(
        value == second[name]
        or (None not in (value, second[name]) and math.isclose(value, second[name], rel_tol=1e-10, abs_tol=1e-12))
        for name, value in first.items()
    )
