"""A label that nobody looked for counts in none of its numbers: as if its rows were not there."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ecg_assets.evaluation import evaluate
from ecg_assets.evaluation.comparison import compare_predictions
from ecg_assets.evaluation.evaluate import describe_with_intervals, evaluate_checkpoint
from ecg_assets.evaluation.reference_metrics import write_reference_metrics
from ecg_assets.evaluation.report.curves import bootstrap_curves
from ecg_assets.evaluation.sets import EvaluationSet, Part
from ecg_assets.evaluation.thresholds import Thresholds
from ecg_assets.known import NOT_MEASURED
from ecg_assets.labels import LabelVocabulary
from ecg_assets.metrics.calibration import reliability_table
from ecg_assets.metrics.intervals import LEAST_PATIENTS
from ecg_assets.metrics.metrics import METRICS
from ecg_assets.models.predictions import Predictions, ValidationPredictions

N = 240
TWO = LabelVocabulary(("whole", "part"), ("mean", "mean"))
KNOWN = np.random.default_rng(3).random(N) < 0.5


def _predictions(
    *, rows: NDArray[np.bool_] | None = None, kind: type[Predictions] = Predictions
) -> Predictions:
    """Two labels of which the second is known of `KNOWN`; of `rows` alone where they are given."""
    generator = np.random.default_rng(2)
    target = (generator.random((N, 2)) < 0.4).astype(np.uint8)
    score = np.clip(0.3 * target + 0.6 * generator.random((N, 2)), 0, 1).astype(np.float32)
    target[~KNOWN, 1] = NOT_MEASURED
    kept = np.ones(N, bool) if rows is None else rows
    ids = np.array([f"r{i}" for i in range(N)])[kept]
    patients = np.array([f"p{i // 2}" for i in range(N)])[kept]
    return kind(ids, patients, TWO, target[kept], score[kept])


def _rows(table: pd.DataFrame, label: str) -> pd.DataFrame:
    return table[table["label"] == label].drop(columns="label").reset_index(drop=True)


def test_values_are_those_of_the_known_rows_alone() -> None:
    every, some = _predictions(), _predictions(rows=KNOWN)
    thresholds = Thresholds(np.array([0.5, 0.5]), "youden", 0)
    tables = [
        evaluate(p.score, p.target, TWO.names, p.subject_ids, replicates=0, thresholds=thresholds)
        for p in (every, some)
    ]
    pd.testing.assert_frame_equal(_rows(tables[0], "part"), _rows(tables[1], "part"))
    assert int(tables[0].query("label == 'part'")["n"].iloc[0]) == int(KNOWN.sum())
    # A pair of record and label that is not known is none.
    assert int(tables[0].query("label == 'micro'")["n"].iloc[0]) == N + int(KNOWN.sum())


def test_unknown_labels_change_nothing_of_the_other_label() -> None:
    p = _predictions()
    whole = evaluate(p.score[:, :1], p.target[:, :1], ["whole"], p.subject_ids, replicates=60)
    both = evaluate(p.score, p.target, TWO.names, p.subject_ids, replicates=60)
    pd.testing.assert_frame_equal(_rows(whole, "whole"), _rows(both, "whole"))


def test_nan_in_labels_is_an_unknown_one() -> None:
    p = _predictions()
    with_nan = np.where(p.target == NOT_MEASURED, np.nan, p.target)
    tables = [evaluate(p.score, target, TWO.names, replicates=0) for target in (p.target, with_nan)]
    pd.testing.assert_frame_equal(tables[0], tables[1])


def test_label_known_of_few_patients_has_no_interval() -> None:
    p = _predictions()
    target = p.target.copy()
    target[50:, 1] = NOT_MEASURED
    table = evaluate(p.score, target, TWO.names, p.subject_ids, replicates=60)
    auroc = table[table["metric"] == "auroc"].set_index("label")
    assert auroc["value"].notna().all()
    assert auroc["low"].notna()[["part", "whole"]].tolist() == [False, True]
    # p0 … p24, less those of whom both recordings are unknown.
    n = len({f"p{i // 2}" for i in range(50) if KNOWN[i]})
    assert auroc.loc["part", "undefined"] == f"no interval: {n} patients, fewer than 30"


def test_label_known_of_nobody_is_undefined_with_the_reason() -> None:
    p = _predictions()
    target = p.target.copy()
    target[:, 1] = NOT_MEASURED
    table = evaluate(p.score, target, TWO.names, p.subject_ids, replicates=20)
    part = table[table["label"] == "part"]
    assert part["value"].isna().all()
    assert set(part["undefined"]) - {"no threshold for this label"} == {
        "no record in the evaluation set"
    }
    assert part["n"].eq(0).all()


def test_a_whole_evaluation_leaves_them_out() -> None:
    every, some = (
        evaluate_checkpoint(
            _predictions(rows=rows, kind=ValidationPredictions),  # type: ignore[arg-type]
            _predictions(rows=rows),
            checkpoint="x",
            evaluation_set=EvaluationSet("synthetic", Part.TEST),
            signal_spec={},
            lineage={},
            n_resamples=0,
        )
        for rows in (None, KNOWN)
    )
    names = ["n", "n_pos", "prevalence", "threshold", *METRICS]
    pd.testing.assert_series_equal(
        every.labels[names].iloc[1], some.labels[names].iloc[1], check_names=False
    )
    for one in ("threshold_table", "reliability"):
        of_part = [_rows(getattr(result, one), "part") for result in (every, some)]
        pd.testing.assert_frame_equal(of_part[0], of_part[1])
    # The set is another than one in which the label is known of all.
    assert every.evaluation_set != some.evaluation_set


def test_curves_are_of_the_known_rows() -> None:
    tables = []
    for rows in (None, KNOWN):
        p = _predictions(rows=rows)
        reliability = reliability_table(TWO.names, p.target, p.score)
        tables.append(bootstrap_curves(p, reliability, n_resamples=0).to_table())
    pd.testing.assert_frame_equal(_rows(tables[0], "part"), _rows(tables[1], "part"))


def test_reference_metrics_are_of_the_known_rows(tmp_path: Path) -> None:
    every, some = (
        write_reference_metrics(_predictions(rows=rows), tmp_path / "x.csv")
        for rows in (None, KNOWN)
    )
    pd.testing.assert_frame_equal(_rows(every, "part"), _rows(some, "part"))


def test_differences_are_of_the_known_rows() -> None:
    p = _predictions()
    other = Predictions(p.record_ids, p.subject_ids, TWO, p.target, p.score[::-1].copy())
    table = compare_predictions(p, other, n_resamples=0, seed=0)
    assert table.groupby("label")["n"].first().to_dict() == {
        "macro": N,
        "part": int(KNOWN.sum()),
        "whole": N,
    }


def test_difference_of_a_label_that_is_known_of_few_patients_has_no_interval() -> None:
    p = _predictions()
    target = p.target.copy()
    target[LEAST_PATIENTS - 1 :, 1] = NOT_MEASURED
    one, other = (
        Predictions(p.record_ids, p.record_ids, TWO, target, score)
        for score in (p.score, p.score[::-1].copy())
    )
    table = compare_predictions(one, other, n_resamples=50, seed=0).query("metric == 'auroc'")
    found = table.set_index("label")
    assert np.isfinite(found["difference"]).all()
    assert found["low"].isna().to_dict() == {"whole": False, "part": True, "macro": False}
    reliability = reliability_table(TWO.names, one.target, one.score)
    curves = bootstrap_curves(one, reliability, n_resamples=50).to_table()
    has_band = curves.query("curve == 'roc'").groupby("label")["low"].count() > 0
    assert has_band.to_dict() == {"whole": True, "part": False}


def test_prevalence_of_what_nobody_looked_for_is_undefined() -> None:
    p = _predictions()
    target = p.target.copy()
    target[:, 1] = NOT_MEASURED
    found = describe_with_intervals(
        *(target, p.score, TWO.names, np.full(2, 0.5), p.subject_ids),
        left_out={},
        n_resamples=0,
        seed=0,
    )
    assert found.labels["prevalence"].isna().tolist() == [False, True]


def test_stored_predictions_keep_what_is_unknown() -> None:
    p = _predictions()
    table = p.to_table()
    assert table["target/part"].null_count == int((~KNOWN).sum())
    assert table["target/whole"].null_count == 0
    np.testing.assert_array_equal(Predictions.from_table(table).target, p.target)
