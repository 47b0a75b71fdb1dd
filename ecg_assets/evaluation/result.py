"""The result of evaluating one checkpoint on one set, as JSON, in memory and at rest."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from ecg_assets.errors import SchemaError
from ecg_assets.evaluation.sets import EvaluationSet, Relation
from ecg_assets.metrics.calibration import RELIABILITY_COLUMNS
from ecg_assets.metrics.intervals import (
    LEAST_PATIENTS,
    explain_missing_interval,
    undefined_if_constant,
)
from ecg_assets.metrics.metrics import MACRO, METRICS, SUMMARIES, Need, at_threshold, tabulate
from ecg_assets.metrics.regression import NUMBER_METRICS
from ecg_assets.storage import to_json_value
from ecg_assets.tables import Column, TableSchema

# Metrics in long form: a row a label and metric, with what is undefined about it.


METRIC_TABLE = TableSchema(
    "metrics",
    (
        Column("label", pa.string(), "label, or macro, weighted, micro"),
        Column("metric", pa.string(), "name of the metric"),
        Column("value", pa.float64(), "value on the set", nullable=True),
        Column("low", pa.float64(), "lower end of its 95 % interval", nullable=True),
        Column("high", pa.float64(), "upper end of its 95 % interval", nullable=True),
        Column("n", pa.int64(), "recordings; pairs of recording and label in micro"),
        Column("n_pos", pa.int64(), "positive ones; in a summary the sum over its labels"),
        Column("undefined", pa.string(), "what is undefined about it, and why", nullable=True),
    ),
)

NO_POSITIVE = "no positive record in the evaluation set"
NO_NEGATIVE = "no negative record in the evaluation set"
NO_RECORD = "no record in the evaluation set"


def tabulate_metrics(
    labels: pd.DataFrame,
    summaries: Mapping[str, Mapping[str, float]],
    undefined: Mapping[str, str],
    no_interval: str,
) -> pd.DataFrame:
    """Turn a table of labels and the summary rows into long form, `METRIC_TABLE`.

    Parameters
    ----------
    labels
        One row a label, as in `EvaluationResult.labels`.
    summaries
        ``macro``, ``weighted`` and ``micro``: metric to value, ``_low`` and ``_high``.
    undefined
        Label to the reason why it has no AUROC.
    no_interval
        Why a defined value has no interval, as `explain_missing_interval` says it.
    """
    metrics = [name for name in METRICS if name in labels]  # an older result may lack one
    rows: list[dict[Any, Any]] = labels.to_dict("records")
    reasons = [
        [find_reason(row, m, undefined.get(str(row["label"])), no_interval) for m in metrics]
        for row in rows
    ]
    for name in SUMMARIES:
        is_pooled = name == "micro"
        left_out = [_name_left_out(labels, metric, is_pooled=is_pooled) for metric in metrics]
        pairs = zip(metrics, left_out, strict=True)
        reasons.append([_summary_reason(summaries[name], *pair, no_interval) for pair in pairs])
        n = labels["n"].sum() if is_pooled else labels["n"].max()
        rows.append({**summaries[name], "n": n, "n_pos": labels["n_pos"].sum()})
    counts = {name: [[int(row[name])] for row in rows] for name in ("n", "n_pos")}
    ends = {
        column: [[float(row[metric + end]) for metric in metrics] for row in rows]
        for column, end in (("value", ""), ("low", "_low"), ("high", "_high"))
    }
    names = [*labels["label"].astype(str), *SUMMARIES]
    return tabulate(names, metrics, **ends, **counts, undefined=np.array(reasons, object))


def find_reason(
    label: Mapping[Any, Any], metric: str, given: str | None, no_interval: str
) -> str | None:
    """Say why a label's metric, or its interval, is undefined; None if both are there.

    Parameters
    ----------
    label
        Row of the table of labels.
    given
        The reason why the label has no AUROC, if it has none.
    no_interval
        Why a defined value has no interval.
    """
    if np.isfinite(label[metric]):
        n_patients = label.get("n_patients", LEAST_PATIENTS)
        if n_patients < LEAST_PATIENTS and not no_interval.endswith("were drawn"):
            no_interval = explain_missing_interval(0, int(n_patients))
        return None if np.isfinite(label[f"{metric}_low"]) else no_interval
    if given and np.isnan(label["brier"]):
        return given
    needs = METRICS[metric].needs
    if Need.THRESHOLD in needs and np.isnan(label["threshold"]):
        return "no threshold for this label"
    if Need.POSITIVE in needs and label["n_pos"] == 0:
        return NO_POSITIVE
    if Need.NEGATIVE in needs and label["n_pos"] == label["n"]:
        return NO_NEGATIVE
    return METRICS[metric].otherwise


def _name_left_out(labels: pd.DataFrame, metric: str, *, is_pooled: bool) -> str:
    is_missing = labels["brier"].isna() if is_pooled else labels[metric].isna()
    if is_pooled and METRICS[metric].needs_threshold:
        is_missing |= labels["threshold"].isna()
    names = labels["label"][is_missing]
    return f"without {len(names)} of {len(labels)} labels: {', '.join(names)}" if len(names) else ""


def _summary_reason(
    values: Mapping[str, float], metric: str, left_out: str, no_interval: str
) -> str | None:
    if np.isnan(values[metric]):
        why = "no label is left" if left_out else "undefined over the pooled pairs"
    else:
        why = "" if np.isfinite(values[f"{metric}_low"]) else no_interval
    return "; ".join(part for part in (left_out, why) if part) or None


_TABLES: dict[str, tuple[str, ...]] = {
    "labels": (),
    "threshold_table": ("label", "rule", "threshold", *at_threshold()),
    "reliability": RELIABILITY_COLUMNS,
}
"""Tables of a result, and their columns where a table may have no row."""


@dataclass(frozen=True)
class EvaluationResult:
    """Metrics with intervals, and everything needed to say what they are of.

    Attributes
    ----------
    checkpoint
        The checkpoint's name.
    evaluation_set
        What it was evaluated on: equal sets are the same recordings with the same labels.
    relation
        What the set is to the checkpoint.
    seen_in_training
        What each training behind the checkpoint saw of the set's patients, as `StageOverlap`
        tells it: ``training, kind, source, split_rule, evaluated_patients_seen`` (None where it
        is unknown), ``is_leak, statement``.
    made_with
        What the evaluated recordings, labels and split were made with, by value.
    n_records, n_patients
        Size of the set.
    signal_spec, label_vocabulary
        What the model sees and says, by value.
    threshold_rule, n_validation_records
        How thresholds were chosen, and from how many validation recordings.
    labels
        One row a label: label, n, n_pos, prevalence, threshold, each metric with
        ``_low`` and ``_high``; where a label is not known of some recordings, also n_patients.
    macro, weighted, micro
        Metric to value, ``_low`` and ``_high``: mean over the defined labels, the same
        weighted by their positives, and all pairs of record and label pooled. Of numbers the
        first alone, and labels and tables as `ecg_assets.evaluation.regression` has them.
    undefined
        Label to the reason why its AUROC is undefined, or why the set cannot express it.
    threshold_table
        Columns label, rule, threshold and each metric that needs one: each rule's threshold,
        chosen on validation, and what it gives on the set.
    reliability
        Columns label, bin, n, n_pos, mean_score, share_positive: ten bins of scores.
    n_resamples, seed
        Of the bootstrap over patients.
    lineage
        Input to the SHA-256 of its content; ``checkpoint`` is the content of its folder,
        ``weights`` the file of its weights.
    """

    checkpoint: str
    evaluation_set: EvaluationSet
    relation: Relation
    seen_in_training: list[dict[str, Any]]
    made_with: dict[str, Any]
    n_records: int
    n_patients: int
    signal_spec: dict[str, Any]
    label_vocabulary: dict[str, Any]
    threshold_rule: str
    n_validation_records: int
    labels: pd.DataFrame
    macro: dict[str, float]
    weighted: dict[str, float]
    micro: dict[str, float]
    undefined: dict[str, str]
    threshold_table: pd.DataFrame
    reliability: pd.DataFrame
    n_resamples: int
    seed: int
    lineage: dict[str, str]

    @property
    def source(self) -> str:
        """Dataset of the evaluation set."""
        return self.evaluation_set.source

    @property
    def is_of_numbers(self) -> bool:
        """Whether the model predicts numbers, not labels."""
        return bool(self.label_vocabulary.get("units"))

    @property
    def main_metric(self) -> str:
        """What checkpoints are ranked by: R² of numbers, AUROC of labels."""
        return "r2" if self.is_of_numbers else "auroc"

    @property
    def is_too_small(self) -> bool:
        """Whether the set has too few patients for intervals and verdicts."""
        return self.n_patients < LEAST_PATIENTS

    @property
    def is_leaking(self) -> bool:
        """Whether a training behind the checkpoint is known to have seen the set's patients."""
        return any(seen["is_leak"] for seen in self.seen_in_training)

    def to_table(self) -> pd.DataFrame:
        """Long form: label, metric, value, low, high, n, n_pos, undefined."""
        if self.is_of_numbers:
            return self._tabulate_numbers()
        summaries = {name: getattr(self, name) for name in SUMMARIES}
        no_interval = explain_missing_interval(self.n_resamples, self.n_patients)
        return tabulate_metrics(self.labels, summaries, self.undefined, no_interval)

    def _tabulate_numbers(self) -> pd.DataFrame:
        of_set = {"label": MACRO, "n": self.n_records, "n_patients": self.n_patients}
        rows: list[dict[Any, Any]] = [*self.labels.to_dict("records"), {**of_set, **self.macro}]
        ends = {
            column: [[float(row[metric + end]) for metric in NUMBER_METRICS] for row in rows]
            for column, end in (("value", ""), ("low", "_low"), ("high", "_high"))
        }
        n = [[int(row["n"])] for row in rows]
        reasons = [[self._explain_number(row, name) for name in NUMBER_METRICS] for row in rows]
        names = [str(row["label"]) for row in rows]
        undefined = np.array(reasons, object)
        return tabulate(names, list(NUMBER_METRICS), **ends, n=n, n_pos=0, undefined=undefined)

    def _explain_number(self, row: Mapping[Any, Any], metric: str) -> str | None:
        """Say why a target's metric, or its interval, is undefined."""
        if np.isfinite(row[metric]):
            has_interval = np.isfinite(row[f"{metric}_low"])
            why = explain_missing_interval(self.n_resamples, int(row["n_patients"]))
            return None if has_interval else why
        if row["label"] == MACRO and NUMBER_METRICS[metric].has_unit:
            return "no mean over targets: it is in their units"
        return self.undefined.get(str(row["label"])) or NUMBER_METRICS[metric].otherwise

    def to_json(self) -> dict[str, Any]:
        """Fields as JSON values; an undefined number is null."""
        fields = {name: getattr(self, name) for name in self.__dataclass_fields__}
        for name in _TABLES:
            fields[name] = to_json_value(fields[name].to_dict("records"))
        for name in SUMMARIES:
            fields[name] = to_json_value(fields[name])
        fields["evaluation_set"] = self.evaluation_set.to_json()
        fields["relation"] = str(self.relation)
        return fields

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> EvaluationResult:
        """Build a result from `to_json`'s value.

        Intervals that another version gave without width, or to a set that is too small, are
        left out: they would show certainty where there is none.

        Raises
        ------
        SchemaError
            When fields are missing or unknown, as in a file of another version.
        """
        different = sorted(set(cls.__dataclass_fields__) ^ set(value))
        if different:
            raise SchemaError(
                f"Evaluation of {value.get('checkpoint')!r}: the fields {different} are missing "
                "or unknown; another version wrote it. Evaluate the checkpoint again."
            )
        fields = dict(value)
        for name, columns in _TABLES.items():
            fields[name] = _read_table(value[name], columns)
        for name in SUMMARIES:
            fields[name] = {
                key: np.nan if number is None else float(number)
                for key, number in value[name].items()
            }
        fields["evaluation_set"] = EvaluationSet.from_json(value["evaluation_set"])
        fields["relation"] = Relation(value["relation"])
        result = cls(**fields)
        _drop_false_intervals(result.labels, is_too_small=result.is_too_small)
        for name in SUMMARIES:
            summary = pd.DataFrame([getattr(result, name)])
            _drop_false_intervals(summary, is_too_small=result.is_too_small)
            getattr(result, name).update(summary.iloc[0].to_dict())
        return result


def _drop_false_intervals(table: pd.DataFrame, *, is_too_small: bool) -> None:
    """Make ends of intervals NaN, in place, that show certainty where there is none."""
    for metric in (*METRICS, *NUMBER_METRICS):
        ends = [f"{metric}_low", f"{metric}_high"]
        if ends[0] in table:  # an older result may lack a metric
            low, high = (table[end].to_numpy(np.float64) for end in ends)
            kept = undefined_if_constant(low, high)
            table[ends] = np.nan if is_too_small else np.stack(kept, axis=1)


def _read_table(rows: list[dict[str, Any]], columns: tuple[str, ...]) -> pd.DataFrame:
    table = pd.DataFrame(rows) if rows else pd.DataFrame(columns=list(columns))
    numbers = [name for name in table.columns if name not in ("label", "rule", "unit")]
    table[numbers] = table[numbers].apply(pd.to_numeric)
    return table


# Evaluations at rest: one JSON file a checkpoint, read in one way by everybody. A file that another
# version wrote, or that is damaged, is skipped with its reason: the checkpoint it is of may be gone
# for good, and must not take the others' numbers along.


Results = EvaluationResult | list[EvaluationResult]
"""Of one set, or of several."""


class StoredResults(Mapping[str, Any]):
    """Results by checkpoint (one or a list each), and why other files could not be read.

    Attributes
    ----------
    skipped
        Name of each other file, without its suffix, to the reason.
    """

    def __init__(self, found: Mapping[str, Results], skipped: Mapping[str, str]) -> None:
        self._found = dict(found)
        self.skipped = dict(skipped)

    def __getitem__(self, checkpoint: str) -> Any:
        return self._found[checkpoint]

    def __iter__(self) -> Iterator[str]:
        return iter(self._found)

    def __len__(self) -> int:
        return len(self._found)

    def skipped_table(self) -> pd.DataFrame:
        """One row a skipped file: ``checkpoint, reason``."""
        return pd.DataFrame(list(self.skipped.items()), columns=["checkpoint", "reason"])


def read_result(path: Path) -> Results:
    """Read one file.

    Raises
    ------
    SchemaError
        When it is damaged, or of another version.
    """
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
        if isinstance(value, list):
            return [EvaluationResult.from_json(one) for one in value]
        return EvaluationResult.from_json(value)
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise SchemaError(
            f"{path} cannot be read as an evaluation ({type(error).__name__}: {error}). "
            "Evaluate the checkpoint again."
        ) from error


def read_results(paths: Mapping[str, Path]) -> StoredResults:
    """Read the files that are there, by checkpoint; those that cannot be read are skipped."""
    found: dict[str, Results] = {}
    skipped: dict[str, str] = {}
    for checkpoint, path in sorted(paths.items()):
        if path.is_file():
            try:
                found[checkpoint] = read_result(path)
            except SchemaError as error:
                skipped[checkpoint] = str(error)
    return StoredResults(found, skipped)


def read_own_results(folder: Path) -> StoredResults:
    """Read all files of a folder that hold one result each."""
    results = read_results({path.stem: path for path in folder.glob("*.json")})
    found = {k: v for k, v in results.items() if isinstance(v, EvaluationResult)}
    return StoredResults(found, results.skipped)
