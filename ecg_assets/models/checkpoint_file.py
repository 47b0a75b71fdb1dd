"""A checkpoint file of any authors that are known here, to a checkpoint folder."""

from __future__ import annotations

import tempfile
from pathlib import Path

from ecg_assets.errors import CheckpointError
from ecg_assets.labels.label_vocabulary import LabelVocabulary
from ecg_assets.models.checkpoint import load_trained
from ecg_assets.models.checkpoint_files import LABEL_VOCABULARY, SIGNAL_SPEC
from ecg_assets.models.families import family_of_file
from ecg_assets.models.torch_file import read_torch_file
from ecg_assets.preprocess import SignalSpec
from ecg_assets.storage import replace_folder


def import_checkpoint_file(
    path: Path,
    folder: Path,
    *,
    spec: SignalSpec | None = None,
    vocabulary: LabelVocabulary | None = None,
) -> Path:
    """Import a classifier's file by what it holds; no code in it is run.

    The import is made and loaded beside `folder` and takes its place when everything is
    right, so that a bad file leaves an earlier import as it was.

    Parameters
    ----------
    path
        What the authors of a family of `FAMILIES` publish.
    folder
        The checkpoint folder to write; an existing one is replaced.
    spec, vocabulary
        Signal spec and labels of the deployment, which the file is taken to have where its family
        says that they fit; a file tells neither.

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
        _import(path, staged, spec, vocabulary)
        _require_classifier(staged, path)
        load_trained(staged)
        with replace_folder(folder) as target:
            staged.rename(target)  # onto the empty folder of that name
    return folder


def _import(
    path: Path, folder: Path, spec: SignalSpec | None, vocabulary: LabelVocabulary | None
) -> None:
    content = read_torch_file(path)
    family = family_of_file(content, path)
    spec, vocabulary = family.fit_meaning(content, path, spec, vocabulary)
    family.import_file(path, folder, spec=spec, vocabulary=vocabulary)


def _require_classifier(folder: Path, path: Path) -> None:
    missing = [name for name in (SIGNAL_SPEC, LABEL_VOCABULARY) if not (folder / name).is_file()]
    if missing:
        raise CheckpointError(
            f"{path} cannot be evaluated: it does not say what {' and '.join(missing)} would. It "
            "is an encoder without a head (name it as ECG_PRETRAINED and fine-tune), or has other "
            "labels or leads than the published models (import it with the import function of its "
            "family, which takes both, and drop the folder)."
        )
