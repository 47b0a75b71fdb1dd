"""Columns of each stored table as Markdown.

``python -m ecg_assets_tests.format_pages data/synthetic`` rewrites the pages' tables, with
example values from the results of ``make demo``.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from ecg_assets.build.manifest import EXCLUDED, INDEX
from ecg_assets.defs.tables import TABLES
from ecg_assets.export.mat import MAT_FILES
from ecg_assets.export.mat_layout import MAT_META
from ecg_assets.preprocess.shard_schema import REJECTS, shard_schema
from ecg_assets.tables import Column, TableSchema

PAGES = Path(__file__).resolve().parents[1] / "docs" / "formats"
FILES = {
    **{name: f"{name}.parquet" for name in TABLES},
    "lead_degradation": "lead_degradation/*.parquet",
    "slice_metrics": "slice_metrics/*.parquet",
    "label_noise": "label_noise/*.parquet",
    "signal_shards": "signal_shards/*.parquet",
    "rejects": "rejects/*.parquet",
    "index": "manifests/index.parquet",
    "excluded": "manifests/excluded.parquet",
    "mat_files": "mat_records/*/mat_files.parquet",
    "mat_meta": "mat_records/*/mat_meta.parquet",
}
SCHEMAS: dict[str, TableSchema] = {
    **{name: schema for name, schema in TABLES.items() if name != "upstream_labels"},
    "signal_shards": shard_schema(["I"]),
    "rejects": REJECTS,
    "index": INDEX,
    "excluded": EXCLUDED,
    "mat_files": MAT_FILES,
    "mat_meta": MAT_META,
}
"""Schema of each file, for a shard that stores Lead I."""


def column_line(column: Column) -> str:
    """Start of a column's line: all but its example."""
    empty = ", may be empty" if column.nullable else ""
    return f"| `{column.name}` | {column.type}{empty} | {column.meaning} |"


def _table(schema: TableSchema, files: list[Path]) -> str:
    rows = [row for file in files for row in pq.read_table(file).slice(0, 1).to_pylist()]
    first = rows[0] if rows else {}
    lines = ["| column | type | meaning | example |", "| --- | --- | --- | --- |"]
    lines += [f"{column_line(c)} {_example(first.get(c.name))} |" for c in schema.columns]
    return "\n".join(lines)


def _example(value: object) -> str:
    if isinstance(value, list | np.ndarray):
        start = ", ".join(str(item) for item in value[:3])
        return f"`[{start}, …]`" if len(value) > 3 else f"`[{start}]`"
    return "" if value is None else f"`{value}`"


def main(results: Path) -> None:
    """Replace what stands between the marks of each table."""
    for page in PAGES.glob("*.md"):
        text = page.read_text(encoding="utf-8")
        for name, schema in SCHEMAS.items():
            marks = f"<!-- columns of {name} -->", f"<!-- end of {name} -->"
            files = sorted(results.glob(FILES[name]))
            if not files:  # not made by the demo: the page keeps its example
                continue
            body = f"{marks[0]}\n{_table(schema, files)}\n{marks[1]}"
            pattern = re.compile(f"{marks[0]}.*?{marks[1]}", re.DOTALL)
            text = pattern.sub(lambda _, body=body: body, text)  # type: ignore[misc]
        page.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
