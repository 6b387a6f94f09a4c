"""The docs hold what the code says."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer.main

from instacart_pipeline.cli.commands import app
from instacart_pipeline.customers import tables as customers
from instacart_pipeline.dictionary import pages
from instacart_pipeline.reorder import tables as reorder
from instacart_pipeline.retail import tables as retail
from instacart_pipeline.settings import PROJECT, Settings
from instacart_pipeline_tests import import_graph
from instacart_pipeline_tests.tiers import PLACED

PAGES = [*sorted(PROJECT.glob("*.md")), PROJECT / "bench" / "README.md", *sorted((PROJECT / "docs").rglob("*.md"))]


def test_the_data_dictionary_is_the_one_the_contracts_make() -> None:
    folder = PROJECT / "docs" / "data-dictionary"
    assert {page.name: page.read_text(encoding="utf-8") for page in folder.iterdir()} == pages()


def test_the_import_graph_is_that_of_the_code_and_has_no_circle() -> None:
    assert import_graph.PAGE.read_text(encoding="utf-8") == import_graph.drawn()


def test_settings_and_aws_page_name_every_setting() -> None:
    told = "".join((PROJECT / page).read_text(encoding="utf-8") for page in ("docs/settings.md", "docs/aws.md"))
    unnamed = [name for name in Settings.__dataclass_fields__ if f"INSTACART_{name.upper()}" not in told]
    assert unnamed == []


def test_every_link_of_the_docs_leads_somewhere() -> None:
    broken = [
        f"{page.name}: {link}"
        for page in PAGES
        for link in re.findall(r"\]\(([^)#]+)\)", page.read_text(encoding="utf-8"))
        if "://" not in link and not Path(page.parent / link).exists()
    ]
    assert broken == []


def commands_of(page: Path) -> Iterator[list[str]]:
    """The words of every command line of ours on a page, in code blocks and between backticks."""
    text = page.read_text(encoding="utf-8").replace("\\\n", " ")
    blocks = re.findall(r"```[a-z]*\n(.*?)```", text, re.DOTALL)
    inline = re.findall(r"`([^`\n]+)`", re.sub(r"```.*?```", "", text, flags=re.DOTALL))
    for line in [*(line for block in blocks for line in block.splitlines()), *inline]:
        # What stands between quotes or is worked out by a shell is a value, whatever it holds.
        plain = re.sub(r"\"[^\"]*(\"|$)|\$\([^)]*\)|'[^']*('|$)", "VALUE", line)
        for call in re.findall(r"(?:^|[\s;=.@])instacart-pipeline\s+([^|;>#]+)", plain):
            yield shlex.split(call)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_command_of_the_docs_is_one_that_there_is_with_its_options(page: Path) -> None:
    for words in commands_of(page):
        command: Any = typer.main.get_command(app)
        given = list(words)
        while (below := getattr(command, "commands", {})) and given and not given[0].startswith("-"):
            assert given[0] in below, f"{' '.join(words)}: there is no {given[0]}"
            command = below[given.pop(0)]
        options = {name for param in command.params for name in (*param.opts, *param.secondary_opts)} | {"--help"}
        unknown = [word for word in given if word.startswith("--") and word.partition("=")[0] not in options]
        assert unknown == [], " ".join(words)


def test_docs_hold_commands_at_all() -> None:
    assert sum(1 for page in PAGES for _ in commands_of(page)) > 40


def test_every_make_target_of_the_docs_is_one_of_the_makefile() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (PROJECT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    named = {
        target
        for page in PAGES
        for target in re.findall(r"(?:`|^)make ([a-z-]+)", page.read_text(encoding="utf-8"), re.MULTILINE)
    }
    assert {"run", "test"} <= named <= targets


def test_the_least_permissions_name_the_databases_of_every_system() -> None:
    (row,) = [
        line
        for line in (PROJECT / "docs" / "aws.md").read_text(encoding="utf-8").splitlines()
        if line.startswith("| Glue catalog |")
    ]
    missing = [system for system in (reorder.SYSTEM, retail.SYSTEM, customers.SYSTEM) if f"`{system}_*`" not in row]
    assert missing == []


def test_every_promise_has_a_test_of_the_tier_that_the_page_says(request: pytest.FixtureRequest) -> None:
    page = (PROJECT / "docs" / "testing.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| .+ \| `([\w/]+\.py)::(test_\w+)` \| (\w+)(: .+)? \|$", page, re.MULTILINE)
    assert len(rows) > 100
    placed = request.config.stash[PLACED]
    for path, name, tier, reason in rows:
        source = Path(__file__).parent / path
        assert re.search(rf"^ *def {name}\(", source.read_text(encoding="utf-8"), re.MULTILINE), f"{path}::{name}"
        assert bool(reason) == (tier == "deep"), f"{path}::{name}: what only deep proves says why"
        found = {place.tier for test, place in placed.items() if re.search(rf"/{path}::{name}($|\[)", test)}
        assert not found or tier in found, f"{path}::{name} is {' and '.join(sorted(found))}"
