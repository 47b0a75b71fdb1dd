"""Which checkpoint another one is compared with in its report."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ecg_assets.evaluation.leaderboard import find_champions, find_compared_labels
from ecg_assets.evaluation.result import EvaluationResult


@dataclass(frozen=True)
class Rival:
    """The checkpoint to compare with.

    Attributes
    ----------
    champion
        The best checkpoint of the evaluation set.
    other
        The champion; of the champion itself, the runner-up.
    labels
        Labels that are defined for all checkpoints of the set.
    n_checkpoints
        Checkpoints of the set.
    """

    champion: str
    other: str
    labels: tuple[str, ...]
    n_checkpoints: int


def find_rival(result: EvaluationResult, stored: Sequence[EvaluationResult]) -> Rival | None:
    """Find the champion of an evaluation's set, or the runner-up if it is the champion itself.

    Parameters
    ----------
    result
        The evaluation at hand.
    stored
        All stored evaluations; those of other sets do not count.

    Returns
    -------
    Rival or None
        None when no other checkpoint was evaluated on the set, or no label is defined for all.
    """
    others = [
        one
        for one in stored
        if one.evaluation_set == result.evaluation_set and one.checkpoint != result.checkpoint
    ]
    members = [result, *others]
    champion = find_champions(members).get(result.evaluation_set)
    if not others or champion is None:
        return None
    best_other = find_champions(others)[result.evaluation_set]
    other = best_other if champion == result.checkpoint else champion
    return Rival(champion, other, tuple(find_compared_labels(members)), len(members))
