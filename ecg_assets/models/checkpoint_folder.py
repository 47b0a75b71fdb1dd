"""The files of a checkpoint folder, and what can be read of them without torch."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pydantic import BaseModel, ConfigDict, ValidationError

from ecg_assets.errors import CheckpointError, SchemaError
from ecg_assets.labels.vocabulary import LabelVocabulary
from ecg_assets.lineage import fingerprint_file, fingerprint_json
from ecg_assets.models.predictions import ValidationPredictions
from ecg_assets.preprocess.signal_spec import SignalSpec
from ecg_assets.store import SourceStore

Content = TypeVar("Content")

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
SEEN_PATIENTS = "seen_patients.parquet"

TRAINED_WEIGHTS = "trained_weights"
"""Field of run.json: what the optimizer was given of encoder, head and adapters."""

STARTED_FROM = "started_from"
"""Field of run.json: repository, commit and files of the hub, where training started from them."""

MODEL_FILES = (WEIGHTS, CONFIG, SIGNAL_SPEC, LABEL_VOCABULARY)
"""What a checkpoint needs to be used; the other files tell where it came from."""
TRAINING_FILES = (RUN, HISTORY, VALIDATION_PREDICTIONS, CURVES)
CHECKPOINT_FILES = (*MODEL_FILES, RUN, VALIDATION_PREDICTIONS, SEEN_PATIENTS, IMPORT_REPORT)
"""What is read of a folder that is dropped."""

MOST_BYTES = {".safetensors": 8 << 30, ".parquet": 1 << 30, ".json": 1 << 24, ".pt": 1 << 35}
"""Of a file by its suffix. The largest model here has 2.4 GB, three times that with its optimizer's
state, which a file of torch.save may hold."""

MOST_ROWS, MOST_VALUES, MOST_CHARACTERS = 1 << 23, 1 << 27, 1 << 28
"""Of a table in a checkpoint folder, and of a column of text in it if all were the longest."""

UNREADABLE_VALUES = (AttributeError, LookupError, OverflowError, TypeError, ValueError)
"""What values of another kind than expected raise."""

_DEEPEST = 40
"""Levels of a JSON file."""


def explain_size(path: Path) -> str:
    """Say that a file is larger than any of its kind; empty where it is not, or is no file."""
    n_bytes = path.stat().st_size if path.is_file() else 0
    most = MOST_BYTES.get(path.suffix, MOST_BYTES[".pt"])
    if n_bytes <= most:
        return ""
    return (
        f"{path.name} has {n_bytes} bytes; at most {most} are read. It is damaged, or no "
        "checkpoint's: get the original."
    )


def require_readable_size(path: Path) -> None:
    """Raise `CheckpointError` for a file that is larger than any of its kind."""
    if reason := explain_size(path):
        raise CheckpointError(f"Checkpoint {path.parent}: {reason}")


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
    def weights_sha256(self) -> str:
        """SHA-256 of the weights' file."""
        return fingerprint_file(self.folder / WEIGHTS)

    @property
    def trained_on(self) -> dict[str, Any]:
        """What the training data was made with, as its manifest said, e.g. the source."""
        trained_on: dict[str, Any] = self.run.get("trained_on", {})
        return trained_on

    @property
    def source(self) -> str | None:
        """Dataset that it was trained on; None where it does not name one."""
        source = self.trained_on.get("source")
        return source if isinstance(source, str) else None

    @property
    def base_model(self) -> str | None:
        """Repository of the hub that training started from; None where it does not name one."""
        origin = self.run.get(STARTED_FROM)
        name = origin.get("repository") if isinstance(origin, dict) else None
        return name if isinstance(name, str) else None


def read_card(folder: Path) -> CheckpointCard:
    """Read a checkpoint's signal spec, vocabulary and run.

    Raises
    ------
    CheckpointError
        When a file is missing or cannot be read; the message names it.
    """
    require_files(folder, MODEL_FILES)
    spec = _read_as(SignalSpec.from_json, folder / SIGNAL_SPEC)
    run = _read_as(_require_run, folder / RUN) if (folder / RUN).is_file() else {}
    return CheckpointCard(folder, spec, read_vocabulary(folder), run)


class _Request(BaseModel):
    """What is read of the request in run.json."""

    model_config = ConfigDict(strict=True)
    inputs: dict[str, str | None] | None = None
    precision: str | None = None
    preset: str | None = None
    recipe: dict[str, Any] | None = None


class _Part(BaseModel):
    """What is read of a part of the weights in run.json."""

    model_config = ConfigDict(strict=True)
    n_tensors: int
    of_tensors: int
    n_parameters: int
    of_parameters: int


class _TrainedWeights(BaseModel):
    """What is read of `TRAINED_WEIGHTS` in run.json."""

    model_config = ConfigDict(strict=True)
    encoder: _Part
    head: _Part
    adapters: _Part | None = None


class _Run(BaseModel):
    """What is read of run.json; it may lack any of it, and hold more."""

    model_config = ConfigDict(strict=True)
    trained_on: dict[str, Any] = {}
    request: _Request = _Request()
    splits: dict[str, dict[str, int]] | None = None
    code: dict[str, Any] | None = None
    n_parameters: int | None = None
    trained_weights: _TrainedWeights | None = None
    best_epoch: float | None = None
    valid_loss: float | None = None
    valid_macro_auroc: float | None = None
    valid_r2: float | None = None


def _require_run(value: dict[str, Any]) -> dict[str, Any]:
    try:
        _Run.model_validate(value)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        name = ".".join(map(str, first["loc"]))
        raise ValueError(f"{name} is {str(first['input'])[:80]!r}: {first['msg']}") from None
    return value


def read_vocabulary(folder: Path) -> LabelVocabulary:
    """Read a checkpoint's labels; raise `CheckpointError` when it cannot be read."""
    return _read_as(LabelVocabulary.from_json, folder / LABEL_VOCABULARY)


def read_spec(folder: Path) -> SignalSpec | None:
    """Read a checkpoint's signal spec; None where it has none, e.g. weights of other programs.

    Raises
    ------
    CheckpointError
        When it cannot be read.
    """
    path = folder / SIGNAL_SPEC
    return _read_as(SignalSpec.from_json, path) if path.is_file() else None


def _read_as(from_json: Callable[[dict[str, Any]], Content], path: Path) -> Content:
    try:
        return from_json(read_json(path))
    except UNREADABLE_VALUES as error:
        raise CheckpointError(
            f"Checkpoint {path.parent}: {path.name} is not as this version writes it ({error}). "
            "Write the checkpoint again."
        ) from error


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
        predictions = ValidationPredictions.from_table(read_bounded_table(path))
    except (pa.ArrowException, OSError, SchemaError, *UNREADABLE_VALUES) as error:
        raise CheckpointError(
            f"Checkpoint {folder}: cannot read {VALIDATION_PREDICTIONS} ({error}). Train it again."
        ) from error
    if predictions.vocabulary != card.vocabulary:
        raise CheckpointError(
            f"Checkpoint {folder}: {VALIDATION_PREDICTIONS} has other labels than "
            f"{LABEL_VOCABULARY}. The folder was put together from two models; train it again."
        )
    return predictions


def read_bounded_table(path: Path) -> pa.Table:
    """Read a flat table out of a checkpoint folder, whose size is looked at before it is read.

    A few bytes of Parquet can stand for billions of values.

    Raises
    ------
    CheckpointError
        When it is larger than a table of a checkpoint is.
    ArrowException, OSError
        When it is no table.
    """
    require_readable_size(path)
    limits = {"thrift_string_size_limit": 1 << 24, "thrift_container_size_limit": 1 << 20}
    with pq.ParquetFile(path, **limits) as file:
        facts, schema = file.metadata, file.schema_arrow
    groups = [facts.row_group(i) for i in range(facts.num_row_groups)]
    columns = [group.column(j) for group in groups for j in range(group.num_columns)]
    sizes = {
        "rows": (facts.num_rows, MOST_ROWS),
        "values": (sum(column.num_values for column in columns), MOST_VALUES),
        "bytes": (sum(c.total_uncompressed_size for c in columns), MOST_BYTES[path.suffix]),
    }
    texts = [f.name for f in schema if not pa.types.is_primitive(f.type)]
    if any(schema.field(name).type not in (pa.string(), pa.large_string()) for name in texts):
        raise CheckpointError(f"Checkpoint {path.parent}: {path.name} has columns within columns.")
    # A dictionary holds each text once, however often it stands in the rows.
    if all(size <= most for size, most in sizes.values()):
        table = pq.read_table(path, read_dictionary=texts)
        lengths = {name: _longest(table[name]) * len(table) for name in texts}
        sizes |= {f"bytes of {name}": (n, MOST_CHARACTERS) for name, n in lengths.items()}
    for name, (size, most) in sizes.items():
        if size > most:
            raise CheckpointError(
                f"Checkpoint {path.parent}: {path.name} has {size} {name}; at most {most} are "
                "read. Get the original, or train it again."
            )
    return table.cast(schema)


def _longest(texts: pa.ChunkedArray) -> int:
    """Bytes of the longest text of a dictionary's column."""
    of_chunks = [pc.max(pc.binary_length(chunk.dictionary)).as_py() for chunk in texts.chunks]
    return max((length or 0 for length in of_chunks), default=0)


def validation_scores_path(folder: Path, stored: SourceStore) -> Path:
    """Give the file of a checkpoint's validation scores: its own, or one among a source's results.

    A checkpoint that was not trained here has none of its own.
    """
    own = folder / VALIDATION_PREDICTIONS
    return own if own.is_file() else stored.table_path("validation_predictions", folder.name)


_EVALUATED_FILES = (*MODEL_FILES, RUN, VALIDATION_PREDICTIONS)

CIRCUMSTANCES = ("seconds", "machine", "code", "hardware")
"""Fields of run.json that say how long, where and with which versions a training ran."""
NAMED_CIRCUMSTANCES = "circumstances"
"""Field of run.json that names them."""


def checkpoint_content_sha256(folder: Path) -> str:
    """SHA-256 of a folder's weights, labels, signals, run and validation scores.

    Its pictures, its card and whom it saw do not count, nor do the `CIRCUMSTANCES` that a
    training names under ``circumstances``: the same weights trained twice are one content.
    A run.json without that field was written before there was one, and counts as it stands. Of a
    file that is too large or may not be read, its size counts.
    """
    paths = [folder / name for name in _EVALUATED_FILES]
    return fingerprint_json({path.name: _fingerprint(path) for path in paths if path.is_file()})


def _fingerprint(path: Path) -> str:
    if explain_size(path) or not os.access(path, os.R_OK):
        return fingerprint_json({"n_bytes": path.stat().st_size})
    if path.name == RUN:
        with suppress(CheckpointError):
            run = read_json(path)
            named = run.get(NAMED_CIRCUMSTANCES)
            if isinstance(named, list) and all(name in CIRCUMSTANCES for name in named):
                return fingerprint_json({name: run[name] for name in run if name not in named})
    return fingerprint_file(path)


def is_stored(checkpoints: Path, checkpoint_id: str) -> bool:
    """Tell whether a checkpoint's folder is still there."""
    # Of a folder that may not be looked into, Path.is_file raises.
    return os.path.isfile(checkpoints / checkpoint_id / WEIGHTS)  # noqa: PTH113


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
    require_readable_size(path)
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
        _require_shallow(value)
    except (OSError, ValueError, RecursionError) as error:
        raise CheckpointError(
            f"Checkpoint {path.parent}: cannot read {path.name} as JSON ({error}). "
            "Remove the folder and train or import it again."
        ) from error
    if not isinstance(value, dict):
        raise CheckpointError(f"Checkpoint {path.parent}: {path.name} is no JSON object.")
    return value


def _require_shallow(value: Any, depth: int = 0) -> None:
    if depth > _DEEPEST:
        raise ValueError(f"it is nested deeper than {_DEEPEST} levels")
    if isinstance(value, dict | list):
        for part in value.values() if isinstance(value, dict) else value:
            _require_shallow(part, depth + 1)
