"""A checkpoint file of DeepECG-SSL: fairseq-signals' form, its own signals and labels."""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

import yaml

from ecg_assets.labels.vocabulary import LabelVocabulary
from ecg_assets.models.deepecg.family import DEEPECG_SSL
from ecg_assets.models.deepecg.model import DeepEcg, DeepEcgForClassification, deepecg_config_of
from ecg_assets.models.ecg_fm.fairseq_config import read_architecture
from ecg_assets.models.ecg_fm.fairseq_file import (
    N_DEEPECG_LABELS,
    FairseqFile,
    count_outputs,
    fairseq_file,
    is_fairseq,
    read_fairseq,
)
from ecg_assets.models.ecg_fm.fairseq_import import build_fairseq
from ecg_assets.models.imported import ImportedModel, require_replaceable, write_imported
from ecg_assets.preprocess.signal_spec import SignalSpec


def is_deepecg(content: object) -> bool:
    """Tell whether the content of a file of torch.save is DeepECG-SSL's classifier of statements.

    Its number of outputs tells; its encoder and its classifiers of one label are like any other's,
    and are imported with `import_deepecg` by whoever knows them.
    """
    return is_fairseq(content) and count_outputs(content) == N_DEEPECG_LABELS


@cache
def deepecg_labels() -> LabelVocabulary:
    """Read the 77 labels in the order of the outputs; segments are averaged.

    >>> names = deepecg_labels().names
    >>> len(names), names[15], names[35]
    (77, 'Sinusal', 'no_qrs')
    """
    text = files("ecg_assets.models.deepecg").joinpath("labels.yaml").read_text("utf-8")
    names: list[str] = yaml.safe_load(text)
    return LabelVocabulary(tuple(names), ("mean",) * len(names))


def import_deepecg(
    path: str | Path,
    folder: str | Path,
    *,
    spec: SignalSpec | None = None,
    vocabulary: LabelVocabulary | None = None,
    pretrained: str | Path | None = None,
) -> Path:
    """Import a .pt file of DeepECG-SSL as a checkpoint folder; no code in it is run.

    Its classifiers (77 statements, LVEF ≤ 40 % or < 50 %, atrial fibrillation within 5 years)
    become classifiers, its encoder ``base_ssl.pt`` an encoder to start fine-tuning from. The folder
    appears complete or not at all.

    Parameters
    ----------
    path
        The file.
    folder
        Where to write; an earlier import there is replaced, anything else is refused.
    spec
        What the model reads. By default what DeepECG-SSL reads: 10 s of twelve leads at 250 Hz in
        mV.
    vocabulary
        What its outputs mean. By default DeepECG-SSL's statements when there are 77; other numbers
        go without. A folder without it is not evaluated.
    pretrained
        ``base_ssl.pt``, where a classifier's file does not tell its number of attention heads; the
        error says so.

    Returns
    -------
    Path
        The folder.

    Raises
    ------
    UnsafeCheckpoint
        When the file would run code.
    CheckpointError
        When the file is no model of fairseq-signals as DeepECG-SSL's are, `vocabulary` has another
        number of labels, `spec` other channels, or the folder holds something else.
    """
    path, folder = Path(path), Path(folder)
    require_replaceable(folder)
    start = None if pretrained is None else Path(pretrained)
    imported = _build(read_fairseq(path), start)
    return write_imported(imported, folder, spec, vocabulary, known=deepecg_labels())


def load_deepecg(
    content: object, path: Path, pretrained: Path | None = None
) -> DeepEcgForClassification | DeepEcg:
    """Build the model of a .pt file's content; see `load_checkpoint`."""
    model: DeepEcgForClassification | DeepEcg
    model = _build(fairseq_file(content, path), pretrained).model
    return model


def fit_meaning(
    content: Any, path: Path, spec: SignalSpec | None, vocabulary: LabelVocabulary | None
) -> tuple[SignalSpec | None, None]:
    """Take a deployment's spec where its channels fit; the labels are DeepECG-SSL's."""
    file = fairseq_file(content, path)
    n_channels = read_architecture(file, config_of=deepecg_config_of).config.n_channels
    return (spec if spec and spec.can_give(n_channels) else None), None


def _build(file: FairseqFile, pretrained: Path | None) -> ImportedModel:
    return build_fairseq(file, pretrained, family=DEEPECG_SSL, config_of=deepecg_config_of)
