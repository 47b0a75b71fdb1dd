"""The finished checkpoint folder of a training with labels, and what it says of itself."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray

from ecg_assets.known import is_known, is_positive
from ecg_assets.labels.vocabulary import LabelVocabulary
from ecg_assets.metrics.confusion import draw_confusion_matrix
from ecg_assets.models.card_metadata import CardResult, card_metadata
from ecg_assets.models.checkpoint import TrainedModel, save_trained
from ecg_assets.models.checkpoint_folder import (
    CLASS_REPORTS,
    CONFUSION_MATRIX,
    MODEL_CARD,
    RUN,
    STARTED_FROM,
    TRAINED_WEIGHTS,
    VALIDATION_PREDICTIONS,
)
from ecg_assets.models.classifier import EcgClassifier
from ecg_assets.models.families import family_of
from ecg_assets.models.family import ModelFamily
from ecg_assets.models.hub import find_origin
from ecg_assets.models.imported import describe_pretraining
from ecg_assets.models.scoring import predict_logits
from ecg_assets.models.seen_patients import FINE_TUNING
from ecg_assets.preprocess.signal_spec import SignalSpec
from ecg_assets.preprocess.signal_steps import describe_filter, describe_normalization
from ecg_assets.training.engine.data import TrainingData
from ecg_assets.training.engine.history import History, best_row, read_history
from ecg_assets.training.engine.run_record import run_record, write_run
from ecg_assets.training.finetune.methods import merge_adapters, save_adapters
from ecg_assets.training.finetune.request import FinetuneRequest
from ecg_assets.training.finetune.trained_weights import (
    count_until,
    describe_trained,
    n_trained_parameters,
)
from ecg_assets.training.finetune.validate import (
    Validation,
    class_reports,
    read_confusions,
    validate_logits,
)

# README.md of a checkpoint that was trained here.


_CARD = """\
# {checkpoint}

- Trained on: {source} ({split_rule}): {n_train:,} recordings of {n_patients:,} patients; preset
  `{preset}`, {n_parameters:,} parameters, of which {n_trained:,} were trained{trained}.
- Best epoch {best_epoch} of {epochs}: validation loss {loss:.4f}, {measure}. {others}
  and all other numbers belong to an evaluation, not to this page.
- Input: {leads}; segments of {segment_s:g} s at {rate} Hz, of a recording {part}; normalization
  {normalization}; filter: {filter}; {n_channels} channels.
- Output: {outputs}. Labels are read from the carts' reports unless the source has
  its own; a label's positives in training are in `{run}`.
- Started from: {start}
- For research; not a medical device. On other hospitals' recordings, other carts and other leads it
  must be evaluated first.

```python
from ecg_assets.models import load_checkpoint

model = load_checkpoint("{checkpoint}")
```
"""


def training_card(
    record: Mapping[str, Any],
    spec: SignalSpec,
    vocabulary: LabelVocabulary,
    family: ModelFamily,
    *,
    has_pretraining: bool,
) -> str:
    """Write what a checkpoint was trained on, what it reads and says, as Markdown.

    Parameters
    ----------
    record
        Content of run.json.
    spec, vocabulary
        The model's.
    family
        What kind of model it is.
    has_pretraining
        Whether it started from a pretrained checkpoint.
    """
    train, numbers = record["splits"]["train"], vocabulary.is_continuous
    name, key = ("R²", "valid_r2") if numbers else ("macro AUROC", "valid_macro_auroc")
    value = record[key]
    start = f"a pretrained checkpoint. {describe_pretraining(family)}"
    if not has_pretraining:
        start = "random weights."
    if origin := record.get(STARTED_FROM):
        start += f" Fetched from `hf:{origin['repository']}`, commit `{origin['commit']}`."
    if record["request"]["recipe"].get("random_encoder"):
        start = "random weights, which its encoder still has: a **random encoder** under a probe."
    counted = record.get(TRAINED_WEIGHTS)
    return _metadata(record, family, name, value) + _CARD.format(
        checkpoint=record["checkpoint_id"],
        source=record["trained_on"].get("source", "recordings that the request does not name"),
        split_rule=record["trained_on"].get("split_rule", "split not named"),
        n_train=train["n_records"],
        n_patients=train["n_patients"],
        preset=record["request"]["preset"],
        n_parameters=record["n_parameters"],
        n_trained=record["n_trained_parameters"],
        trained=f" ({describe_trained(counted)})" if counted else "",
        best_epoch=record["best_epoch"],
        epochs=record["epochs_trained"],
        loss=record["valid_loss"],
        measure=f"{name} {'undefined' if value is None else f'{value:.3f}'}",
        others="Intervals" if numbers else "Thresholds",
        leads=", ".join(spec.leads),
        segment_s=spec.segment_s,
        rate=spec.sample_rate_hz,
        part=spec.describe_part(),
        normalization=describe_normalization(spec.normalization),
        filter=describe_filter(spec.filter),
        n_channels=spec.n_channels,
        outputs=_name_outputs(vocabulary),
        run=RUN,
        start=start,
    )


def _metadata(
    record: Mapping[str, Any], family: ModelFamily, title: str, value: float | None
) -> str:
    """Write the card's front matter; a result needs a number and the dataset that it is of."""
    source, measured = record["trained_on"].get("source"), []
    if source and value is not None:
        metric = "r2" if title == "R²" else "auroc"
        where = (source, "validation", f"{source}, validation split")
        measured.append(CardResult(*where, metric, title, value))
    return card_metadata(
        record["checkpoint_id"],
        family=family.name,
        trained_on=source,
        base_model=(record.get(STARTED_FROM) or {}).get("repository"),
        results=measured,
    )


def _name_outputs(vocabulary: LabelVocabulary) -> str:
    if not vocabulary.is_continuous:
        return f"probabilities of {', '.join(vocabulary.names)}"
    pairs = zip(vocabulary.names, vocabulary.units, strict=True)
    return ", ".join(f"{name} in {unit}" for name, unit in pairs)


ADAPTER = "adapter"
"""Folder of a LoRA run's adapters, inside the checkpoint's."""


def write_result(
    request: FinetuneRequest,
    data: TrainingData,
    model: EcgClassifier,
    log: Sequence[Mapping[str, Any]],
    folder: Path,
    *,
    counted: Mapping[str, Any],
) -> None:
    """Put the best epoch's model, its validation scores and the run's record into `folder`.

    Parameters
    ----------
    model
        As trained in the best epoch.
    log
        `TrainerState.log_history` of all epochs.
    counted
        What the optimizer was given, as `count_trained_weights` says it.
    """
    history = read_history(log, request.recipe.history_columns)
    best_epoch = best_row(history)["epoch"]
    counted = count_until(counted, request.recipe, best_epoch)
    sizes = {
        "n_parameters": sum(p.numel() for p in model.parameters()),
        "n_trained_parameters": n_trained_parameters(counted),
        TRAINED_WEIGHTS: counted,
    }
    if request.recipe.method == "lora":
        save_adapters(model, folder / ADAPTER)
        merge_adapters(model)
    trained = TrainedModel(model.eval(), data.manifest.spec, data.manifest.vocabulary)
    logits = validation_logits(request, data, trained)
    validation = validate_logits(data, data.rows("valid"), logits)
    save_trained(folder, model.cpu(), trained.spec, trained.vocabulary)
    _write_class_reports(log, trained.vocabulary.names, best_epoch, folder)
    record = finetuning_record(request, data, sizes, history, validation)
    write_labelled_run(
        folder,
        request,
        data,
        history=history,
        record=record,
        validation=validation,
        trained=trained,
    )


def write_labelled_run(
    folder: Path,
    request: FinetuneRequest,
    data: TrainingData,
    *,
    history: History,
    record: dict[str, Any],
    validation: Validation,
    trained: TrainedModel,
) -> None:
    """Write what stands beside a fine-tuned model, whichever trainer it is of."""
    pq.write_table(validation.predictions.to_table(), folder / VALIDATION_PREDICTIONS)
    write_run(folder, request, data, history, record, stage=FINE_TUNING, start=request.pretrained)
    card = training_card(
        record,
        trained.spec,
        trained.vocabulary,
        family_of(trained.model),
        has_pretraining=request.pretrained is not None,
    )
    (folder / MODEL_CARD).write_text(card, encoding="utf-8")


def _write_class_reports(
    log: Sequence[Mapping[str, Any]], class_names: Sequence[str], best: int, folder: Path
) -> None:
    """Write reports of each epoch and the matrix of the best one, of exclusive classes."""
    confusions = read_confusions(log, class_names)
    if confusions:
        text = json.dumps(class_reports(confusions), indent=1, ensure_ascii=False, allow_nan=False)
        (folder / CLASS_REPORTS).write_text(text + "\n", encoding="utf-8")
    if best in confusions:
        (folder / CONFUSION_MATRIX).write_bytes(draw_confusion_matrix(confusions[best]))


def validation_logits(
    request: FinetuneRequest, data: TrainingData, trained: TrainedModel
) -> NDArray[np.float32]:
    """Run a finished model on the validation split, where and how the request says."""
    return predict_logits(
        trained,
        data.manifest,
        data.signals,
        data.rows("valid"),
        device=request.device,
        precision=request.precision,
    )


def finetuning_record(
    request: FinetuneRequest,
    data: TrainingData,
    n_parameters: Mapping[str, Any],
    history: History,
    validation: Validation,
) -> dict[str, Any]:
    """Collect what a training with labels came to, as `run_record`."""
    best = best_row(history)
    evaluated = dict(data.evaluated_rows(with_test=request.recipe.reports_test))
    columns = request.recipe.history_columns
    measured = [name for name in columns if name.startswith(("valid_", "test_"))]
    return run_record(
        request,
        data,
        history,
        **{name: best.get(name) for name in measured},
        labels_without_auroc=list(validation.undefined),
        **n_parameters,
        **_started_from(request.pretrained),
        splits={name: count_split(data, name) for name in ("train", *evaluated)},
        labels=_label_counts(data),
    )


def count_parameters(model: EcgClassifier) -> dict[str, int]:
    """Count the weights of the model that was trained, and those that training may change."""
    sizes = [(p.numel(), p.requires_grad) for p in model.parameters()]
    return {
        "n_parameters": sum(size for size, _ in sizes),
        "n_trained_parameters": sum(size for size, is_trained in sizes if is_trained),
    }


def count_split(data: TrainingData, split: str) -> dict[str, int]:
    """Count what is used of a split, and of exclusive labels what none or several leave out."""
    chosen = data.manifest.index.iloc[data.rows(split)]
    return {
        "n_records": len(chosen),
        "n_patients": int(chosen["subject_id"].nunique()),
        "n_segments": int(data.n_segments(data.rows(split)).sum()),
        **(_count_left_out(data, split) if data.exclusive else {}),
    }


def _count_left_out(data: TrainingData, split: str) -> dict[str, int]:
    targets = data.manifest.targets[data.manifest.rows(split)]
    n_labels, known = is_positive(targets).sum(axis=1), is_known(targets).all(axis=1)
    n_unknown = int((~known & (n_labels <= 1)).sum())
    return {
        "n_left_out_without_label": int((known & (n_labels == 0)).sum()),
        "n_left_out_with_several_labels": int((n_labels > 1).sum()),
        **({"n_left_out_not_measured": n_unknown} if n_unknown else {}),
    }


def _started_from(start: Path | None) -> dict[str, Any]:
    """Name repository, commit and SHA-256 of what was fetched from the hub to start from."""
    if start is None:
        return {}
    origin = find_origin(start if start.is_dir() else start.parent)
    return {STARTED_FROM: origin} if origin else {}


def _label_counts(data: TrainingData) -> dict[str, dict[str, float]]:
    train, valid = (data.manifest.targets[data.rows(split)] for split in ("train", "valid"))
    if data.regression is not None:
        pairs = zip(data.regression.mean, data.regression.deviation, strict=True)
        return {
            name: {
                "n_known_train": int(is_known(train)[:, i].sum()),
                "n_known_valid": int(is_known(valid)[:, i].sum()),
                "mean_train": mean,
                "deviation_train": deviation,
            }
            for i, (name, (mean, deviation)) in enumerate(
                zip(data.manifest.vocabulary.names, pairs, strict=True)
            )
        }
    counts = {
        "n_positive_train": is_positive(train).sum(axis=0),
        "n_positive_valid": is_positive(valid).sum(axis=0),
    }
    known = {
        "n_known_train": is_known(train).sum(axis=0),
        "n_known_valid": is_known(valid).sum(axis=0),
    }
    counts |= known if data.manifest.is_partly_measured else {}
    return {
        name: {
            **{what: int(count[i]) for what, count in counts.items()},
            "pos_weight": float(data.manifest.pos_weight[i]),
        }
        for i, name in enumerate(data.manifest.vocabulary.names)
    }
