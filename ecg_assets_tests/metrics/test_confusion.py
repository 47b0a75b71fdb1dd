from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import (
    accuracy_score,
    classification_report,
    f1_score,
    precision_score,
    recall_score,
)

from ecg_assets.metrics.confusion import (
    class_report,
    confusion_matrix_table,
    name_counts,
    report_confusion,
)

NAMES = ["sinus", "afib", "flutter"]


def _simulate(n_records: int = 120) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(0)
    target = np.eye(3, dtype=np.uint8)[generator.integers(0, 3, n_records)]
    return target, generator.random((n_records, 3)) + 0.7 * target


def test_table_counts_by_name_whatever_the_order_of_the_columns() -> None:
    """Names would be sorted by scikit-learn; here they go with their columns."""
    target, score = _simulate()
    table = confusion_matrix_table(target, score, NAMES)
    assert list(table.index) == list(table.columns) == NAMES
    assert table.to_numpy().sum() == 120
    called = np.argmax(score, axis=1)
    assert table.loc["afib", "flutter"] == ((target[:, 1] == 1) & (called == 2)).sum()
    order = [2, 0, 1]
    names = [NAMES[k] for k in order]
    other = confusion_matrix_table(target[:, order], score[:, order], names)
    assert other.loc[NAMES, NAMES].equals(table.rename_axis(index="true class"))


def test_report_equals_scikit_learn() -> None:
    target, score = _simulate()
    true, called = np.argmax(target, axis=1), np.argmax(score, axis=1)
    report = class_report(target, score, NAMES).set_index("name")
    metrics = {"precision": precision_score, "recall": recall_score, "f1": f1_score}
    for column, metric in metrics.items():
        assert report.loc[NAMES, column].tolist() == pytest.approx(
            list(metric(true, called, average=None))
        )
        for average in ("macro", "weighted"):
            expected = metric(true, called, average=average)
            assert report.loc[average, column] == pytest.approx(expected)
    assert report.loc["accuracy", "f1"] == pytest.approx(accuracy_score(true, called))
    assert report.loc[NAMES, "n"].tolist() == target.sum(axis=0).tolist()


def test_class_never_called_has_no_precision_and_class_never_true_no_recall() -> None:
    target = np.array([[1, 0, 0], [1, 0, 0], [0, 1, 0]])
    score = np.array([[0.9, 0, 0.1], [0.2, 0, 0.8], [0.9, 0, 0.1]])
    report = class_report(target, score, NAMES).set_index("name")
    undefined = report[["precision", "recall"]].isna()
    assert undefined.loc[NAMES].to_numpy().tolist() == [[False] * 2, [True, False], [False, True]]
    assert report["recall"]["afib"] == 0 and report["precision"]["flutter"] == 0
    assert report.loc["macro", "recall"] == pytest.approx((0.5 + 0) / 2)


def test_report_of_counts_is_scikit_learns_of_the_recordings() -> None:
    target, score = _simulate()
    names = np.array(NAMES)
    true, called = (names[np.argmax(values, axis=1)] for values in (target, score))
    expected = classification_report(true, called, labels=NAMES, output_dict=True)
    found = report_confusion(confusion_matrix_table(target, score, NAMES))
    accuracy = expected.pop("accuracy")
    assert found.pop("accuracy") == pytest.approx(accuracy)
    assert list(found) == list(expected)
    for name, row in expected.items():
        assert found[name] == pytest.approx(row)


def test_report_of_one_class_alone_is_defined_where_it_can_be() -> None:
    found = report_confusion(name_counts([[0, 2], [0, 0]], ["a", "b"]))
    assert (found["a"]["recall"], found["b"]["precision"], found["accuracy"]) == (0, 0, 0)
    assert np.isnan([found["a"]["precision"], found["b"]["recall"]]).all()


@pytest.mark.parametrize(
    ("target", "score", "names", "message"),
    [
        ([[1, 1]], [[0.2, 0.8]], ["a", "b"], "1 of 1 recordings do not have exactly one class"),
        ([[0, 0]], [[0.2, 0.8]], ["a", "b"], "labels are not exclusive"),
        ([[1, 0]], [[np.nan, 0.8]], ["a", "b"], "score holds 1 NaN"),
        ([[1, 0]], [[0.2, 0.8]], ["a", "a"], "expected distinct names"),
        ([[1, 0]], [[0.2, 0.8]], ["a"], "1 names"),
    ],
)
def test_labels_that_are_not_exclusive_are_refused(
    target: list[list[int]], score: list[list[float]], names: list[str], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        confusion_matrix_table(np.array(target), np.array(score), names)
