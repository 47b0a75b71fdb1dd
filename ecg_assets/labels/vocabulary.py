"""The ordered labels of a model, by value: they travel in manifests, checkpoints, predictions."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from ecg_assets.errors import SpecMismatch

AGGREGATIONS = ("mean", "max")


@dataclass(frozen=True)
class LabelVocabulary:
    """Label names in the order of a model's outputs.

    Attributes
    ----------
    names
        Distinct label names.
    aggregation
        For each label, how the probabilities of a recording's segments become one:
        ``mean`` or ``max``.
    units
        For each target, of a model that predicts numbers; empty of labels, which are present or
        absent.
    """

    names: tuple[str, ...]
    aggregation: tuple[str, ...]
    units: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not all(isinstance(name, str) for name in self.names):
            raise ValueError(f"names is {self.names}; expected text.")
        if not self.names or len(set(self.names)) != len(self.names):
            raise ValueError(f"names is {self.names}; expected distinct label names.")
        if len(self.aggregation) != len(self.names):
            raise ValueError(
                f"aggregation has {len(self.aggregation)} entries for {len(self.names)} labels."
            )
        unknown = sorted(set(self.aggregation) - set(AGGREGATIONS))
        if unknown:
            raise ValueError(f"aggregation holds {unknown}; allowed: {AGGREGATIONS}.")
        if self.units and (len(self.units) != len(self.names) or not all(self.units)):
            raise ValueError(f"units is {self.units}; expected one for each of {self.names}.")

    def __len__(self) -> int:
        return len(self.names)

    def aggregated(self, how: str) -> LabelVocabulary:
        """Give the same labels with one rule for all, or as they are where it is ``by-label``.

        >>> LabelVocabulary(("a", "b"), ("mean", "max")).aggregated("max").aggregation
        ('max', 'max')
        """
        return self if how == "by-label" else replace(self, aggregation=(how,) * len(self))

    @property
    def is_continuous(self) -> bool:
        """Whether these are numbers in a unit, not labels."""
        return bool(self.units)

    def to_json(self) -> dict[str, Any]:
        """Fields as JSON values; `from_json` reads them back."""
        value = {"names": list(self.names), "aggregation": list(self.aggregation)}
        return value | ({"units": list(self.units)} if self.units else {})

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> LabelVocabulary:
        """Build a vocabulary from `to_json`'s value."""
        units = tuple(value.get("units", ()))
        return cls(tuple(value["names"]), tuple(value["aggregation"]), units)


_MAX = frozenset(
    {
        "Poor data quality",
        "Premature ventricular contraction",
        "Ventricular tachycardia",
        "Supraventricular tachycardia with aberrancy",
        "Electronic pacemaker",
    }
)

_ECG_FM_NAMES = (
    "Poor data quality",
    "Sinus rhythm",
    "Premature ventricular contraction",
    "Tachycardia",
    "Ventricular tachycardia",
    "Supraventricular tachycardia with aberrancy",
    "Atrial fibrillation",
    "Atrial flutter",
    "Bradycardia",
    "Accessory pathway conduction",
    "Atrioventricular block",
    "1st degree atrioventricular block",
    "Bifascicular block",
    "Right bundle branch block",
    "Left bundle branch block",
    "Infarction",
    "Electronic pacemaker",
)

ECG_FM_LABELS = LabelVocabulary(
    names=_ECG_FM_NAMES,
    aggregation=tuple("max" if name in _MAX else "mean" for name in _ECG_FM_NAMES),
)
"""The 17 labels of ECG-FM in its order, with the aggregation of its own inference."""


def require_same_labels(expected: LabelVocabulary, found: LabelVocabulary, *, where: str) -> None:
    """Raise `SpecMismatch` with both vocabularies printed unless they are equal."""
    if expected != found:
        raise SpecMismatch(
            f"Label vocabulary of {where} differs from the model's.\n"
            f"  model: {expected.to_json()}\n  data:  {found.to_json()}\n"
            "Label the data with the model's label set, or choose a model of this one."
        )
