"""Labels of a model and labels that data brings, side by side by what they are made of."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from ecg_assets.evaluation.external.crosswalk_paths import implied_by
from ecg_assets.labels import LabelRule, LabelSet
from ecg_assets.labels.knowledge import DEFINITE
from ecg_assets.labels.own_labels import is_own

LABEL_SET_ROWS = ("label", "data_label", "concept", "is_mapped", "reason")


def crosswalk_label_sets(model: LabelSet, data: LabelSet) -> pd.DataFrame:
    """Say for each label of a model which label of the data is the same.

    Two labels are the same when each concept that makes the one definitely implies one of the
    other, and both are forbidden by the same concepts; or when they have one name, and the
    data's is a column of its own (``own:<name>``). One that merely implies the other is not
    the same: a recording without it may have the other all the same.

    Returns
    -------
    pandas.DataFrame
        `LABEL_SET_ROWS`: a row a label of the model, ``data_label`` empty where there is none.

    >>> from ecg_assets.labels import ECG_FM_LABEL_SET, load_label_set
    >>> table = crosswalk_label_sets(ECG_FM_LABEL_SET, load_label_set("six-conditions"))
    >>> table[table["is_mapped"]][["label", "data_label"]].to_numpy().tolist()[:2]
    [['Atrial fibrillation', 'AFIB'], ['Atrial flutter', 'AFLT']]
    """
    rows = [
        (name, *_find_same(name, rule, data))
        for name, rule in zip(model.vocabulary.names, model.rules, strict=True)
    ]
    return pd.DataFrame(rows, columns=list(LABEL_SET_ROWS))


def _find_same(name: str, rule: LabelRule, data: LabelSet) -> tuple[str | None, str, bool, str]:
    """Row of one label without its name."""
    concept = " or ".join(rule.includes)
    related = []
    for data_name, data_rule in zip(data.vocabulary.names, data.rules, strict=True):
        if _is_same(rule, data_rule):
            reason = f"Both {name} and {data_name} are made of {concept}."
            return data_name, concept, True, reason
        if data_name == name and all(map(is_own, data_rule.includes)):
            own = " or ".join(data_rule.includes)
            return data_name, own, True, f"The data's own label {own} has the label's name."
        if set(_implied(data_rule.includes)) & set(rule.includes):
            related.append(data_name)
    reason = f"No label of the data is made of {concept} alone."
    if related:
        reason = (
            f"{' and '.join(related)} of the data would imply {concept}, but their absence does "
            "not say that it is absent, or other findings forbid the one than the other."
        )
    return None, concept, False, reason


def _is_same(one: LabelRule, other: LabelRule) -> bool:
    """Say whether each concept of either rule implies one of the other's."""
    return (
        set(one.excludes) == set(other.excludes)
        and all(_implies(concept, other.includes) for concept in one.includes)
        and all(_implies(concept, one.includes) for concept in other.includes)
    )


def _implies(concept: str, wanted: Sequence[str]) -> bool:
    return any(implied_by(concept).get(name) == DEFINITE for name in wanted)


def _implied(concepts: Sequence[str]) -> list[str]:
    return [implied for concept in concepts for implied in implied_by(concept)]
