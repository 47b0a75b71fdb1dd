"""Labels that a model confidently contradicts, the most suspicious first."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray
from scipy.special import expit

from ecg_assets.evaluation.noise.score_calibration import ScoreCalibration
from ecg_assets.labels import LabelVocabulary, label_matrix
from ecg_assets.models.predictions import Predictions
from ecg_assets.tables import Column, TableSchema

WRONG_SHARE = 0.02
"""Share of wrong labels among those that a line states without a hedge: an assumption. It does
not change their order, only how many hedged labels stand before them.
"""

NO_LINE = "no line names it"
"""The rule of a label that no evidence speaks of."""

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
        Column("rule", pa.string(), f"how it was read, or: {NO_LINE}"),
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
        float64 ``(recording, label)`` from 0 to 1; NaN for labels without calibration.
    """
    is_true = predictions.target == 1
    against = np.where(is_true, -1.0, 1.0) * calibration.log_odds(predictions.score)
    stated = np.where(np.isnan(probability), predictions.target, probability)
    right = np.where(is_true, stated, 1 - stated)
    right = np.clip(right, WRONG_SHARE, 1 - WRONG_SHARE)
    return np.asarray(expit(against - np.log(right / (1 - right))), np.float64)


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
    evidence: pd.DataFrame,
) -> pd.DataFrame:
    """List every judged pair of recording and label, the most suspicious first.

    Parameters
    ----------
    calibration, predictions
        As in `suspect_labels`.
    labels, evidence
        As `LABELS` and `EVIDENCE` declare.

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
    joined = table.merge(
        _strongest_evidence(evidence, predictions),
        on=["record_id", "label"],
        how="left",
        validate="one_to_one",
    )
    return joined.assign(rule=joined["rule"].fillna(NO_LINE))


def _strongest_evidence(evidence: pd.DataFrame, predictions: Predictions) -> pd.DataFrame:
    """Keep the line that makes each label's probability, the first of equal ones."""
    chosen = evidence[evidence["record_id"].isin(set(predictions.record_ids.tolist()))]
    ordered = chosen.sort_values(["probability", "line_index"], ascending=[False, True])
    columns = ["record_id", "label", "line", "matched", "rule"]
    return ordered[columns].astype(object).drop_duplicates(["record_id", "label"])
