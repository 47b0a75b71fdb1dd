"""A model from any checkpoint that can be read: a folder of ours, or a fairseq-signals file."""

from __future__ import annotations

import logging
from pathlib import Path

from ecg_assets.models.checkpoint import load_weights, read_config, read_weights
from ecg_assets.models.checkpoint_files import CONFIG, WEIGHTS, require_files
from ecg_assets.models.ecg_fm import EcgFm, EcgFmForClassification
from ecg_assets.models.fairseq_config import read_architecture
from ecg_assets.models.fairseq_file import read_fairseq
from ecg_assets.models.fairseq_names import map_weights

_log = logging.getLogger(__name__)


def load_checkpoint(
    path: str | Path, *, pretrained: str | Path | None = None
) -> EcgFmForClassification | EcgFm:
    """Load a model in evaluation mode.

    Called on standardized samples, float32 ``(batch, lead, sample)``, and optionally on
    ``lengths`` ``(batch,)``, the samples of each before its padding, a classifier returns an
    output with ``logits`` ``(batch, label)``. A pre-trained checkpoint has no head: its
    `EcgFm` returns ``last_hidden_state`` ``(batch, token, feature)`` and ``pooled``
    ``(batch, feature)``, and becomes a classifier by fine-tuning.

    Parameters
    ----------
    path
        A checkpoint folder of this package, or a .pt file that fairseq-signals wrote. No
        code in it is run.
    pretrained
        The .pt file that a fine-tuned .pt file started from. It is needed only where that
        one does not tell its number of attention heads; the error says so.

    Raises
    ------
    UnsafeCheckpoint
        When a file would run code; the message names it.
    CheckpointError
        When the path holds nothing readable, another architecture, or not all weights.
    """
    path = Path(path)
    if path.is_dir():
        return _load_folder(path)
    file = read_fairseq(path)
    start = None if pretrained is None else read_fairseq(Path(pretrained))
    architecture = read_architecture(file, start)
    for assumption in architecture.assumed:
        _log.warning("%s: assumed %s", path, assumption)
    config, finetuned = architecture.config, file.is_finetuned
    mapped = map_weights(file.model, config, finetuned=finetuned, where=str(path))
    model = EcgFmForClassification(config) if finetuned else EcgFm(config)
    return load_weights(model, mapped.weights, where=str(path))


def _load_folder(folder: Path) -> EcgFmForClassification | EcgFm:
    require_files(folder, (CONFIG, WEIGHTS))
    config, weights = read_config(folder), read_weights(folder)
    model = EcgFmForClassification(config) if "head.weight" in weights else EcgFm(config)
    return load_weights(model, weights, where=str(folder))
