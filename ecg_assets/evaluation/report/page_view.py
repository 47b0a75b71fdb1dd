"""What templates of the report are given: rows of long tables side by side, with pointers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ecg_assets.evaluation.report.checkpoint_facts import FACTS
from ecg_assets.evaluation.report.metric_glossary import GLOSSARY
from ecg_assets.evaluation.report.report_document import MACRO
from ecg_assets.labels import LabelVocabulary

_SLICE_METRICS = ("auroc", "auprc", "sensitivity", "specificity")


def build_view(document: Mapping[str, Any]) -> dict[str, Any]:
    """Arrange a report's document for its templates.

    A group of a long table is a row with ``at`` (pointer of its first entry) and ``metrics``
    (metric to the pointer of its entry).
    """
    view = {
        **document,
        "model_card": {**dict.fromkeys(FACTS), **document["model_card"]},
        "metrics": list(document["glossary"]),
        "undefined_by_reason": _by_reason(document["evaluation"]),
        "maximum_labels": _maximum_labels(document["evaluation"]),
        "slice_columns": (),
    }
    if document["slices"] is not None:
        view["slice_rows"] = _side_by_side(document["slices"], "/slices", ("slice", "group"))
        view["slice_columns"] = _columns(view["slice_rows"], _SLICE_METRICS)
    if document["lead_degradation"] is not None:
        rows = _side_by_side(document["lead_degradation"], "/lead_degradation", ("leads", "label"))
        view["lead_rows"] = [row for row in rows if row["label"] == MACRO]
    if document["difference"] is not None:
        table = document["difference"]["table"]
        view["difference_rows"] = _side_by_side(table, "/difference/table", ("label",))
        view["difference_columns"] = _columns(view["difference_rows"], GLOSSARY)
    return view


def _side_by_side(
    rows: Sequence[Mapping[str, Any]], path: str, keys: tuple[str, ...]
) -> list[dict[str, Any]]:
    """Put the metrics of a group beside each other, groups in the order of the table."""
    groups: dict[tuple[Any, ...], dict[str, Any]] = {}
    for place, row in enumerate(rows):
        at = f"{path}/{place}"
        group = groups.setdefault(tuple(row[key] for key in keys), {**row, "at": at, "metrics": {}})
        group["metrics"][row["metric"]] = at
        group["is_uncertain"] = bool(group.get("is_uncertain")) and bool(row.get("is_uncertain"))
    return list(groups.values())


def _columns(rows: Sequence[Mapping[str, Any]], wanted: Iterable[str]) -> list[str]:
    found = {metric for row in rows for metric in row["metrics"]}
    return [metric for metric in wanted if metric in found]


def _by_reason(evaluation: Mapping[str, Any]) -> dict[str, list[str]]:
    """Group labels, by the pointers of their names, by why they are undefined."""
    labels: dict[str, list[str]] = {}
    for place, row in enumerate(evaluation["labels"]):
        if row["label"] in evaluation["undefined"]:
            reason = evaluation["undefined"][row["label"]]
            labels.setdefault(reason, []).append(f"/evaluation/labels/{place}/label")
    return labels


def _maximum_labels(evaluation: Mapping[str, Any]) -> list[str]:
    """List the labels, by the pointers of their names, that are the maximum over segments."""
    aggregation = LabelVocabulary.from_json(evaluation["label_vocabulary"]).aggregation
    return [
        f"/evaluation/label_vocabulary/names/{place}"
        for place, rule in enumerate(aggregation)
        if rule == "max"
    ]
