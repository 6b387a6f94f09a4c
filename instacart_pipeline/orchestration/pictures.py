"""Pictures as the metadata of assets: drawn small, and kept within the metadata itself."""

from __future__ import annotations

import base64

from dagster import MarkdownMetadataValue, MetadataValue


def picture(name: str, png: bytes) -> MarkdownMetadataValue:
    """A PNG as Dagster shows it among an asset's metadata."""
    return MetadataValue.md(f"![{name}](data:image/png;base64,{base64.b64encode(png).decode()})")
