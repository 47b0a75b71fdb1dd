"""What each metric is, in a sentence for a reader who does not compute it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class MetricMeaning:
    """Name and meaning of a metric.

    Attributes
    ----------
    title
        As it stands above a column.
    formula
        What it is, as a phrase.
    guide
        How to read it.
    needs_threshold
        Whether it depends on the threshold that makes a score a yes or a no.
    """

    title: str
    formula: str
    guide: str
    needs_threshold: bool = False


GLOSSARY: dict[str, MetricMeaning] = {
    "auroc": MetricMeaning(
        "AUROC",
        "area under the curve of sensitivity over 1 − specificity: the probability that a "
        "recording with the label scores higher than one without, a tie counting half",
        "0.5 is chance, 1 is perfect; it does not depend on how frequent the label is.",
    ),
    "auprc": MetricMeaning(
        "AUPRC",
        "average precision: precision at each score with a positive recording, averaged over the "
        "positive recordings, without interpolation",
        "Chance is the prevalence, so compare it with the prevalence beside it.",
    ),
    "f1": MetricMeaning(
        "F1",
        "2 × true positives ÷ (called positive + positive)",
        "The harmonic mean of sensitivity and PPV.",
        needs_threshold=True,
    ),
    "sensitivity": MetricMeaning(
        "sensitivity",
        "true positives ÷ positive recordings (recall)",
        "Of the recordings with the label, the share that is found.",
        needs_threshold=True,
    ),
    "specificity": MetricMeaning(
        "specificity",
        "true negatives ÷ negative recordings",
        "Of the recordings without the label, the share that is left alone.",
        needs_threshold=True,
    ),
    "ppv": MetricMeaning(
        "PPV",
        "true positives ÷ recordings called positive (precision)",
        "How often a call is right, at this set's prevalence; elsewhere it differs.",
        needs_threshold=True,
    ),
    "npv": MetricMeaning(
        "NPV",
        "true negatives ÷ recordings called negative",
        "How often silence is right, at this set's prevalence; elsewhere it differs.",
        needs_threshold=True,
    ),
    "brier": MetricMeaning(
        "Brier",
        "mean of (score − label)²",
        "0 is perfect; always to say the prevalence p gives p × (1 − p).",
    ),
    "ece": MetricMeaning(
        "ECE",
        "expected calibration error: mean over bins of equal width of |mean score − share of "
        "positives|, weighted by the recordings of the bin",
        "0 means that a score of s is right s of the time.",
    ),
    "calibration_slope": MetricMeaning(
        "calibration slope",
        "slope of the logistic regression of the label on the log odds of the score",
        "1 is calibrated; below 1 the scores are too extreme, above 1 too timid.",
    ),
    "calibration_intercept": MetricMeaning(
        "calibration intercept",
        "intercept of the same regression",
        "0 is calibrated (with slope 1); above 0 the scores are too low, below 0 too high.",
    ),
}

SUMMARY_MEANINGS: dict[str, str] = {
    "macro": "mean over the labels that are defined in this set, each counting the same",
    "weighted": "mean over the labels that are defined, weighted by their positive recordings",
    "micro": "all pairs of recording and label pooled",
}
"""How the numbers of labels become one."""
