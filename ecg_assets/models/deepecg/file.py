"""A checkpoint file of DeepECG-SSL: fairseq-signals' form, its own signals and labels."""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from pathlib import Path

import yaml

from ecg_assets.labels.vocabulary import LabelVocabulary
from ecg_assets.models.deepecg.family import DEEPECG_SSL
from ecg_assets.models.deepecg.model import deepecg_config_of
from ecg_assets.models.ecg_fm.fairseq_file import (
    N_DEEPECG_LABELS,
    count_outputs,
    fairseq_file,
    is_fairseq,
)
from ecg_assets.models.ecg_fm.fairseq_import import build_fairseq
from ecg_assets.models.imported import ImportedModel, require_replaceable, write_imported
from ecg_assets.models.torch_file import read_torch_file
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

    Parameters, returned value and errors are those of `import_checkpoint`, which takes a file of 77
    outputs alone for DeepECG-SSL's. By default signals are 10 s of twelve leads at 250 Hz in mV,
    and 77 outputs its statements. `pretrained` is ``base_ssl.pt``, where a classifier's file does
    not tell its number of attention heads; the error says so.
    """
    path, folder = Path(path), Path(folder)
    require_replaceable(folder)
    imported = build_deepecg(read_torch_file(path), path, pretrained=pretrained)
    return write_imported(imported, folder, spec, vocabulary)


def build_deepecg(
    content: object, path: Path, *, pretrained: str | Path | None = None
) -> ImportedModel:
    """Build the model of a .pt file's content; `pretrained` is as `import_deepecg` takes it."""
    return build_fairseq(
        fairseq_file(content, path),
        pretrained,
        family=DEEPECG_SSL,
        config_of=deepecg_config_of,
        known=deepecg_labels(),
    )
