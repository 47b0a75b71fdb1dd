"""A checkpoint file of any authors that are known here, to a checkpoint folder."""

from __future__ import annotations

import tempfile
from pathlib import Path

from ecg_assets.errors import CheckpointError
from ecg_assets.labels.label_vocabulary import LabelVocabulary
from ecg_assets.models.checkpoint import load_trained
from ecg_assets.models.checkpoint_files import LABEL_VOCABULARY, SIGNAL_SPEC
from ecg_assets.models.ecg_founder_file import ecg_founder_file, is_ecg_founder
from ecg_assets.models.ecg_founder_import import import_ecg_founder
from ecg_assets.models.ecg_founder_labels import ecg_founder_labels, find_statements
from ecg_assets.models.fairseq_config import read_architecture
from ecg_assets.models.fairseq_file import read_fairseq
from ecg_assets.models.fairseq_import import import_fairseq
from ecg_assets.models.torch_file import read_torch_file
from ecg_assets.preprocess import SignalSpec
from ecg_assets.storage import replace_folder


def import_checkpoint_file(
    path: Path,
    folder: Path,
    *,
    ecg_fm_spec: SignalSpec | None = None,
    vocabulary: LabelVocabulary | None = None,
) -> Path:
    """Import a classifier's file by what it holds; no code in it is run.

    The import is made and loaded beside `folder` and takes its place when everything is
    right, so that a bad file leaves an earlier import as it was.

    Parameters
    ----------
    path
        A .pt file of fairseq-signals or a .pth file of ECGFounder.
    folder
        The checkpoint folder to write; an existing one is replaced.
    ecg_fm_spec
        What a file of fairseq-signals is taken to read where its channels fit; the file does
        not say, e.g. whether twelve channels are twelve leads or Lead I twelve times.
    vocabulary
        Labels of the deployment. Of the 150 statements of a public ECGFounder those are kept that
        stand for them, where each label has one (six-conditions); without, all 150.

    Returns
    -------
    Path
        The folder.

    Raises
    ------
    UnsafeCheckpoint
        When the file would run code.
    CheckpointError
        When the file is damaged, of an architecture that is not known here, an encoder
        without a head, or has labels or channels whose meaning is not known.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".import-") as work:
        staged = Path(work) / folder.name
        _import(path, staged, ecg_fm_spec, vocabulary)
        _require_classifier(staged, path)
        load_trained(staged)
        with replace_folder(folder) as target:
            staged.rename(target)  # onto the empty folder of that name
    return folder


def _import(
    path: Path,
    folder: Path,
    ecg_fm_spec: SignalSpec | None,
    vocabulary: LabelVocabulary | None,
) -> None:
    content = read_torch_file(path)
    names = set(content) if isinstance(content, dict) else set()
    if {"cfg", "model"} <= names:
        config = read_architecture(read_fairseq(path)).config
        fits = ecg_fm_spec and config.n_channels in (ecg_fm_spec.n_channels, len(ecg_fm_spec.leads))
        import_fairseq(path, folder, spec=ecg_fm_spec if fits else None)
    elif is_ecg_founder(content):
        is_public = ecg_founder_file(content, path).config.num_labels == len(ecg_founder_labels())
        is_expressible = vocabulary is not None and find_statements(vocabulary) is not None
        import_ecg_founder(
            path, folder, vocabulary=vocabulary if is_public and is_expressible else None
        )
    else:
        found = sorted(map(str, names))[:8] if names else type(content).__name__
        raise CheckpointError(
            f"{path} is no checkpoint that is known here: expected 'cfg' and 'model' as "
            f"fairseq-signals writes them, or the weights of an ECGFounder; found {found}. "
            "Give the file that its authors published, or a checkpoint folder."
        )


def _require_classifier(folder: Path, path: Path) -> None:
    missing = [name for name in (SIGNAL_SPEC, LABEL_VOCABULARY) if not (folder / name).is_file()]
    if missing:
        raise CheckpointError(
            f"{path} cannot be evaluated: it does not say what {' and '.join(missing)} would. It "
            "is an encoder without a head (name it as ECG_PRETRAINED and fine-tune), or has other "
            "labels or leads than the published models (import it with import_fairseq, which "
            "takes both, and drop the folder)."
        )
