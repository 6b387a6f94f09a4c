"""The analyses as assets: computed in the warehouse, published to the lake, drawn.

Belongs here: which analysis is made from what, and which picture shows it. The statements lie in sql/analyses/, the pictures in charts.py; what
a table is, in sandbox_tables.py.

The partition of a day is the analysis as of that day: it knows no later line. So a line that comes late changes the analyses from its day on,
once they are run again.
"""

from dagster import AssetExecutionContext, AssetsDefinition, DailyPartitionsDefinition

from instacart_pipeline.lake.contracts import TableContract
from instacart_pipeline.lake.sql import Query
from instacart_pipeline.orchestration.day_ranges import days_of_run, record_day
from instacart_pipeline.orchestration.pictures import picture
from instacart_pipeline.orchestration.table_assets import Results, publish, table_asset
from instacart_pipeline.resources.athena import Athena
from instacart_pipeline.resources.published import Published
from instacart_pipeline.resources.warehouse import Warehouse
from instacart_pipeline.retail import charts
from instacart_pipeline.retail import sandbox_tables as s
from instacart_pipeline.retail.warehouse_assets import POOL, SQL
from instacart_pipeline.retail.warehouse_tables import DATES, SALES_LINES

BY_PERIOD = (s.MONTHLY_REVENUE, s.QUARTERLY_REVENUE, s.WEEKLY_SALES, s.BEST_PRODUCT_BY_SEASON)
"""What also reads the dimension of dates. Products and customers are named from the lines: their dimensions know of later days."""


def analysis_sql(table: TableContract) -> Query:
    """The statement of an analysis."""
    return Query.load(SQL / "analyses" / f"{table.name}.sql")


def build_analysis_assets(days: DailyPartitionsDefinition) -> list[AssetsDefinition]:
    """The analyses and what the dashboard adds up, partitioned by `days`."""
    return [_analysis(table, days) for table in s.SANDBOX_TABLES]


def _analysis(target: TableContract, days: DailyPartitionsDefinition) -> AssetsDefinition:
    deps = [SALES_LINES, DATES] if target in BY_PERIOD else [SALES_LINES]

    @table_asset(target, deps=deps, kinds={"redshift", "parquet"}, partitions=days, pool=POOL, many_days_at_once=True)
    def analysis(context: AssetExecutionContext, warehouse: Warehouse, athena: Athena) -> Results:
        def work() -> Published:
            query = analysis_sql(target)
            *earlier, last = days_of_run(context)
            for dt in earlier:
                made = warehouse.publish(query, target, dt)
                record_day(context, target, dt, {"dagster/partition_row_count": made.version.rows})
            made = warehouse.publish(query, target, last)
            if draw := charts.OF.get(target):
                rows = athena.query(_rows_of(target).bind(dt=last)).table.to_pylist()
                context.add_asset_metadata({"chart": picture(target.name, draw(rows, last))}, partition_key=last)
            return made

        yield from publish(target, work)

    return analysis


def _rows_of(table: TableContract) -> Query:
    text = f"SELECT * FROM {table.qualified_name} WHERE dt = :dt"  # noqa: S608  # a contract's name
    return Query.parse(table.qualified_name, text)
