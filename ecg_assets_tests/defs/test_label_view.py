"""What the UI shows of labels and manifests."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from ecg_assets.defs.settings import Settings
from ecg_assets.defs.show import describe_labels, describe_shards
from ecg_assets.labels import ECG_FM_LABEL_SET, label_records
from ecg_assets_tests.labels.reports import make_reports


def test_reports_in_other_languages_are_counted(tmp_path: Path) -> None:
    reports = make_reports({"a": ["Sinusrhythmus"], "b": ["Kein Infarkt"], "c": ["LBBB"], "d": []})
    tables = label_records(reports)
    settings = Settings(data_dir=str(tmp_path))
    metadata = describe_labels(tables, reports, settings, ECG_FM_LABEL_SET)
    assert metadata["records"] == 1
    assert metadata["records_without_labels"] == 3
    assert metadata["records_in_other_languages"] == 2


def test_manifests_of_few_shards_say_so() -> None:
    records = pd.DataFrame({"shard": ["p10", "p11", "p11", "p12"]})
    shown = describe_shards(records, ["p11"])
    assert shown["shards_used"] == "1 of 3"
    assert shown["shards_not_preprocessed"] == ["p10", "p12"]
    assert describe_shards(records, ["p10", "p11", "p12"])["shards_not_preprocessed"] == []
