"""Pictures inline in an asset's metadata."""

from __future__ import annotations

import base64
from pathlib import Path

import dagster as dg


def png_metadata(png: bytes | Path, title: str) -> dg.MarkdownMetadataValue:
    """Markdown with the PNG inline, which the UI shows behind "Show Markdown"."""
    data = png.read_bytes() if isinstance(png, Path) else png
    return dg.MetadataValue.md(
        f"![{title}](data:image/png;base64,{base64.b64encode(data).decode()})"
    )
