"""Recordings of fewer leads, in a dataset that has some, do not stop the run."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ecg_assets.defs.checks.data import has_too_many_rejects
from ecg_assets.defs.settings import Settings


@pytest.mark.parametrize(
    ("source", "reasons", "is_too_many"),
    [
        # ZZU pECG: 13 % of the recordings have nine leads.
        ("zzu-pecg", ["missing_lead"] * 3, False),
        ("zzu-pecg", ["missing_lead"] * 3 + ["unreadable"] * 2, True),
        ("ptb-xl", ["missing_lead"] * 3, True),
    ],
)
def test_missing_lead_counts_as_unreadable_only_where_all_have_it(
    tmp_path: Path, source: str, reasons: list[str], is_too_many: bool
) -> None:
    settings = Settings(source=source, raw_root=str(tmp_path), data_dir=str(tmp_path))
    stored, rejects = settings.stored.shards, settings.stored.folder("rejects")
    for folder, table in (
        (stored, pa.table({"record_id": [str(i) for i in range(20)]})),
        (rejects, pa.table({"reason": reasons})),
    ):
        folder.mkdir(parents=True)
        pq.write_table(table, folder / "P00.parquet")
    assert has_too_many_rejects(settings, "P00") == is_too_many
