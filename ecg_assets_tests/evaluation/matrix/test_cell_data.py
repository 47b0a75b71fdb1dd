"""The recordings of one cell: what a source cannot express or teach is left out by name."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from ecg_assets.errors import SchemaError, SettingsError
from ecg_assets.evaluation.matrix.cell import build_cell_data, measure_cell, probe_features
from ecg_assets.evaluation.matrix.design import Cell
from ecg_assets.labels import load_label_set
from ecg_assets.preprocess import SignalSpec
from ecg_assets.sources.schema import NO_LABEL
from ecg_assets.store import SourceStore, Store
from ecg_assets_tests.evaluation.external.stored_cohort import store_source

REPORTS = {
    **{f"rbbb{i}": ["RBBB"] for i in range(4)},
    **{f"af{i}": ["AF"] for i in range(4)},
    **{f"none{i}": [NO_LABEL] for i in range(4)},
    "test-lbbb": ["LBBB"],
}
SPLITS = {
    **{f"{kind}{i}": "train" for kind in ("rbbb", "af", "none") for i in range(2)},
    **{f"{kind}2": "valid" for kind in ("rbbb", "af", "none")},
}
SIX = load_label_set("six-conditions")


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> SourceStore:
    """Store a cohort with the columns of CODE-15, one of them in test alone."""
    folder = tmp_path_factory.mktemp("cohort")
    return store_source(folder, "code-15", REPORTS, "code-15", splits=SPLITS)


def test_labels_without_a_code_or_a_class_in_train_are_left_out_with_the_reason(
    stored: SourceStore,
) -> None:
    data = build_cell_data(stored, SIX, SignalSpec())
    assert data.manifest.vocabulary.names == ("AFIB", "RBBB")
    assert list(data.left_out) == ["NORM", "AFLT", "1dAVb", "LBBB"]
    assert data.left_out["LBBB"] == "no positive record in the train split of 6 records"
    assert data.left_out["AFLT"].startswith("No CODE-15 column names Atrial flutter")
    assert data.vocabulary == SIX.vocabulary
    np.testing.assert_array_equal(data.manifest.pos_weight, [2.0, 2.0])


def test_a_cell_has_numbers_of_the_labels_that_were_trained_and_reasons_for_the_others(
    stored: SourceStore,
) -> None:
    data = build_cell_data(stored, SIX, SignalSpec())
    told = data.manifest.targets + np.random.default_rng(0).normal(0, 0.1, (13, 2))
    scores, choices = probe_features(data.manifest, told.astype(np.float32))
    cell = Cell("small", "logistic-regression", "code-15", "six-conditions")
    result = measure_cell(cell, data, scores, {"a": "b"}, n_resamples=20, seed=0)
    assert list(choices["label"]) == ["AFIB", "RBBB"]
    assert result.macro["auroc"] == 1.0
    assert result.n_records == 4
    assert result.undefined == data.left_out
    assert result.labels.set_index("label")["auroc"].dropna().index.tolist() == ["AFIB", "RBBB"]


def test_a_source_without_a_part_or_a_split_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"lacks record_list.*ECG_SOURCE=ptb-xl"):
        build_cell_data(Store(tmp_path).source("ptb-xl"), SIX, SignalSpec())
    reports = {"a": ["RBBB"], "b": [NO_LABEL]}
    only_test = store_source(tmp_path, "code-15", reports, "code-15")
    with pytest.raises(SettingsError, match=r"code-15 is in train, valid\. Split it in three"):
        build_cell_data(only_test, SIX, SignalSpec())


def test_a_source_that_can_teach_no_label_says_so(tmp_path: Path) -> None:
    reports = {name: [NO_LABEL] for name in ("a", "b", "c")}
    splits = {"a": "train", "b": "valid"}
    bare = store_source(tmp_path, "code-15", reports, "code-15", splits=splits)
    with pytest.raises(SchemaError, match=r"No label has both .* Take another label set"):
        build_cell_data(bare, SIX, SignalSpec())


def test_a_share_of_the_training_patients_leaves_valid_and_test_alone(tmp_path: Path) -> None:
    reports = {f"{kind}{i}": [kind] for kind in ("AF", "RBBB") for i in range(30)}
    splits = {name: ("train", "valid", "test")[i % 3] for i, name in enumerate(reports)}
    many = store_source(tmp_path, "code-15", reports, "code-15", splits=splits)
    whole = build_cell_data(many, SIX, SignalSpec()).manifest
    part = build_cell_data(many, SIX, SignalSpec(), train_fraction=0.5, seed=3).manifest
    assert part.index["split"].value_counts().to_dict() == {"train": 10, "valid": 20, "test": 20}
    assert set(part.index["record_id"]) < set(whole.index["record_id"])


def test_a_studys_cell_has_its_rule_for_recordings_without_a_label(stored: SourceStore) -> None:
    data = build_cell_data(stored, load_label_set("code-15-six"), SignalSpec())
    assert data.manifest.vocabulary.names == ("RBBB", "AF")
    assert len(data.manifest.index) == len(REPORTS)
