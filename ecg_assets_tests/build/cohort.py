"""A small cohort of real files with one recording of each fault."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from ecg_assets.build import Manifest, build_manifest
from ecg_assets.labels import LabelVocabulary
from ecg_assets.preprocess import SignalSpec, preprocess_shard, write_shard
from ecg_assets.sources import MISSING
from ecg_assets_tests.labels.reports import make_reports
from ecg_assets_tests.preprocess.recordings import make_signal, record_list, write_record

LEADS = ("I", "II")
VOCABULARY = LabelVocabulary(("Sinus rhythm", "Atrial flutter"), ("mean", "max"))
SPEC = SignalSpec(record_s=4.0, segment_s=2.0)

GOOD = ("a0", "a1", "a2", "b0", "b1", "b2")
FAULTS = {
    "a_flat": "flat_lead",
    "a_holes": "missing_samples",
    "a_lost": "no_signal",
    "a_no_split": "no_split",
    "a_short": "too_short",
    "a_unlabelled": "unlabelled",
    "c0": "shard_not_stored",
}
SPLIT_OF = {"a2": "valid", "b2": "test"}


@dataclass(frozen=True)
class Cohort:
    """Raw files, shards ``a`` and ``b``, and the tables; shard ``c`` is not preprocessed."""

    folder: Path
    records: pd.DataFrame
    labels: pd.DataFrame
    split: pd.DataFrame

    @property
    def reports(self) -> pd.DataFrame:
        """Reports of two lines for ``a0``; the others have none."""
        return make_reports({"a0": ["Sinus rhythm", "Normal ECG"]})

    @property
    def shards(self) -> Path:
        """Folder of the stored shards."""
        return self.folder / "signal_shards"

    def manifest(self) -> Manifest:
        """Manifest of the stored shards."""
        return build_manifest(
            self.records,
            self.labels,
            self.split,
            self.shards,
            spec=SPEC,
            vocabulary=VOCABULARY,
        )


def make_cohort(folder: Path) -> Cohort:
    """Write the cohort; its good recordings are of two lengths and two sample rates."""
    names = [*GOOD, *FAULTS]
    records = pd.concat([record_list([name], shard=name[0]) for name in names], ignore_index=True)
    for number, name in enumerate(names):
        _write(folder / "raw" / name, number)
    for shard in ("a", "b"):
        preprocess(folder, records, shard)
    split = pd.DataFrame(
        {
            "record_id": records["record_id"],
            "subject_id": records["subject_id"],
            "split": [SPLIT_OF.get(name, "train") for name in names],
        }
    )
    return Cohort(
        folder,
        # Another order than the shards': tables must join by key.
        records.sample(frac=1, random_state=0, ignore_index=True),
        _labels([name for name in names if name != "a_unlabelled"]),
        split[split["record_id"] != "a_no_split"].iloc[::-1].reset_index(drop=True),
    )


def preprocess(folder: Path, records: pd.DataFrame, shard: str) -> None:
    """Write a shard as preprocess leaves it."""
    tables = preprocess_shard(records[records["shard"] == shard], folder / "raw", LEADS)
    name = f"{shard}.parquet"
    write_shard(tables, folder / "signal_shards" / name, folder / "rejects" / name)


def _write(path: Path, number: int) -> None:
    if path.name == "a_lost":
        return
    rate = 250 if path.name in {"a1", "b1"} else 500
    n_samples = {"a0": 1500, "a_short": 999}.get(path.name, 4 * rate)
    signal = make_signal(2, n_samples, seed=number)
    if path.name == "a_flat":
        signal[0] = 3
    if path.name == "a_holes":
        signal[0, :900] = MISSING
    if path.name == "b0":
        signal[0, :300] = MISSING
        signal[1] = 5
    write_record(path, signal, leads=LEADS, sample_rate_hz=rate)


def _labels(names: list[str]) -> pd.DataFrame:
    """Sinus rhythm of every recording but b1; flutter of the test recording alone."""
    rows = [
        (name, label, int(name != "b1" if label == "Sinus rhythm" else name == "b2"))
        for name in reversed(names)
        for label in VOCABULARY.names
    ]
    frame = pd.DataFrame(rows, columns=["record_id", "label", "value"])
    return frame.astype({"record_id": "category", "label": "category", "value": np.int8}).assign(
        probability=frame["value"].astype(np.float32)
    )
