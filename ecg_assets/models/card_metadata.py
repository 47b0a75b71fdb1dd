"""What a checkpoint's README.md says to programs: front matter of Hugging Face's model cards."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

LIBRARY = "ecg-assets"
TAGS = ("ecg", "electrocardiogram")
TASK = "ECG classification"
LICENCES = {"MIT": "mit", "Apache 2.0": "apache-2.0", "CC BY-NC 4.0": "cc-by-nc-4.0"}
"""Licences as families state them, to the hub's identifiers."""

_OF_WEIGHTS = re.compile(rf"weights ({'|'.join(map(re.escape, LICENCES))})(: no commercial use)?$")
"""A statement that adds conditions of its own is of no identifier."""


@dataclass(frozen=True)
class CardResult:
    """A number of a model.

    Attributes
    ----------
    source, part
        Dataset and which recordings of it, e.g. ``test``: one of a kind in a card.
    set_name
        Both in words.
    metric, title
        Its name, and the same in words with its interval.
    value
        The number.
    """

    source: str
    part: str
    set_name: str
    metric: str
    title: str
    value: float


def licence_id(statement: str) -> str | None:
    """Give the hub's identifier of the licence of weights; None where it is not stated plainly.

    >>> [licence_id(one) for one in ("code MIT; weights Apache 2.0", "for the weights none")]
    ['apache-2.0', None]
    """
    found = _OF_WEIGHTS.search(statement)
    return LICENCES[found[1]] if found else None


def card_metadata(
    name: str,
    *,
    family: str,
    licence: str | None = None,
    trained_on: str | None = None,
    base_model: str | None = None,
    results: Sequence[CardResult] = (),
) -> str:
    """Write the YAML block that a card begins with; what is not known is left out.

    The hub has no task for recordings of leads, so there is no ``pipeline_tag``.

    Parameters
    ----------
    name
        Of the checkpoint.
    family
        Name of its `ModelFamily`, a tag.
    licence
        The hub's identifier, as `licence_id` gives it.
    trained_on
        Dataset that it was trained on.
    base_model
        Repository of the hub that training started from.
    results
        Become ``metrics`` and ``model-index``.
    """
    from huggingface_hub import EvalResult, ModelCardData

    found = [
        EvalResult(
            task_type="other",
            task_name=TASK,
            dataset_type=one.source,
            dataset_name=one.set_name,
            dataset_split=one.part,
            metric_type=one.metric,
            metric_name=one.title,
            metric_value=one.value,
        )
        for one in results
    ]
    data = ModelCardData(
        library_name=LIBRARY,
        license=licence,
        tags=[*TAGS, family],
        datasets=[trained_on] if trained_on else None,
        base_model=base_model,
        metrics=list(dict.fromkeys(one.metric for one in results)) or None,
        model_name=name if found else None,
        eval_results=found or None,
    )
    return f"---\n{data.to_yaml()}\n---\n\n"
