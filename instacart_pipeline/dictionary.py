"""The data dictionary, made from the contracts: `python -m instacart_pipeline.dictionary FOLDER` writes a page per system, as Markdown."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from instacart_pipeline.customers import mart_tables as mart
from instacart_pipeline.customers import tables as customers
from instacart_pipeline.lake.contracts import PARTITION, Column, TableContract, rejects_of
from instacart_pipeline.reorder.model_tables import MODEL_TABLES
from instacart_pipeline.reorder.tables import CURATED_TABLES, DERIVED, STAGED
from instacart_pipeline.retail import tables as retail
from instacart_pipeline.retail.sandbox_tables import SANDBOX_TABLES
from instacart_pipeline.retail.warehouse_tables import WAREHOUSE_TABLES

Groups = Sequence[tuple[str, Iterable[TableContract]]]
"""Headings, and the tables below each."""


def page(system: str, groups: Groups) -> str:
    """The page of a system: how its tables refer to each other, then what each is, its columns and what they must meet."""
    listed = [(title, list(tables)) for title, tables in groups]
    lines = [
        f"# Data dictionary: {system}",
        "",
        "Made from the table contracts with `make docs`; a test compares it with them. "
        f"Every table also has the partition column `{PARTITION}`, the day of the upload it comes from, as text.",
        "",
        *_diagram([table for _, tables in listed for table in tables if table.zone != "staging"]),
    ]
    for title, tables in listed:
        lines += ["", f"## {title}"]
        for table in tables:
            lines += ["", f"### {table.qualified_name}", "", table.description, ""]
            lines += ["| column | type | what it is | must be |", "|---|---|---|---|"]
            lines += [f"| {c.name} | {c.type} | {c.description} | {_demands(c)} |" for c in table.columns]
            lines += [""] if table.unique_sets else []
            lines += [f"Unique: ({', '.join(columns)})." for columns in table.unique_sets]
    return "\n".join(lines) + "\n"


def _diagram(tables: Sequence[TableContract]) -> list[str]:
    """The tables that refer to others or are referred to, with their keys, as a Mermaid diagram; nothing if none does."""
    references = [
        (table, column, column.references) for table in tables for column in table.columns if column.references
    ]
    named = {table.name for table, _, _ in references} | {to.table.name for _, _, to in references}
    if not references:
        return []
    lines = ["```mermaid", "erDiagram"]
    lines += [f"    {to.table.name} ||--o{{ {table.name} : {column.name}" for table, column, to in references]
    for table in tables:
        if table.name in named:
            keys = [(c, "PK, FK" if c.key and c.references else "PK" if c.key else "FK") for c in table.columns]
            shown = [f"        {c.type} {c.name} {kind}" for c, kind in keys if c.key or c.references]
            lines += [f"    {table.name} {{", *shown, "    }"]
    return [*lines, "```"]


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


def pages() -> Mapping[str, str]:
    """The pages by file name."""
    reorder_curated, retail_curated = list(CURATED_TABLES.values()), list(retail.CURATED_TABLES.values())
    customers_curated = list(customers.CURATED_TABLES.values())
    rejects = "Rejects: one such table beside each curated one"
    return {
        "reorder.md": page(
            "reorder",
            [
                ("Staging: the files as uploaded", STAGED),
                ("Curated: the same rows, typed and validated", reorder_curated),
                (rejects, [rejects_of(reorder_curated[0])]),
                ("Derived tables", DERIVED),
                ("Tables of the model", MODEL_TABLES),
            ],
        ),
        "retail.md": page(
            "retail",
            [
                ("Staging: the lines as they came by file and by the stream", retail.STAGED),
                (
                    "Curated: the same lines, typed, and the transactions they make",
                    [*retail_curated, retail.TRANSACTIONS],
                ),
                (rejects, [rejects_of(retail_curated[0])]),
                ("Warehouse: facts and dimensions", WAREHOUSE_TABLES),
                ("Sandbox: the analyses", SANDBOX_TABLES),
            ],
        ),
        "customers.md": page(
            "customers",
            [
                ("Staging: the shop's tables as dumped", customers.STAGED),
                ("Curated: the same rows, typed and validated", customers_curated),
                (rejects, [rejects_of(customers_curated[0])]),
                ("Features: what the mart says of a customer, part by part", customers.DERIVED),
                ("Sandbox: segments and the mart", mart.MART_TABLES),
                ("Warehouse: the mart and the profiles of its segments", mart.WAREHOUSE_TABLES),
            ],
        ),
    }


if __name__ == "__main__":
    for name, text in pages().items():
        (Path(sys.argv[1]) / name).write_text(text, encoding="utf-8")
