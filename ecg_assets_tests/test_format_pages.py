from __future__ import annotations

import pytest

from ecg_assets_tests.format_pages import PAGES, SCHEMAS, column_line


@pytest.mark.parametrize("name", SCHEMAS)
def test_page_has_every_column_as_declared(name: str) -> None:
    text = "\n".join(page.read_text(encoding="utf-8") for page in PAGES.glob("*.md"))
    body = text.split(f"<!-- columns of {name} -->")[1].split(f"<!-- end of {name} -->")[0]
    lines = body.strip().splitlines()[2:]
    expected = [column_line(column) for column in SCHEMAS[name].columns]
    assert [line[: len(start)] for line, start in zip(lines, expected, strict=True)] == expected
