"""Which assets a job makes, by the signals that the models read."""

from __future__ import annotations

from pathlib import Path

import pytest

from ecg_assets.defs.build import build_definitions

OF_MAT = {"mat_records", "fairseq_manifests"}


@pytest.mark.parametrize(
    ("preset", "is_written"), [("tiny", True), ("ecg-jepa-tiny", True), ("hubert-ecg-tiny", False)]
)
def test_mat_files_are_made_where_the_signals_can_be_written_so(
    preset: str, is_written: bool, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Not where leads lie end to end: `mat_records` refuses those, and the job would end there."""
    monkeypatch.setenv("ECG_PRESET", preset)
    monkeypatch.setenv("ECG_DATA_DIR", str(tmp_path))
    definitions = build_definitions()
    names: set[str] = set()
    for job in ("preprocess", "finetune"):
        keys = definitions.resolve_job_def(job).asset_layer.executable_asset_keys
        names |= {key.to_user_string() for key in keys}
    assert {"signal_shards", "finetuned_checkpoint", "computed_labels"} <= names
    assert names & OF_MAT == (OF_MAT if is_written else set())
