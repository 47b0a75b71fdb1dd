"""Labels that a model confidently contradicts, the most suspicious first."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray
from scipy.special import expit

from ecg_assets.evaluation.thresholds import require_validation
from ecg_assets.known import is_known, keep_known
from ecg_assets.labels import EVIDENCE, LabelVocabulary, label_matrix
from ecg_assets.metrics.calibration import logit_of
from ecg_assets.metrics.ranks import auroc
from ecg_assets.models.predictions import Predictions, ValidationPredictions
from ecg_assets.storage import replace_file
from ecg_assets.tables import Column, TableSchema, write_csv

# A model's scores as probabilities, by what the validation split says of them.


MIN_EXAMPLES = 3
"""A label needs so many positive and negative validation recordings to be calibrated."""

MIN_AUROC = 0.65
"""A model that tells a label worse than that on validation cannot contest it.

The bar is low, since wrong labels in the validation split lower the AUROC.
"""


@dataclass(frozen=True)
class ScoreCalibration:
    """A logistic curve a label, from score to probability.

    Attributes
    ----------
    slope, intercept
        Of the label's log odds over the score's, float64 ``(label,)``; NaN for a label that
        the validation split says too little about.
    reasons
        Position of each such label, and why.
    """

    slope: NDArray[np.float64]
    intercept: NDArray[np.float64]
    reasons: dict[int, str]

    @classmethod
    def from_validation(cls, validation: ValidationPredictions) -> ScoreCalibration:
        """Fit each label's curve by Platt's method on the validation split alone.

        Its targets are (n⁺ + 1) / (n⁺ + 2) and 1 / (n⁻ + 2) instead of 1 and 0, so that a
        perfect separation gives no certainty (Platt 1999, Probabilistic outputs for support
        vector machines).

        Raises
        ------
        TypeError
            When given predictions that are not of a validation split.
        """
        require_validation(validation)
        n_labels = len(validation.vocabulary)
        slope, intercept = np.full(n_labels, np.nan), np.full(n_labels, np.nan)
        reasons = {}
        for label in range(n_labels):
            target, (score,) = keep_known(validation.target[:, label], validation.score[:, label])
            reason = _find_reason_against(target, score)
            if reason:
                reasons[label] = reason
            else:
                slope[label], intercept[label] = _fit(target, score)
        return cls(slope, intercept, reasons)

    @property
    def is_known(self) -> NDArray[np.bool_]:
        """Which labels have a curve, ``(label,)``."""
        return np.isfinite(self.slope)

    def log_odds(self, score: NDArray[np.float32]) -> NDArray[np.float64]:
        """Give each label's calibrated log odds, ``(recording, label)``; NaN without a curve."""
        return self.slope * logit_of(score) + self.intercept


def _find_reason_against(target: NDArray[np.uint8], score: NDArray[np.float32]) -> str:
    n_positive = int(target.sum())
    n_negative = len(target) - n_positive
    if min(n_positive, n_negative) < MIN_EXAMPLES:
        return (
            f"{n_positive} positive and {n_negative} negative validation recordings; "
            f"{MIN_EXAMPLES} of each are needed"
        )
    found = auroc(target, score)
    if found < MIN_AUROC:
        return f"AUROC of {found:.3f} on validation is below {MIN_AUROC}"
    return ""


def _fit(target: NDArray[np.uint8], score: NDArray[np.float32]) -> tuple[float, float]:
    from sklearn.linear_model import LogisticRegression

    n_positive = int(target.sum())
    n_negative = len(target) - n_positive
    positive, negative = (n_positive + 1) / (n_positive + 2), 1 / (n_negative + 2)
    soft = np.where(target == 1, positive, negative)
    # A soft target is a recording that is positive with one weight and negative with the rest.
    twice = np.concatenate([logit_of(score)] * 2)[:, None]
    classes = np.repeat([1, 0], len(score))
    model = LogisticRegression(C=np.inf, max_iter=1000)
    model.fit(twice, classes, sample_weight=np.concatenate([soft, 1 - soft]))
    return float(model.coef_[0, 0]), float(model.intercept_[0])


WRONG_SHARE = 0.02
"""Share of wrong labels among those that a line states without a hedge: an assumption. It does
not change their order, only how many hedged labels stand before them.
"""

NO_LINE = "no line names it"
NO_EVIDENCE = "lines not at hand"
"""The rule of a label that no evidence speaks of."""

TOP_SHARE = 0.05
"""The part of the list that is looked at."""

LABEL_NOISE = TableSchema(
    "label_noise",
    (
        Column("record_id", pa.string(), "the recording, as in record_list"),
        Column("label", pa.string(), "the label that is doubted"),
        Column("value", pa.int8(), "what the report made of it, 0 or 1"),
        Column("probability", pa.float32(), "how sure the report's wording is", nullable=True),
        Column("score", pa.float32(), "the model's probability of the label"),
        Column("calibrated_score", pa.float64(), "the same, calibrated on the validation split"),
        Column("suspicion", pa.float64(), "probability that the label is wrong"),
        Column("rank", pa.int64(), "1 is the most suspicious"),
        Column("line", pa.string(), "the report line that speaks of the label", nullable=True),
        Column("matched", pa.string(), "its words that name the finding", nullable=True),
        Column("rule", pa.string(), f"how it was read, or: {NO_LINE}, or: {NO_EVIDENCE}"),
    ),
)


def suspect_labels(
    calibration: ScoreCalibration,
    predictions: Predictions,
    probability: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Give the probability that a label is wrong, from what its report and its model say.

    Odds of a wrong label are the model's calibrated odds against it, over the odds that its
    wording is right. So self-confidence, the ranking of confident learning (Northcutt 2021,
    https://doi.org/10.1613/jair.1.12125), is weighted by the rule that made the label, and a
    calibrated probability means the same for a rare label as for a frequent one.

    Parameters
    ----------
    calibration
        Of the checkpoint's scores, from its validation split.
    predictions
        Scores, and the labels that are doubted.
    probability
        What the report's wording makes each label's probability, ``(recording, label)``; NaN
        counts as stated.

    Returns
    -------
    NDArray
        float64 ``(recording, label)`` from 0 to 1; NaN for labels without calibration, and where
        a label is not known.
    """
    is_true = predictions.target == 1
    against = np.where(is_true, -1.0, 1.0) * calibration.log_odds(predictions.score)
    stated = np.where(np.isnan(probability), predictions.target, probability)
    right = np.where(is_true, stated, 1 - stated)
    right = np.clip(right, WRONG_SHARE, 1 - WRONG_SHARE)
    suspicion = expit(against - np.log(right / (1 - right)))
    return np.where(is_known(predictions.target), suspicion, np.nan)


def report_probabilities(
    labels: pd.DataFrame, record_ids: NDArray[np.str_], vocabulary: LabelVocabulary
) -> NDArray[np.float64]:
    """Give the labels' probabilities, ``(recording, label)``; NaN for a recording without any."""
    chosen = labels[labels["record_id"].isin(set(record_ids.tolist()))]
    found_ids, _, probability = label_matrix(chosen, vocabulary)
    at = pd.Index(found_ids).get_indexer(pd.Index(record_ids.tolist(), dtype=object))
    result = np.full((len(record_ids), len(vocabulary)), np.nan)
    result[at >= 0] = probability[at[at >= 0]]
    return result


def rank_label_noise(
    calibration: ScoreCalibration,
    predictions: Predictions,
    labels: pd.DataFrame,
    evidence: pd.DataFrame | None,
) -> pd.DataFrame:
    """List every judged pair of recording and label, the most suspicious first.

    Parameters
    ----------
    calibration, predictions
        As in `suspect_labels`.
    labels, evidence
        As `LABELS` and `EVIDENCE` declare; without evidence each ``rule`` says so.

    Returns
    -------
    DataFrame
        As `LABEL_NOISE` declares; labels without calibration are left out.
    """
    vocabulary = predictions.vocabulary
    probability = report_probabilities(labels, predictions.record_ids, vocabulary)
    suspicion = suspect_labels(calibration, predictions, probability)
    order = np.argsort(-suspicion, axis=None, kind="stable")  # NaN stands last
    order = order[: int(np.isfinite(suspicion).sum())]
    row, label = np.unravel_index(order, suspicion.shape)
    table = pd.DataFrame(
        {
            "record_id": predictions.record_ids[row].astype(object),
            "label": np.array(vocabulary.names, dtype=object)[label],
            "value": predictions.target[row, label].astype(np.int8),
            "probability": probability[row, label].astype(np.float32),
            "score": predictions.score[row, label],
            "calibrated_score": expit(calibration.log_odds(predictions.score))[row, label],
            "suspicion": suspicion[row, label],
            "rank": np.arange(1, len(order) + 1),
        }
    )
    found = EVIDENCE.empty() if evidence is None else evidence
    joined = table.merge(
        _strongest_evidence(found, predictions),
        on=["record_id", "label"],
        how="left",
        validate="one_to_one",
    )
    return joined.assign(rule=joined["rule"].fillna(NO_EVIDENCE if evidence is None else NO_LINE))


def _strongest_evidence(evidence: pd.DataFrame, predictions: Predictions) -> pd.DataFrame:
    """Keep the line that makes each label's probability, the first of equal ones."""
    chosen = evidence[evidence["record_id"].isin(set(predictions.record_ids.tolist()))]
    ordered = chosen.sort_values(["probability", "line_index"], ascending=[False, True])
    columns = ["record_id", "label", "line", "matched", "rule"]
    return ordered[columns].astype(object).drop_duplicates(["record_id", "label"])


# The list of suspicious labels, ready for a reviewer.


LIKELY = 0.5
"""Above it a label is more likely wrong than right, by what its report and its model say."""


def write_review_list(table: pd.DataFrame, path: Path, *, n_rows: int = 500) -> None:
    """Write the most suspicious labels as CSV with empty columns for a reviewer's judgement.

    Parameters
    ----------
    table
        As `LABEL_NOISE` declares, by rank.
    path
        The file; ``decision`` (right, wrong, unclear), ``reviewer`` and ``remark`` are empty.
    n_rows
        Of the file, at most.
    """
    chosen = table.head(n_rows).assign(decision="", reviewer="", remark="")
    with replace_file(path) as temporary:
        write_csv(chosen, temporary)


def count_suspects(table: pd.DataFrame) -> pd.DataFrame:
    """Count the suspicious labels, without a word of their reports.

    Returns
    -------
    DataFrame
        ``label, value, pairs`` (all that were judged), ``top`` (in the first `TOP_SHARE` of the
        list) and ``likely_wrong`` (suspicion above `LIKELY`), most in the top first.
    """
    columns = ["label", "value", "pairs", "top", "likely_wrong"]
    if table.empty:
        return pd.DataFrame(columns=columns)
    flags = table[["label", "value"]].assign(
        pairs=1,
        top=(table["rank"] <= TOP_SHARE * len(table)).astype(int),
        likely_wrong=(table["suspicion"] > LIKELY).astype(int),
    )
    counts = flags.groupby(["label", "value"], as_index=False).sum()
    return counts.sort_values(["top", "label", "value"], ascending=[False, True, True])[columns]


def caption_suspect(row: pd.Series) -> str:
    """Say what the model doubts, without an id and without the report's words.

    >>> caption_suspect(pd.Series({"label": "Atrial flutter", "value": 1, "rule": "probable",
    ...     "score": 0.08, "suspicion": 0.85}))
    'Atrial flutter: labelled present (probable), score 0.08, suspicion 0.85'
    """
    state = "present" if row["value"] else "absent"
    reason = "no line" if row["rule"] == NO_LINE else row["rule"]
    return (
        f"{row['label']}: labelled {state} ({reason}), score {row['score']:.2f}, "
        f"suspicion {row['suspicion']:.2f}"
    )
