from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from ecg_assets.build import (
    EXCLUDED,
    INDEX,
    Manifest,
    QualityPolicy,
    build_manifest,
    count_cut,
    find_missing_samples,
    fingerprint_manifest,
    label_definition,
    positive_weights,
    read_manifest,
    write_manifest,
)
from ecg_assets.build.builder import keep_scorable
from ecg_assets.errors import LeakageError, SchemaError
from ecg_assets.known import NOT_MEASURED
from ecg_assets.labels import ECG_FM_LABELS, LabelVocabulary
from ecg_assets.preprocess import ShardDataset, SignalSpec, read_shard
from ecg_assets.split import SPLIT_NAMES
from ecg_assets_tests.build.cohort import FAULTS, GOOD, SPEC, VOCABULARY, Cohort


def test_each_record_is_in_the_index_or_excluded_with_its_reason(cohort: Cohort) -> None:
    manifest = cohort.manifest()
    assert manifest.index["record_id"].tolist() == list(GOOD)
    excluded = manifest.excluded.set_index("record_id")["reason"].to_dict()
    assert excluded == FAULTS


def test_recordings_that_lack_labels_alone_are_kept_apart(cohort: Cohort) -> None:
    write_manifest(cohort.manifest(), cohort.folder / "manifests")
    unlabelled = read_manifest(cohort.folder / "manifests").unlabelled
    assert unlabelled["record_id"].tolist() == ["a_unlabelled"]
    assert unlabelled["split"].tolist() == ["train"]
    assert find_missing_samples(unlabelled, cohort.shards).empty
    nobody = replace(cohort, labels=cohort.labels[cohort.labels["record_id"] == "b2"])
    # What is flat, short, without a split or without a shard is no more readable for that.
    found = set(nobody.manifest().unlabelled["record_id"])
    assert found == {*GOOD, "a_unlabelled"} - {"b2"}


def test_what_reads_no_label_has_the_unlabelled_recordings_of_train_and_valid(
    cohort: Cohort,
) -> None:
    manifest = cohort.manifest()
    every = manifest.with_unlabelled()
    assert every.index["record_id"].tolist() == ["a0", "a1", "a2", "a_unlabelled", "b0", "b1", "b2"]
    assert find_missing_samples(every.index, cohort.shards).empty
    assert every.targets[3].tolist() == [NOT_MEASURED, NOT_MEASURED]
    assert np.array_equal(np.delete(every.targets, 3, axis=0), manifest.targets)
    assert every.pos_weight.tolist() == manifest.pos_weight.tolist()
    # One of test is not added; without others all is as it was.
    of_test = manifest.unlabelled.assign(split="test")
    assert (tested := replace(manifest, unlabelled=of_test)).with_unlabelled() is tested
    patient_of_test = manifest.index["subject_id"].iloc[manifest.rows("test")[0]]
    leaking = manifest.unlabelled.assign(subject_id=patient_of_test)
    with pytest.raises(LeakageError, match=r"1 patients .* its recordings without labels"):
        replace(manifest, unlabelled=leaking).with_unlabelled()


def test_manifest_of_an_earlier_version_has_none_kept_apart(cohort: Cohort) -> None:
    write_manifest(cohort.manifest(), cohort.folder / "manifests")
    (cohort.folder / "manifests" / "unlabelled.parquet").unlink()
    stored = read_manifest(cohort.folder / "manifests")
    assert stored.unlabelled.empty
    assert fingerprint_manifest(stored) == fingerprint_manifest(cohort.manifest())


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


@pytest.mark.parametrize(
    ("start_s", "record_s", "segment_s", "changed"),
    [
        (2.0, 2.0, 2.0, {"a_holes": None, "a0": "too_short"}),
        (2.0, None, 1.0, {"a_holes": None}),
        (0.0, 1.5, 1.0, {"a_holes": "flat_lead", "b0": "missing_samples", "a_short": None}),
    ],
)
def test_policy_looks_at_the_part_that_is_used_alone(
    cohort: Cohort,
    start_s: float,
    record_s: float | None,
    segment_s: float,
    changed: dict[str, str | None],
) -> None:
    spec = replace(SPEC, start_s=start_s, record_s=record_s, segment_s=segment_s)
    manifest = build_manifest(
        cohort.records, cohort.labels, cohort.split, cohort.shards, spec=spec, vocabulary=VOCABULARY
    )
    found = manifest.excluded.set_index("record_id")["reason"].to_dict()
    expected = {**FAULTS, **changed}
    assert found == {name: reason for name, reason in expected.items() if reason}
    assert manifest.made_with["signal_spec"] == spec.to_json()


def test_recordings_longer_than_what_is_used_are_counted(cohort: Cohort) -> None:
    shards = ShardDataset({name: cohort.shards / f"{name}.parquet" for name in ("a", "b")})
    index = cohort.manifest().index
    assert count_cut(shards, SPEC) == 0
    # All but a0, which lasts 3 s, and a_short.
    assert count_cut(shards, replace(SPEC, record_s=3.0)) == 9
    assert count_cut(shards, replace(SPEC, record_s=3.0), index) == 5
    assert count_cut(shards, replace(SPEC, record_s=None)) == 0


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
    scorable = keep_scorable(manifest, np.arange(len(manifest.index)), cohort.shards)
    assert set(manifest.index["record_id"][scorable]) == {*GOOD, *admitted} - {"a_flat"}


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


@pytest.mark.reference
@pytest.mark.parametrize(
    "file", ["ecg_fm_labeler_config/label_def.csv", "real_ecg/code15/label_def.csv"]
)
def test_label_definition_equals_the_published_one_of_as_many_positives(
    file: str, reference_data: Path
) -> None:
    golden = pd.read_csv(reference_data / file)
    splits = [name for name in SPLIT_NAMES if f"pos_count_{name}" in golden] or ["all"]
    counts = {name: golden[f"pos_count_{name}"].to_numpy() for name in splits}
    sizes = [round(counts[name][0] / golden[f"pos_percent_{name}"][0]) for name in splits]
    targets = np.concatenate(
        [np.arange(size)[:, None] < counts[name] for name, size in zip(splits, sizes, strict=True)]
    ).astype(np.uint8)
    split = pd.Series(splits).replace("all", "train").repeat(sizes)
    manifest = Manifest(
        index=pd.DataFrame({"split": split.to_numpy()}),
        targets=targets,
        vocabulary=LabelVocabulary(tuple(golden["name"]), ("mean",) * len(golden)),
        spec=SPEC,
        pos_weight=positive_weights(targets[(split == "train").to_numpy()]),
        excluded=EXCLUDED.empty(),
    )
    found = label_definition(manifest)[list(golden.columns)]
    pd.testing.assert_frame_equal(found, golden, check_dtype=False, rtol=0, atol=1e-9)


@pytest.mark.reference
def test_the_17_labels_are_those_of_ecg_fm_in_their_order(reference_data: Path) -> None:
    published = pd.read_csv(reference_data / "ecg_fm_labeler_config" / "label_def.csv")
    assert tuple(published["name"]) == ECG_FM_LABELS.names
