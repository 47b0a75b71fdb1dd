"""The results folder of exclusive classes against scikit-learn, and names that cannot move."""

from __future__ import annotations

import inspect
import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import accuracy_score, classification_report, confusion_matrix, roc_auc_score
from sklearn.preprocessing import LabelEncoder

from ecg_assets.errors import SchemaError
from ecg_assets.evaluation.classes import PICTURES, measure_classes, write_class_results
from ecg_assets.labels.vocabulary import LabelVocabulary
from ecg_assets.models.predictions import Predictions

NAMES = ("NORM", "AFIB", "AFLT", "1dAVb", "RBBB", "LBBB")
SUPPORT = (60, 40, 30, 20, 25, 35)


def _predict(
    names: tuple[str, ...] = NAMES, support: tuple[int, ...] = SUPPORT, seed: int = 0
) -> tuple[Predictions, list[str]]:
    """Each class is found with another skill; also give each recording's class by name."""
    random = np.random.default_rng(seed)
    truth = random.permutation(np.repeat(np.arange(len(names)), support))
    skill = np.linspace(0.4, 3, len(names))[truth]
    logits = random.standard_normal((len(truth), len(names)))
    logits[np.arange(len(truth)), truth] += skill
    score = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    target = np.eye(len(names), dtype=np.uint8)[truth]
    ids = np.array([f"secret_{i}" for i in range(len(truth))])
    vocabulary = LabelVocabulary(names, ("mean",) * len(names))
    return (
        Predictions(ids, ids, vocabulary, target, score.astype(np.float32)),
        [names[i] for i in truth],
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("results") / "results"
    write_class_results(_predict()[0], path)
    return path


def test_every_number_is_scikit_learns(folder: Path) -> None:
    predictions, true = _predict()
    called = [NAMES[i] for i in predictions.score.argmax(axis=1)]
    expected: dict[str, Any] = classification_report(true, called, output_dict=True)
    table = pd.read_csv(folder / "performance_table.csv", index_col="Condition")
    assert list(table.columns) == ["Precision", "Recall", "F1-Score", "AUC", "Support"]
    assert list(table.index) == [*NAMES, "Macro Avg", "Weighted Avg"]
    aucs = {
        name: roc_auc_score(np.array(true) == name, predictions.score[:, i])
        for i, name in enumerate(NAMES)
    }
    aucs["Macro Avg"] = np.mean([aucs[name] for name in NAMES])
    aucs["Weighted Avg"] = np.average([aucs[name] for name in NAMES], weights=SUPPORT)
    for name, row in table.iterrows():
        key = {"Macro Avg": "macro avg", "Weighted Avg": "weighted avg"}.get(str(name), str(name))
        found = [row["Precision"], row["Recall"], row["F1-Score"], row["Support"]]
        wanted = [expected[key][of] for of in ("precision", "recall", "f1-score", "support")]
        assert found == pytest.approx(wanted)
        assert row["AUC"] == pytest.approx(aucs[str(name)])
    report = json.loads((folder / "classification_report.json").read_text())
    assert report["accuracy"] == pytest.approx(accuracy_score(true, called))
    assert report["LBBB"]["f1-score"] == pytest.approx(expected["LBBB"]["f1-score"])
    details = json.loads((folder / "detailed_results.json").read_text())
    assert details["class_names"] == list(NAMES)
    assert details["confusion_matrix"] == confusion_matrix(true, called, labels=NAMES).tolist()
    assert details["n_left_out"] == 0


def test_the_folder_has_pictures_and_no_recording(folder: Path) -> None:
    found = {path.name: path.read_bytes() for path in folder.iterdir()}
    assert {name for name in found if name.endswith(".png")} == set(PICTURES)
    assert all(found[name].startswith(b"\x89PNG") for name in PICTURES)
    assert b"secret" not in b"".join(found.values())


def _rows(predictions: Predictions) -> pd.DataFrame:
    return measure_classes(predictions).performance.set_index("Condition").sort_index()


def test_names_of_classes_cannot_be_permuted() -> None:
    """The reference numbered classes in an encoder's order and named them from another list."""
    predictions, true = _predict()
    encoder = LabelEncoder().fit(true)
    encoded = list(encoder.classes_)
    # What it did: four of six classes get another's name, and so another's numbers.
    assert [name for name, given in zip(encoded, NAMES, strict=True) if name == given] == [
        "AFIB",
        "AFLT",
    ]
    right = _rows(predictions)
    order = [NAMES.index(name) for name in encoded]
    vocabulary = LabelVocabulary(tuple(encoded), ("mean",) * len(NAMES))
    scrambled = Predictions(
        predictions.record_ids,
        predictions.subject_ids,
        LabelVocabulary(NAMES, vocabulary.aggregation),
        predictions.target[:, order],
        predictions.score[:, order],
    )
    assert _rows(scrambled).loc["NORM", "Support"] == true.count("1dAVb")
    # Here a column cannot lose its name: in the encoder's order every row is the same.
    sorted_columns = Predictions(
        predictions.record_ids,
        predictions.subject_ids,
        vocabulary,
        predictions.target[:, order],
        predictions.score[:, order],
    )
    pd.testing.assert_frame_equal(_rows(sorted_columns), right)
    # A stored table whose columns were moved is read by name.
    table = sorted_columns.to_table()
    moved = table.select(list(reversed(table.column_names)))
    pd.testing.assert_frame_equal(_rows(Predictions.from_table(moved)), right)
    # And nothing takes a list of names besides.
    assert list(inspect.signature(write_class_results).parameters) == ["predictions", "folder"]
    assert right["Support"].to_dict() | {"Macro Avg": 0, "Weighted Avg": 0} == {
        **{name: true.count(name) for name in NAMES},
        "Macro Avg": 0,
        "Weighted Avg": 0,
    }


def test_recordings_with_none_or_several_classes_are_left_out_and_counted() -> None:
    predictions, _ = _predict()
    predictions.target[0] = 0
    predictions.target[1] = 1
    results = measure_classes(predictions)
    assert results.n_left_out == 2
    assert results.confusion.to_numpy().sum() == sum(SUPPORT) - 2


def test_what_is_undefined_is_empty_and_never_zero(tmp_path: Path) -> None:
    """Nobody has the last class; the first is never called."""
    predictions, _ = _predict(NAMES, (*SUPPORT[:5], 0))
    predictions.score[:, 0] = 0
    write_class_results(predictions, tmp_path / "results")
    table = pd.read_csv(tmp_path / "results" / "performance_table.csv", index_col="Condition")
    assert np.isnan(table.loc["LBBB", ["Recall", "AUC"]].to_numpy(np.float64)).all()
    assert np.isnan(table["Precision"]["NORM"])
    assert table.loc["LBBB", "Support"] == 0
    details = json.loads((tmp_path / "results" / "detailed_results.json").read_text())
    assert details["per_class_metrics"]["LBBB"]["auc"] is None
    macro = details["macro_averages"]["auc"]
    assert macro == pytest.approx(table["AUC"].iloc[:5].mean())


def test_without_any_recording_of_a_class_nothing_is_written(tmp_path: Path) -> None:
    predictions, _ = _predict()
    predictions.target[:] = 0
    with pytest.raises(SchemaError, match="None of 210 recordings has exactly one"):
        write_class_results(predictions, tmp_path / "results")
    assert not list(tmp_path.iterdir())
