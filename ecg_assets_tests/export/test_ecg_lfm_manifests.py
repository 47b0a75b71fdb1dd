"""What ECG-LFM's manifest.py and convert_to_cmsc_manifest.py give is in fairseq_manifests."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
import scipy.io

from ecg_assets.errors import LeakageError
from ecg_assets.export.fairseq_manifests import write_fairseq_manifest
from ecg_assets.export.mat import export_mat_records
from ecg_assets.preprocess import read_shard
from ecg_assets.split import SPLIT_NAMES, SplitShares, split_by_patient
from ecg_assets_tests.build.cohort import GOOD, SPEC, Cohort
from ecg_assets_tests.preprocess.recordings import numbered

PATIENTS = {"a0": "P1", "b1": "P1", "a1": "P2", "b0": "P2", "a2": "P3", "b2": "P4"}
"""Two patients with a recording in each shard."""


@pytest.fixture
def shared(cohort: Cohort) -> Cohort:
    """The cohort with patients that have two recordings, split by patient."""
    records = cohort.records.assign(
        subject_id=cohort.records["record_id"].map(PATIENTS).fillna(cohort.records["subject_id"])
    )
    shares = SplitShares(valid=0.3, test=0.3)
    split = split_by_patient(records[records["record_id"].isin(GOOD)], seed=5, shares=shares)
    return replace(cohort, records=records, split=split)


def _export(cohort: Cohort) -> Path:
    """Export all stored shards and write the manifests; give their folder."""
    root, folder = cohort.folder / "mat_records", cohort.folder / "fairseq"
    for shard in ("a", "b"):
        signals = read_shard(cohort.shards / f"{shard}.parquet", leads=SPEC.leads)
        export_mat_records(signals, SPEC, numbered(cohort.records), root / shard)
    write_fairseq_manifest(
        cohort.manifest(),
        cohort.records,
        cohort.reports,
        {shard: root / shard for shard in ("a", "b")},
        folder,
        mat_root=root,
        raw_root=cohort.folder / "raw",
    )
    return folder


def _read(path: Path) -> tuple[Path, dict[str, int]]:
    """Root of a .tsv, and the samples of each of its files."""
    root, *lines = path.read_text().splitlines()
    return Path(root), {name: int(n) for name, n in (line.split("\t") for line in lines)}


def _convert_as_ecg_lfm_does(files: dict[str, int]) -> set[tuple[str, int, str]]:
    """Take what follows the last underscore for the segment, and pair neighbours."""
    segments: dict[str, list[int]] = defaultdict(list)
    for name in files:
        start, _, end = name.rpartition("_")
        segments[start].append(int(end.removesuffix(".mat")))
    return {
        (start, files[f"{start}_{numbers[at]}.mat"], f"{numbers[at]},{numbers[at + 1]}")
        for start, numbers in ((start, sorted(found)) for start, found in segments.items())
        for at in range(0, len(numbers) - 1, 2)
    }


def test_its_converter_makes_our_cmsc_manifest_of_our_tsv(shared: Cohort) -> None:
    folder = _export(shared)
    n_pairs = 0
    for split in SPLIT_NAMES:
        root, files = _read(folder / f"{split}.tsv")
        first, extension, *lines = (folder / "cmsc" / f"{split}.tsv").read_text().splitlines()
        assert (first, extension) == (str(root), "mat")
        fields = [line.split("\t") for line in lines]
        assert {zero for _, _, zero, _ in fields} <= {"0"}
        ours = {(name, int(n_samples), pair) for name, n_samples, _, pair in fields}
        assert ours == _convert_as_ecg_lfm_does(files)
        n_pairs += len(ours)
    assert n_pairs == 5  # one of the six recordings has a single segment


def test_it_finds_the_segment_in_the_names_of_each_dataset() -> None:
    names = [f"records500-00000/ptb_xl_00001_{number}.mat" for number in range(2)]
    names += [f"p1000-p1019/mimic_iv_ecg_40099628_{number}.mat" for number in range(3)]
    assert _convert_as_ecg_lfm_does(dict.fromkeys(names, 2500)) == {
        ("records500-00000/ptb_xl_00001", 2500, "0,1"),
        ("p1000-p1019/mimic_iv_ecg_40099628", 2500, "0,1"),
    }


def test_length_is_that_of_the_file_and_not_a_constant(shared: Cohort) -> None:
    folder = _export(shared)
    for split in SPLIT_NAMES:
        root, files = _read(folder / f"{split}.tsv")
        for name, n_samples in files.items():
            assert scipy.io.loadmat(root / name)["feats"].shape[-1] == n_samples == 1000


def test_recordings_of_a_patient_are_all_in_one_tsv(shared: Cohort) -> None:
    folder = _export(shared)
    patients = {}
    for split in SPLIT_NAMES:
        root, files = _read(folder / f"{split}.tsv")
        rows = {scipy.io.loadmat(root / name)["idx"].item() for name in files}
        patients[split] = set(shared.records["subject_id"].iloc[list(rows)])
    assert all(patients.values())
    assert sum(map(len, patients.values())) == len(set(PATIENTS.values()))


def test_patient_on_two_sides_is_refused(shared: Cohort) -> None:
    sides = pd.Series(["train", "valid", "test"] * 2, index=shared.split.index)
    with pytest.raises(LeakageError, match="2 patients stand in more than one split of the man"):
        _export(replace(shared, split=shared.split.sort_values("subject_id").assign(split=sides)))
