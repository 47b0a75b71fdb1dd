"""The files of a checkpoint folder, and what can be read of them without torch."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from ecg_assets.errors import CheckpointError
from ecg_assets.labels.label_vocabulary import LabelVocabulary
from ecg_assets.lineage import fingerprint_file
from ecg_assets.models.predictions import ValidationPredictions
from ecg_assets.preprocess.signal_spec import SignalSpec

WEIGHTS = "model.safetensors"
CONFIG = "config.json"
SIGNAL_SPEC = "signal_spec.json"
LABEL_VOCABULARY = "label_vocabulary.json"
RUN = "run.json"
HISTORY = "history.csv"
VALIDATION_PREDICTIONS = "validation_predictions.parquet"
CURVES = "curves.png"
CLASS_REPORTS = "class_reports.json"
CONFUSION_MATRIX = "confusion_matrix.png"
IMPORT_REPORT = "import_report.json"
FAIRSEQ = "fairseq.json"
PRETRAINING_WEIGHTS = "fairseq_pretraining.safetensors"
MODEL_CARD = "README.md"

MODEL_FILES = (WEIGHTS, CONFIG, SIGNAL_SPEC, LABEL_VOCABULARY)
"""What a checkpoint needs to be used; the other files tell where it came from."""
TRAINING_FILES = (RUN, HISTORY, VALIDATION_PREDICTIONS, CURVES)


@dataclass(frozen=True)
class CheckpointCard:
    """What a checkpoint says of itself.

    Attributes
    ----------
    folder
        Where it stands.
    spec, vocabulary
        Signals and labels that the model was trained on.
    run
        Content of run.json; empty for a checkpoint without one.
    """

    folder: Path
    spec: SignalSpec
    vocabulary: LabelVocabulary
    run: dict[str, Any]

    @property
    def fingerprint(self) -> str:
        """Fingerprint of the weights."""
        return fingerprint_file(self.folder / WEIGHTS)

    @property
    def trained_on(self) -> dict[str, str]:
        """What the training data was, as its request said, e.g. the source."""
        trained_on: dict[str, str] = self.run.get("trained_on", {})
        return trained_on


def read_card(folder: Path) -> CheckpointCard:
    """Read a checkpoint's signal spec, vocabulary and run.

    Raises
    ------
    CheckpointError
        When a file is missing or cannot be read; the message names it.
    """
    require_files(folder, MODEL_FILES)
    try:
        spec = SignalSpec.from_json(read_json(folder / SIGNAL_SPEC))
        vocabulary = LabelVocabulary.from_json(read_json(folder / LABEL_VOCABULARY))
    except (KeyError, TypeError, ValueError) as error:
        raise CheckpointError(
            f"Checkpoint {folder}: {SIGNAL_SPEC} or {LABEL_VOCABULARY} is not as this version "
            f"writes it ({error}). Write the checkpoint again."
        ) from error
    run = read_json(folder / RUN) if (folder / RUN).is_file() else {}
    return CheckpointCard(folder, spec, vocabulary, run)


def read_validation_predictions(folder: Path, path: Path | None = None) -> ValidationPredictions:
    """Read the scores of the validation split that were stored with a checkpoint.

    Parameters
    ----------
    folder
        The checkpoint.
    path
        Their file, where it stands elsewhere.

    Raises
    ------
    CheckpointError
        When there are none, or they are of other labels than the model's.
    """
    card = read_card(folder)
    path = path or folder / VALIDATION_PREDICTIONS
    require_files(path.parent, (path.name,))
    try:
        predictions = ValidationPredictions.from_table(pq.read_table(path))
    except pa.ArrowInvalid as error:
        raise CheckpointError(
            f"Checkpoint {folder}: cannot read {VALIDATION_PREDICTIONS} ({error}). Train it again."
        ) from error
    if predictions.vocabulary != card.vocabulary:
        raise CheckpointError(
            f"Checkpoint {folder}: {VALIDATION_PREDICTIONS} has other labels than "
            f"{LABEL_VOCABULARY}. The folder was put together from two models; train it again."
        )
    return predictions


def require_files(folder: Path, names: tuple[str, ...]) -> None:
    """Raise `CheckpointError` unless the folder has all these files."""
    if not folder.is_dir():
        raise CheckpointError(f"No checkpoint folder at {folder}. Train or import one first.")
    missing = [name for name in names if not (folder / name).is_file()]
    if missing:
        raise CheckpointError(
            f"Checkpoint {folder} lacks {', '.join(missing)}; it needs {', '.join(names)}. "
            "Remove the folder and train or import it again."
        )


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object out of a checkpoint folder."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise CheckpointError(
            f"Checkpoint {path.parent}: cannot read {path.name} as JSON ({error}). "
            "Remove the folder and train or import it again."
        ) from error
    if not isinstance(value, dict):
        raise CheckpointError(f"Checkpoint {path.parent}: {path.name} is no JSON object.")
    return value
