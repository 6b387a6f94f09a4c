"""The data dictionary, made from the contracts: `python -m instacart_pipeline.dictionary` prints it as Markdown."""

from __future__ import annotations

from collections.abc import Iterable

from instacart_pipeline.customers import mart_tables as mart
from instacart_pipeline.customers import tables as customers
from instacart_pipeline.lake.contracts import PARTITION, Column, TableContract, rejects_of
from instacart_pipeline.reorder.model_tables import MODEL_TABLES
from instacart_pipeline.reorder.tables import CURATED_TABLES, DERIVED, STAGED
from instacart_pipeline.retail import tables as retail
from instacart_pipeline.retail.sandbox_tables import SANDBOX_TABLES
from instacart_pipeline.retail.warehouse_tables import WAREHOUSE_TABLES


def dictionary(groups: Iterable[tuple[str, Iterable[TableContract]]]) -> str:
    """The tables of each group as Markdown: a heading, what the table is, its columns and what they must meet."""
    lines = [
        "# Data dictionary",
        "",
        "Made from the table contracts with `make docs`; a test holds it to them. "
        f"Every table also has the partition column `{PARTITION}`, the day of the upload it comes from, as text.",
    ]
    for title, tables in groups:
        lines += ["", f"## {title}"]
        for table in tables:
            lines += ["", f"### {table.qualified_name}", "", table.description, ""]
            lines += ["| column | type | what it is | must be |", "|---|---|---|---|"]
            lines += [f"| {c.name} | {c.type} | {c.description} | {_demands(c)} |" for c in table.columns]
            lines += [""] if table.unique_sets else []
            lines += [f"Unique: ({', '.join(columns)})." for columns in table.unique_sets]
    return "\n".join(lines) + "\n"


def _demands(column: Column) -> str:
    demands = ["key"] if column.key else ["not NULL"] if column.required else []
    if column.between:
        demands.append(f"{column.between[0]:g} to {column.between[1]:g}")
    if column.one_of:
        demands.append(" or ".join(column.one_of))
    if column.longest:
        demands.append(f"{column.longest:,} characters at most")
    if column.references:
        demands.append(f"in {column.references.table.qualified_name}")
    return ", ".join(demands)


def whole_dictionary() -> str:
    """The data dictionary of all systems."""
    ingested, retail_curated_tables = list(CURATED_TABLES.values()), list(retail.CURATED_TABLES.values())
    return dictionary(
        [
            ("Reorder, staging: the files as uploaded", STAGED),
            ("Reorder, curated: the same rows, typed and held to their contracts", ingested),
            ("Rejects: one such table beside each curated one of every system", [rejects_of(ingested[0])]),
            ("Reorder, derived tables", DERIVED),
            ("Reorder, tables of the model", MODEL_TABLES),
            ("Retail, staging: the lines as they came by file and by the stream", retail.STAGED),
            (
                "Retail, curated: the same lines, typed, and the transactions they make",
                [*retail_curated_tables, retail.TRANSACTIONS],
            ),
            ("Retail, warehouse: facts and dimensions", WAREHOUSE_TABLES),
            ("Retail, sandbox: the analyses", SANDBOX_TABLES),
            ("Customers, staging: the shop's tables as dumped", customers.STAGED),
            ("Customers, curated: the same rows, typed and held to their contracts", customers.CURATED_TABLES.values()),
            ("Customers, features: what the mart says of a customer, part by part", customers.DERIVED),
            ("Customers, sandbox: segments and the mart", mart.MART_TABLES),
            ("Customers, warehouse: the mart and the profiles of its segments", mart.WAREHOUSE_TABLES),
        ]
    )


if __name__ == "__main__":
    print(whole_dictionary(), end="")  # noqa: T201
