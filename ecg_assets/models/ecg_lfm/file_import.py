"""A checkpoint file of ECG-LFM to a checkpoint folder."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

from ecg_assets.labels.label_set import MYOCARDIAL_INFARCTION, load_label_set
from ecg_assets.labels.label_vocabulary import LabelVocabulary
from ecg_assets.models.checkpoint import load_weights
from ecg_assets.models.ecg_lfm.family import ECG_LFM
from ecg_assets.models.ecg_lfm.file import EcgLfmFile, ecg_lfm_file, read_ecg_lfm
from ecg_assets.models.ecg_lfm.model import EcgLfm, EcgLfmForClassification
from ecg_assets.models.ecg_lfm.names import map_ecg_lfm_weights
from ecg_assets.models.fairseq_weights import MappedWeights
from ecg_assets.models.file_meaning import find_meaning
from ecg_assets.models.import_report import require_replaceable
from ecg_assets.models.imported_model import ImportedModel, write_imported
from ecg_assets.preprocess.signal_spec import SignalSpec

_log = logging.getLogger(__name__)


def import_ecg_lfm(
    path: str | Path,
    folder: str | Path,
    *,
    spec: SignalSpec | None = None,
    vocabulary: LabelVocabulary | None = None,
) -> Path:
    """Import a .pt file of ECG-LFM as a checkpoint folder; no code in it is run.

    A fine-tuned file becomes a classifier. A pre-trained one becomes an encoder to start
    fine-tuning from; what only pre-training uses is kept beside it. The folder appears complete
    or not at all.

    Parameters
    ----------
    path
        The file.
    folder
        Where to write; an earlier import there is replaced, anything else is refused.
    spec
        What the model reads. By default what ECG-LFM's scripts store: 5 s at 500 Hz in mV,
        twelve leads, or Lead I for one channel; other numbers of channels go without.
    vocabulary
        What its outputs mean. By default ECG-LFM's task, myocardial infarction, for one output;
        other numbers go without. A folder without it gives logits, and can start fine-tuning,
        but is not evaluated.

    Returns
    -------
    Path
        The folder.

    Raises
    ------
    UnsafeCheckpoint
        When the file would run code.
    CheckpointError
        When the file is not ECG-LFM as its training writes it, `vocabulary` has another number
        of labels, `spec` other channels, or the folder holds something else.
    """
    path, folder = Path(path), Path(folder)
    require_replaceable(folder)
    file = read_ecg_lfm(path)
    model, mapped = _build(file)
    meaning = find_meaning(
        ECG_LFM,
        file.config,
        spec,
        vocabulary,
        known=load_label_set(MYOCARDIAL_INFARCTION).vocabulary,
        has_head=file.is_finetuned,
        where=str(path),
    )
    imported = ImportedModel(
        family=ECG_LFM,
        path=path,
        model=model,
        architecture=_describe(model),
        report=_report(file, mapped),
        meaning=meaning,
        pretraining=mapped.dropped,
    )
    return write_imported(imported, folder)


def load_ecg_lfm(
    content: object, path: Path, pretrained: Path | None = None
) -> EcgLfmForClassification | EcgLfm:
    """Build the model of a .pt file's content, which needs no other file."""
    file = ecg_lfm_file(content, path)
    for assumption in file.assumed:
        _log.warning("%s: assumed %s", path, assumption)
    return _build(file)[0]


def fit_meaning(
    content: object, path: Path, spec: SignalSpec | None, vocabulary: LabelVocabulary | None
) -> tuple[SignalSpec | None, None]:
    """Take a deployment's spec where its channels fit; the labels are never guessed."""
    n_channels = ecg_lfm_file(content, path).config.n_channels
    return (spec if spec and spec.can_give(n_channels) else None), None


def _build(file: EcgLfmFile) -> tuple[EcgLfmForClassification | EcgLfm, MappedWeights]:
    where, finetuned = str(file.path), file.is_finetuned
    mapped = map_ecg_lfm_weights(file.weights, file.config, finetuned=finetuned, where=where)
    model = EcgLfmForClassification(file.config) if finetuned else EcgLfm(file.config)
    return load_weights(model, mapped.weights, where=where), mapped


def _describe(model: EcgLfmForClassification | EcgLfm) -> str:
    config = model.config
    n_parameters = sum(parameter.numel() for parameter in model.parameters())
    return (
        f"{config.num_hidden_layers} conformer layers of width {config.hidden_size}, "
        f"{config.num_attention_heads} heads, {config.n_channels} input channels,\n"
        f"  {n_parameters:,} parameters"
    )


def _report(file: EcgLfmFile, mapped: MappedWeights) -> dict[str, Any]:
    reasons = (
        (mapped.dropped, "only pre-training uses it"),
        (mapped.unused, "ECG-LFM carries it and never uses it"),
    )
    return {
        "writer": ECG_LFM.title,
        "kind": "fine-tuned" if file.is_finetuned else "pre-trained",
        "assumed": list(file.assumed),
        "mapped": [
            {"from": theirs, "to": ours, "shape": list(mapped.weights[ours].shape)}
            for theirs, ours in mapped.names.items()
        ],
        "dropped": [
            {"from": name, "shape": list(tensor.shape), "reason": reason}
            for weights, reason in reasons
            for name, tensor in weights.items()
        ],
    }
