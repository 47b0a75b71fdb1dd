from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from ecg_assets.build import (
    INDEX,
    QualityPolicy,
    build_manifest,
    find_missing_samples,
    fingerprint_manifest,
    label_definition,
    read_manifest,
    write_manifest,
)
from ecg_assets.errors import LeakageError, SchemaError
from ecg_assets.preprocess import SignalSpec, read_shard
from ecg_assets_tests.build.cohort import FAULTS, GOOD, SPEC, VOCABULARY, Cohort


def test_each_record_is_in_the_index_or_excluded_with_its_reason(cohort: Cohort) -> None:
    manifest = cohort.manifest()
    assert manifest.index["record_id"].tolist() == list(GOOD)
    excluded = manifest.excluded.set_index("record_id")["reason"].to_dict()
    assert excluded == FAULTS


def test_index_follows_its_schema_and_points_at_the_stored_samples(cohort: Cohort) -> None:
    index = cohort.manifest().index
    INDEX.from_pandas(index)
    assert index["row"].dtype == np.int32
    for row in index.itertuples():
        stored = read_shard(cohort.shards / f"{row.shard}.parquet", columns=["record_id"])
        assert stored["record_id"][row.row].as_py() == row.record_id
    assert find_missing_samples(index, cohort.shards).empty


def test_targets_and_split_are_joined_by_key(cohort: Cohort) -> None:
    manifest = cohort.manifest()
    assert manifest.targets.dtype == np.uint8
    assert manifest.targets.tolist() == [[1, 0], [1, 0], [1, 0], [1, 0], [0, 0], [1, 1]]
    assert manifest.index["split"].tolist() == ["train"] * 2 + ["valid", "train", "train", "test"]
    assert manifest.rows("test").tolist() == [5]


def test_some_rows_keep_their_targets_and_the_weights_of_all(cohort: Cohort) -> None:
    manifest = cohort.manifest()
    some = manifest.take(manifest.rows("test"))
    assert some.index["record_id"].tolist() == ["b2"]
    assert some.targets.tolist() == [[1, 1]]
    assert some.pos_weight.tolist() == manifest.pos_weight.tolist()


def test_class_weights_are_of_train_and_finite(cohort: Cohort) -> None:
    manifest = cohort.manifest()
    assert manifest.pos_weight.tolist() == [1 / 3, 1.0]
    counts = label_definition(manifest).set_index("name")
    flutter = counts.loc["Atrial flutter"]
    assert (flutter["pos_count_train"], flutter["pos_count_test"]) == (0, 1)
    assert flutter["pos_weight_train"] == 1.0
    assert np.isnan(flutter["pos_weight_valid"])
    assert counts.loc["Sinus rhythm", "pos_percent_all"] == 5 / 6


def test_policy_looks_at_the_chosen_leads_alone(cohort: Cohort) -> None:
    manifest = build_manifest(
        cohort.records,
        cohort.labels,
        cohort.split,
        {"b": cohort.shards / "b.parquet"},
        spec=replace(SPEC, leads=("II",)),
        vocabulary=VOCABULARY,
        quality=QualityPolicy(max_missing_share=0.0),
    )
    reason = manifest.excluded.set_index("record_id")["reason"]
    assert manifest.index["record_id"].tolist() == ["b1", "b2"]
    assert reason["b0"] == "flat_lead"
    assert reason["a0"] == "shard_not_stored"


@pytest.mark.parametrize(
    ("quality", "admitted"),
    [
        (QualityPolicy(allow_flat=True), {"a_flat"}),
        (QualityPolicy(max_missing_share=0.5), {"a_holes"}),
    ],
)
def test_policy_admits_what_it_allows(
    cohort: Cohort, quality: QualityPolicy, admitted: set[str]
) -> None:
    manifest = build_manifest(
        cohort.records,
        cohort.labels,
        cohort.split,
        cohort.shards,
        spec=SPEC,
        vocabulary=VOCABULARY,
        quality=quality,
    )
    assert set(manifest.index["record_id"]) - set(GOOD) == admitted


def test_policy_can_ask_for_whole_recordings(cohort: Cohort) -> None:
    manifest = build_manifest(
        cohort.records,
        cohort.labels,
        cohort.split,
        cohort.shards,
        spec=SPEC,
        vocabulary=VOCABULARY,
        quality=QualityPolicy(min_segments=2),
    )
    assert set(GOOD) - set(manifest.index["record_id"]) == {"a0"}


def test_patient_in_two_splits_stops_the_build(cohort: Cohort) -> None:
    one_patient = cohort.records.assign(subject_id="the same")
    with pytest.raises(LeakageError, match="1 patients"):
        replace(cohort, records=one_patient).manifest()


def test_key_that_stands_twice_stops_the_build(cohort: Cohort) -> None:
    twice = pd.concat([cohort.split, cohort.split.iloc[:1]])
    with pytest.raises(SchemaError, match="must be unique"):
        replace(cohort, split=twice).manifest()


def test_manifest_of_nothing_says_why(cohort: Cohort) -> None:
    with pytest.raises(SchemaError, match="'no_split'"):
        replace(cohort, split=cohort.split.iloc[:0]).manifest()


def test_folder_gives_the_manifest_back_and_the_same_bytes(cohort: Cohort) -> None:
    manifest, folder = cohort.manifest(), cohort.folder / "manifests"
    write_manifest(manifest, folder)
    first = {path.name: path.read_bytes() for path in folder.iterdir()}
    stored = read_manifest(folder)
    assert fingerprint_manifest(stored) == fingerprint_manifest(manifest)
    assert stored.spec == SPEC
    assert stored.vocabulary == VOCABULARY
    write_manifest(stored, folder)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == first
    assert first["pos_weight.txt"] == b"[0.333333,1.000000]"
    assert set(first) >= {"label_def.csv", "y.npy", "signal_spec.json", "label_vocabulary.json"}


def test_fingerprint_tells_every_part_apart(cohort: Cohort) -> None:
    manifest = cohort.manifest()
    others = [
        replace(manifest, targets=1 - manifest.targets),
        replace(manifest, index=manifest.index.assign(split="train")),
        replace(manifest, excluded=manifest.excluded.iloc[1:]),
        replace(manifest, spec=SignalSpec()),
        replace(manifest, pos_weight=manifest.pos_weight + 1),
    ]
    assert len({fingerprint_manifest(each) for each in [manifest, *others]}) == 6


def test_manifest_whose_parts_differ_in_size_is_refused(cohort: Cohort) -> None:
    manifest, folder = cohort.manifest(), cohort.folder / "manifests"
    with pytest.raises(SchemaError, match="call for"):
        replace(manifest, targets=manifest.targets[1:])
    write_manifest(manifest, folder)
    np.save(folder / "y.npy", manifest.targets[1:])
    with pytest.raises(SchemaError, match="5 rows"):
        read_manifest(folder)
    with pytest.raises(SchemaError, match="holds no manifest"):
        read_manifest(folder / "elsewhere")


def test_rows_without_a_sample_are_found(cohort: Cohort) -> None:
    index = cohort.manifest().index
    moved = index.assign(row=index["row"] + 100 * (index["record_id"] == "b0"))
    assert find_missing_samples(moved, cohort.shards)["record_id"].tolist() == ["b0"]
    swapped = index.replace({"record_id": {"a0": "a1", "a1": "a0"}})
    assert find_missing_samples(swapped, cohort.shards)["record_id"].tolist() == ["a1", "a0"]
    (cohort.shards / "b.parquet").unlink()
    assert find_missing_samples(index, cohort.shards)["shard"].tolist() == ["b"] * 3
