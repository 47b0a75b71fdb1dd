"""A model's metrics with intervals, and the paired difference of two models."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ecg_assets.api.source import require_distinct
from ecg_assets.errors import LeakageError, SchemaError, SettingsError, SpecMismatch
from ecg_assets.evaluation.comparison import compare_predictions
from ecg_assets.evaluation.evaluate import evaluate_checkpoint
from ecg_assets.evaluation.external.labels import keep_names, label_external, widen_labels
from ecg_assets.evaluation.leakage import find_overlaps
from ecg_assets.evaluation.report.numbers import format_number
from ecg_assets.evaluation.result import EvaluationResult
from ecg_assets.evaluation.sets import EvaluationSet, Part, Relation, relate
from ecg_assets.known import NOT_MEASURED, is_known
from ecg_assets.labels.label_set import ECG_FM_LABEL_SET, LabelSet, label_set_of
from ecg_assets.labels.label_tables import label_matrix
from ecg_assets.labels.labeler import label_records
from ecg_assets.labels.vocabulary import LabelVocabulary, require_same_labels
from ecg_assets.made_with import LABEL_THRESHOLD, known_facts
from ecg_assets.models.checkpoint_folder import (
    VALIDATION_PREDICTIONS,
    checkpoint_content_sha256,
    read_validation_predictions,
)
from ecg_assets.models.predictions import Predictions, ValidationPredictions
from ecg_assets.models.seen_patients import read_seen_patients

if TYPE_CHECKING:
    from ecg_assets.api.model import Model
    from ecg_assets.api.shards import Shards
    from ecg_assets.api.source import OpenedSource


@dataclass(frozen=True, eq=False, repr=False)
class Evaluation:
    """Metrics of a model on recordings, as `evaluate` gives them.

    Attributes
    ----------
    result
        All that the platform stores of an evaluation: thresholds, calibration, what the trainings
        behind the model saw of the patients (``seen_in_training``), hashes.
    predictions
        Scores and targets of the recordings; `compare` takes them from here.
    left_out
        Recordings that were not evaluated, to their number: ``seen_in_training``, ``unlabelled``,
        or why they have no score.
    """

    result: EvaluationResult
    predictions: Predictions
    left_out: dict[str, int]

    @property
    def table(self) -> pd.DataFrame:
        """A row a label and metric: ``label, metric, value, low, high, n, n_pos, undefined``.

        ``low`` and ``high`` are the ends of the 95 % interval over patients; NaN where it is
        undefined, and ``undefined`` says why. Labels are followed by ``macro``, their mean.
        """
        return self.result.to_table()

    def metric(self, name: str | None = None) -> pd.DataFrame:
        """Give one metric of each label: ``value, low, high, n, n_pos`` by label.

        Parameters
        ----------
        name
            Of ``table["metric"]``; by default ``auroc``, of a model of numbers ``r2``.

        Raises
        ------
        KeyError
            When there is none of that name.
        """
        table, name = self.table, name or self.result.main_metric
        if name not in set(table["metric"]):
            raise KeyError(f"no metric {name!r}; there are {', '.join(table['metric'].unique())}")
        found = table[table["metric"] == name].set_index("label")
        return found[["value", "low", "high", "n", "n_pos"]]

    def __repr__(self) -> str:
        result, metric = self.result, self.result.main_metric
        value, low, high = (result.macro[metric + end] for end in ("", "_low", "_high"))
        interval = f" [{format_number(low)}, {format_number(high)}]" if np.isfinite(low) else ""
        title = "R²" if result.is_of_numbers else "AUROC"
        left_out = ", ".join(f"{name} {n}" for name, n in self.left_out.items())
        return (
            f"Evaluation({result.checkpoint!r} on {result.source or 'recordings'}: "
            f"{result.n_records} recordings of {result.n_patients} patients, macro {title} "
            f"{format_number(value)}{interval}{f'; left out: {left_out}' if left_out else ''}"
            f"{'; overlaps with the training data' if result.relation == Relation.SHARED else ''})"
        )


def evaluate(
    model: Model,
    data: OpenedSource | Shards,
    labels: str | LabelSet | pd.DataFrame | None = None,
    *,
    record_ids: Iterable[str] | None = None,
    n_resamples: int = 1000,
    seed: int = 0,
    precision: str = "fp32",
) -> Evaluation:
    """Evaluate a model on recordings, with 95 % intervals over patients.

    Patients whose labels a fine-tuning behind the model read are left out, and counted: of the
    dataset that it was trained on, its test split is left. Recordings without a label or a score
    are left out, too. Thresholds are those of the model's own validation split, where it carries
    one; without it, what needs a threshold is undefined.

    Parameters
    ----------
    model
        As `from_pretrained` gives it.
    data
        As `open_source` or `open_shards` gives it.
    labels
        What is true: a table with a row a recording, by ``record_id``, and columns of the model's
        names (0, 1, or missing where nobody knows); a label set; or by default the rules that the
        model's training labels were made by. A label that the data cannot express is undefined,
        and takes no part in means.
    record_ids
        Recordings; all by default.
    n_resamples
        Of the bootstrap over patients; 0 give no interval.
    seed
        Of the bootstrap.
    precision
        ``fp32``, ``bf16`` or ``fp16``.

    Raises
    ------
    SpecMismatch
        When the labels are not the model's, or nothing says by which rules they are made.
    LeakageError
        When the model's training read the labels of all these patients.
    SchemaError
        When no recording has labels and a score.

    Warns
    -----
    UserWarning
        When a fine-tuning behind the model read the labels of recordings that this dataset has
        under other names: nobody can be left out.
    """
    _require_resamples(n_resamples)
    records = data.choose(record_ids)
    require_distinct(records["record_id"])
    if records.empty:
        raise SchemaError(f"No recording of {data!r} is chosen; expected one or more.")
    left_out: Counter[str] = Counter()
    seen = read_seen_patients(model.card.folder)
    if "subject_id" not in records:
        raise SettingsError(
            f"{data!r} does not say whose recordings they are, and intervals are over patients. "
            "Open the data folder that record_list is stored in, or the source."
        )
    patients = records["subject_id"].astype(str)
    is_seen = patients.isin(seen.find_learned(patients, data.name)).to_numpy(bool)
    if is_seen.all():
        raise LeakageError(
            f"{model.name} was trained or validated on the labels of all {patients.nunique()} "
            f"patients of these {len(records)} recordings of {data.name}. Evaluate it on others."
        )
    left_out["seen_in_training"] = int(is_seen.sum())
    records, patients = records[~is_seen], patients[~is_seen]
    truth = _find_truth(model, data, records, labels)
    known = is_known(truth.target).any(axis=1)
    left_out["unlabelled"] = len(records) - int(known.sum())
    kept = pd.Index(truth.record_ids[known])
    applied = model.apply(data, kept.tolist(), precision=precision)
    is_scored = ~kept.isin(applied.reasons.index)
    left_out.update(applied.reasons)
    ids = kept[is_scored]
    if not len(ids):
        raise SchemaError(
            f"No recording of {len(records)} has labels and a score; left out were "
            f"{dict(+left_out)}."
        )
    subjects = pd.Series(patients.to_numpy(), records["record_id"].astype(str))
    predictions = Predictions(
        record_ids=ids.to_numpy().astype(np.str_),
        subject_ids=subjects.loc[ids].to_numpy().astype(np.str_),
        vocabulary=truth.vocabulary,
        target=truth.target[known][is_scored],
        score=applied.scores.loc[ids, list(truth.vocabulary.names)].to_numpy(np.float32),
        made_with=truth.facts,
    )
    relation = relate(seen, data.name)
    overlaps = find_overlaps(seen, predictions.subject_ids.tolist(), data.name)
    for found in overlaps:
        if found.saw_labels:
            warnings.warn(
                f"{found.stage.name} was fine-tuned on {found.stage.source}. {found.statement} No "
                "patient could be left out: the metrics are no test of it.",
                stacklevel=2,
            )
    part = Part.TEST if relation == Relation.OWN else Part.ALL
    part = part if record_ids is None else Part.CHOSEN
    wide = widen_labels(predictions, model.vocabulary, truth.unmapped)
    result = evaluate_checkpoint(
        _validation_of(model),
        predictions if model.vocabulary.is_continuous else wide,
        checkpoint=model.name,
        evaluation_set=EvaluationSet(data.name, part),
        relation=relation,
        seen_in_training=overlaps,
        signal_spec=model.spec.to_json(),
        lineage={
            "checkpoint": checkpoint_content_sha256(model.card.folder),
            "weights": model.card.weights_sha256,
        },
        n_resamples=n_resamples,
        seed=seed,
        unmapped=truth.unmapped,
    )
    return Evaluation(result, predictions, dict(+left_out))


def compare(
    a: Evaluation, b: Evaluation, *, n_resamples: int = 1000, seed: int = 0
) -> pd.DataFrame:
    """Subtract the metrics of `b` from those of `a`, on the recordings that both have.

    In each resample both are measured on the same patients, so that what varies alike cancels.

    Parameters
    ----------
    a
        As `evaluate` gives it.
    b
        Another one, whose metrics are subtracted.
    n_resamples
        Of the bootstrap over patients; 0 give no interval.
    seed
        Of the bootstrap.

    Returns
    -------
    DataFrame
        A row a label and metric: ``label, metric, difference, low, high, n, n_pos``; ``low`` and
        ``high`` are the ends of the 95 % interval. ``macro`` is the mean over the labels.

    Raises
    ------
    SpecMismatch
        When they have no recording or label in common, or other targets or patients for one.
    """
    _require_resamples(n_resamples)
    return compare_predictions(a.predictions, b.predictions, n_resamples=n_resamples, seed=seed)


def _require_resamples(n_resamples: int) -> None:
    if n_resamples < 0:
        raise ValueError(f"n_resamples is {n_resamples}; expected 0 or more.")


@dataclass(frozen=True, eq=False)
class _Truth:
    """Targets of recordings, of those of a model's labels that the data can express."""

    record_ids: NDArray[np.object_]
    vocabulary: LabelVocabulary
    target: NDArray[Any]
    unmapped: dict[str, str]
    facts: dict[str, Any]


def _find_truth(
    model: Model,
    data: OpenedSource | Shards,
    records: pd.DataFrame,
    labels: str | LabelSet | pd.DataFrame | None,
) -> _Truth:
    if isinstance(labels, pd.DataFrame):
        return _truth_of_table(model, labels, records)
    label_set = _rules_of(model) if labels is None else data.load_label_set(labels)
    asked = label_set.vocabulary.aggregated(model.spec.aggregation)
    require_same_labels(model.vocabulary, asked, where="the label set")
    reports = data.read_reports(records)
    threshold = float(model.card.trained_on.get(LABEL_THRESHOLD, 0.5))
    if asked.is_continuous:
        found = label_records(reports, label_set=label_set, records=records).labels
        unmapped: dict[str, str] = {}
    else:
        external = label_external(reports, label_set, threshold=threshold, records=records)
        found, label_set, unmapped = external.labels, external.label_set, external.unmapped
    vocabulary = label_set.vocabulary.aggregated(model.spec.aggregation)
    ids, target, _ = label_matrix(found, vocabulary)
    return _Truth(ids, vocabulary, target, unmapped, known_facts(found))


def _truth_of_table(model: Model, labels: pd.DataFrame, records: pd.DataFrame) -> _Truth:
    if not labels.columns.is_unique:
        raise ValueError(f"labels has a column twice in {list(labels)}; expected each once.")
    names = [name for name in model.labels if name in labels]
    unknown = [name for name in labels if name not in model.labels]
    if not names or unknown:
        raise SpecMismatch(
            f"labels has the columns {list(labels)}, of which {unknown} are no labels of the "
            f"model; expected one or more of {list(model.labels)}."
        )
    if not labels.index.is_unique:
        raise ValueError("labels has a record_id twice in its index; expected each once.")
    ids = records["record_id"].astype(str).to_numpy(object)
    values = (
        labels[names].reindex(pd.Index(ids)).astype("Float32").to_numpy(np.float32, na_value=np.nan)
    )
    facts = known_facts(records)
    if model.vocabulary.is_continuous:
        if len(names) != len(model.labels):
            raise SpecMismatch(f"labels has {names}; of numbers all are needed: {model.labels}.")
        return _Truth(ids, model.vocabulary, values, {}, facts)
    if wrong := sorted(set(np.unique(values[~np.isnan(values)]).tolist()) - {0.0, 1.0}):
        raise ValueError(f"labels holds {wrong[:5]}; expected 0, 1, or missing.")
    target = np.where(np.isnan(values), NOT_MEASURED, values).astype(np.uint8)
    missing = [name for name in model.labels if name not in names]
    unmapped = dict.fromkeys(missing, "no column of the labels that were given")
    return _Truth(ids, keep_names(model.vocabulary, names), target, unmapped, facts)


def _rules_of(model: Model) -> LabelSet:
    """Give the rules of a model's labels: those of its training, or of the published ones."""
    found = label_set_of(model.card.trained_on)
    if found is None and model.labels == ECG_FM_LABEL_SET.vocabulary.names:
        found = ECG_FM_LABEL_SET
    if found is None:
        raise SpecMismatch(
            f"{model.name} does not say by which rules its labels {list(model.labels)} were made. "
            "Give labels: a label set, or a table of 0 and 1 by record_id."
        )
    return found


def _validation_of(model: Model) -> ValidationPredictions:
    """Read a model's validation scores; none of one that was not trained here."""
    if (model.card.folder / VALIDATION_PREDICTIONS).is_file():
        return read_validation_predictions(model.card.folder)
    n_labels, empty = len(model.vocabulary), np.empty(0, np.str_)
    kind = np.float32 if model.vocabulary.is_continuous else np.uint8
    return ValidationPredictions(
        empty,
        empty,
        model.vocabulary,
        np.empty((0, n_labels), kind),
        np.empty((0, n_labels), np.float32),
    )
