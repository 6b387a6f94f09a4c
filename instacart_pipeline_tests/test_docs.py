"""The docs hold what the code says."""

from pathlib import Path

from instacart_pipeline.dictionary import whole_dictionary
from instacart_pipeline.settings import PROJECT, Settings


def test_the_data_dictionary_is_the_one_the_contracts_make() -> None:
    assert (PROJECT / "docs" / "data-dictionary.md").read_text(encoding="utf-8") == whole_dictionary()


def test_readme_and_aws_page_name_every_setting() -> None:
    told = "".join((PROJECT / page).read_text(encoding="utf-8") for page in ("README.md", "docs/aws.md"))
    unnamed = [name for name in Settings.__dataclass_fields__ if f"INSTACART_{name.upper()}" not in told]
    assert unnamed == []


def test_every_link_of_the_docs_leads_somewhere() -> None:
    import re

    pages = [PROJECT / "README.md", PROJECT / "bench" / "README.md", *(PROJECT / "docs").rglob("*.md")]
    broken = [
        f"{page.name}: {link}"
        for page in pages
        for link in re.findall(r"\]\(([^)#]+)\)", page.read_text(encoding="utf-8"))
        if "://" not in link and not Path(page.parent / link).exists()
    ]
    assert broken == []
