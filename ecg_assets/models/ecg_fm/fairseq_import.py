"""A fairseq-signals checkpoint file to a checkpoint folder."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from ecg_assets.labels.vocabulary import ECG_FM_LABELS, LabelVocabulary
from ecg_assets.models.checkpoint_folder import FAIRSEQ
from ecg_assets.models.ecg_fm.config import EcgFmConfig, ecg_fm_config_of
from ecg_assets.models.ecg_fm.fairseq_config import read_architecture
from ecg_assets.models.ecg_fm.fairseq_file import (
    FairseqFile,
    fairseq_file,
    map_weights,
    read_fairseq,
)
from ecg_assets.models.ecg_fm.family import ECG_FM
from ecg_assets.models.family import ModelFamily
from ecg_assets.models.imported import ImportedModel, require_replaceable, write_imported
from ecg_assets.models.torch_file import read_torch_file
from ecg_assets.models.weights import load_weights
from ecg_assets.preprocess.signal_spec import SignalSpec


def import_fairseq(
    path: str | Path,
    folder: str | Path,
    *,
    spec: SignalSpec | None = None,
    vocabulary: LabelVocabulary | None = None,
    pretrained: str | Path | None = None,
) -> Path:
    """Import a .pt file of fairseq-signals as a checkpoint folder; no code in it is run.

    A fine-tuned file becomes a classifier. A pre-trained one becomes an encoder to start
    fine-tuning from; what only pre-training uses is kept beside it, so that an export gives
    the whole model back. The folder appears complete or not at all.

    Parameters
    ----------
    path
        The file.
    folder
        Where to write; an earlier import there is replaced, anything else is refused.
    spec
        What the model reads. By default ECG-FM's: 12 standardized leads, or Lead I for one
        channel, 5 s at 500 Hz; other numbers of channels go without.
    vocabulary
        What its outputs mean. By default ECG-FM's labels when there are 17; other numbers go
        without. A folder without it gives logits, and can start fine-tuning, but is not
        evaluated.
    pretrained
        See `load_checkpoint`.

    Returns
    -------
    Path
        The folder.

    Raises
    ------
    UnsafeCheckpoint
        When the file would run code.
    CheckpointError
        When the file is not ECG-FM as fairseq-signals writes it, `vocabulary` has another
        number of labels, `spec` other channels, or the folder holds something else.
    """
    path, folder = Path(path), Path(folder)
    require_replaceable(folder)
    imported = build_ecg_fm(read_torch_file(path), path, pretrained=pretrained)
    return write_imported(imported, folder, spec, vocabulary)


def build_ecg_fm(
    content: object, path: Path, *, pretrained: str | Path | None = None
) -> ImportedModel:
    """Build the model of a .pt file's content; `pretrained` is as `load_checkpoint` takes it."""
    file = fairseq_file(content, path)
    return build_fairseq(
        file, pretrained, family=ECG_FM, config_of=ecg_fm_config_of, known=ECG_FM_LABELS
    )


def build_fairseq(
    file: FairseqFile,
    pretrained: str | Path | None,
    *,
    family: ModelFamily,
    config_of: Callable[..., EcgFmConfig],
    known: LabelVocabulary,
) -> ImportedModel:
    """Build the model of a file of a family that has ECG-FM's architecture.

    Parameters
    ----------
    file
        Its content.
    pretrained
        See `load_checkpoint`.
    family, config_of
        The family, and what builds its configuration of any shape.
    known
        Labels of its public weights.
    """
    where, finetuned = str(file.path), file.is_finetuned
    start = None if pretrained is None else read_fairseq(Path(pretrained))
    architecture = read_architecture(file, start, config_of=config_of)
    config = architecture.config
    mapped = map_weights(file.model, config, finetuned=finetuned, where=where)
    model_class: Any = family.classifier_class if finetuned else family.encoder_class
    return ImportedModel(
        family=family,
        path=file.path,
        model=load_weights(partial(model_class, config), mapped.weights, where=where),
        architecture=f"{config.num_hidden_layers} layers of width {config.hidden_size}, "
        f"{config.num_attention_heads} heads, {config.n_channels} input channels,\n"
        "  {n_parameters:,} parameters",
        report=mapped.report("fairseq-signals", architecture.assumed, is_finetuned=finetuned),
        pretraining=mapped.dropped,
        others={FAIRSEQ: _history(file)},
        known=known,
        warnings=tuple(architecture.assumed),
    )


def _history(file: FairseqFile) -> dict[str, Any]:
    """Take what an export writes back; meters hold predictions of patients and stay behind."""
    extra = {name: value for name, value in file.extra_state.items() if name != "metrics"}
    return {
        "cfg": _plain(file.cfg),
        "optimizer_history": _plain(file.optimizer_history),
        "task_state": _plain(file.task_state),
        "extra_state": _plain(extra),
    }


def _plain(value: Any) -> Any:
    """Turn tuples, numpy and torch numbers into JSON values, and all the rest into text.

    An infinite number stays (as ``Infinity``): a label without positives has such a weight.
    """
    if isinstance(value, dict):
        return {str(name): _plain(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, np.generic | np.ndarray | Tensor):
        return value.tolist()
    return value if value is None or isinstance(value, str | int | float) else str(value)
