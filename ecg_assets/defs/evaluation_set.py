"""Which recordings a checkpoint may be evaluated on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ecg_assets.build import Manifest
from ecg_assets.defs.resources import Settings
from ecg_assets.errors import LeakageError
from ecg_assets.models.checkpoint_files import VALIDATION_PREDICTIONS


@dataclass(frozen=True)
class EvaluationSet:
    """Rows of the manifest's index, and what they are in words."""

    rows: NDArray[np.int64]
    description: str


def choose_rows(
    manifest: Manifest, settings: Settings, trained_on: Mapping[str, Any]
) -> EvaluationSet:
    """Select the test split of the source that a checkpoint knows, or all of another source.

    Of a checkpoint that was not trained here nothing is known: its thresholds come from the
    validation split of the current source, so that the test split alone is left.

    Parameters
    ----------
    manifest
        The current source's manifest.
    trained_on
        ``source`` and ``split_rule`` of the checkpoint's training data; empty for one that was
        not trained here.

    Raises
    ------
    LeakageError
        When the source is split by another rule than it was for training: today's test
        split would hold patients that the model was trained on.
    """
    name = evaluation_set_name(settings, trained_on)
    if trained_on and trained_on.get("source") != settings.source:
        return EvaluationSet(np.arange(len(manifest.index)), name)
    if trained_on and trained_on.get("split_rule") != settings.split_rule:
        raise LeakageError(
            f"The checkpoint was trained on {settings.source} split by "
            f"{trained_on.get('split_rule')!r}; the split now is {settings.split_rule!r}. "
            "Set ECG_SEED, ECG_VALID_SHARE, ECG_TEST_SHARE or ECG_META_SPLIT as for training, or "
            "train again."
        )
    rows = np.flatnonzero(manifest.index["split"].to_numpy() == "test")
    return EvaluationSet(rows, name)


def evaluation_set_name(settings: Settings, trained_on: Mapping[str, Any]) -> str:
    """Name of the set in words: the same words for the same recordings, so that they compare."""
    if trained_on and trained_on.get("source") != settings.source:
        return f"{settings.source}, all recordings (external)"
    return f"{settings.source}, test split"


def validation_scores_path(settings: Settings, folder: Path) -> Path:
    """Where the validation scores of a checkpoint stand: with it, or with this source's results."""
    own = folder / VALIDATION_PREDICTIONS
    if own.is_file():
        return own
    return settings.folder("validation_predictions") / f"{folder.name}.parquet"
