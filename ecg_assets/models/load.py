"""A model from any checkpoint that can be read: a folder of ours, or a file of its authors."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from ecg_assets.errors import CheckpointError, EcgAssetsError
from ecg_assets.labels.vocabulary import LabelVocabulary
from ecg_assets.lineage import fingerprint_file, fingerprint_json
from ecg_assets.models.checkpoint import load_trained, read_config, require_probabilities
from ecg_assets.models.checkpoint_folder import (
    CONFIG,
    IMPORT_REPORT,
    LABEL_VOCABULARY,
    SIGNAL_SPEC,
    WEIGHTS,
    require_files,
)
from ecg_assets.models.families import FAMILIES, family_of_file
from ecg_assets.models.hub import is_hub_name, local_checkpoint, shared_cache
from ecg_assets.models.imported import IMPORT_VERSION, import_checkpoint, import_content
from ecg_assets.models.published_file import find_published_file, read_published_file
from ecg_assets.models.weights import load_folder_weights, read_weight_shapes
from ecg_assets.preprocess.signal_spec import SignalSpec
from ecg_assets.storage import replace_folder

if TYPE_CHECKING:
    from ecg_assets.models.classifier import EcgClassifier
    from ecg_assets.models.token_models import TokenModel


def load_checkpoint(
    path: str | Path, *, pretrained: str | Path | None = None
) -> EcgClassifier | TokenModel:
    """Load a model in evaluation mode.

    Called on standardized samples, float32 ``(batch, lead, sample)``, and optionally on
    ``lengths`` ``(batch,)``, the samples of each before its padding, a classifier returns an
    output with ``logits`` ``(batch, label)``. A pre-trained checkpoint has no head: its
    `TokenModel` returns ``last_hidden_state`` ``(batch, token, feature)`` and ``pooled``
    ``(batch, feature)``, and becomes a classifier by fine-tuning.

    Parameters
    ----------
    path
        A checkpoint folder of this package, or a file that the authors of a family of
        `FAMILIES` publish, or their folder with model.safetensors and config.json, or
        ``hf:owner/name[@revision][:file]``. No code in it is run.
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
    path = local_checkpoint(str(path), shared_cache()) if is_hub_name(str(path)) else Path(path)
    if path.is_dir():
        published = find_published_file(path)
        if published is None:
            return _load_folder(path)
        path = published
    content = read_published_file(path)
    start = None if pretrained is None else Path(pretrained)
    with _refusals_said(path):
        model: EcgClassifier | TokenModel = family_of_file(content, path).load_file(
            content, path, start
        )
    return model


def _load_folder(folder: Path) -> EcgClassifier | TokenModel:
    require_files(folder, (CONFIG, WEIGHTS))
    config = read_config(folder)
    family = FAMILIES[config.model_type]
    head = f"{family.classifier_class.head_name}.weight"
    encoder_class = family.encoder_class
    if encoder_class is not None and head not in read_weight_shapes(folder):
        encoder: TokenModel = load_folder_weights(lambda: encoder_class(config), folder)
        return encoder
    return load_folder_weights(partial(family.classifier_class, config), folder)


# The checkpoint folder of whatever fine-tuning is told to start from.


def imported_folder(path: str | Path, cache: Path) -> Path:
    """Return a checkpoint folder as it is, and that of a file, imported once.

    Parameters
    ----------
    path
        A checkpoint folder, or a file that the authors of a family of `FAMILIES` publish, or their
        folder with model.safetensors and config.json, or ``hf:owner/name[@revision][:file]``.
    cache
        Imports stand below it, by the file's content: a changed file is imported anew. What is
        fetched from the hub stands in ``hub``.

    Raises
    ------
    CheckpointError
        As the family's import, or when there is nothing at `path`.
    """
    path = local_checkpoint(str(path), cache / "hub") if is_hub_name(str(path)) else Path(path)
    if path.is_dir():
        published = find_published_file(path)
        if published is None:
            return path
        path = published
    if not path.is_file():
        raise CheckpointError(
            f"No pretrained checkpoint at {path}. Give a checkpoint folder, or a file that the "
            "model's authors published, e.g. a .pt file of fairseq-signals."
        )
    identity = {"file": fingerprint_file(path), "import_version": IMPORT_VERSION}
    if path.with_name(CONFIG).is_file():
        identity["config"] = fingerprint_file(path.with_name(CONFIG))
    folder = cache / fingerprint_json(identity)
    if not all((folder / name).is_file() for name in (CONFIG, WEIGHTS, IMPORT_REPORT)):
        with _refusals_said(path):
            import_checkpoint(path, folder)
    return folder


# A dropped file, as a checkpoint folder that can be evaluated.


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
        with _refusals_said(path):
            _import(path, staged, spec, vocabulary)
        _require_classifier(staged, path)
        require_probabilities(load_trained(staged))
        with replace_folder(folder) as target:
            staged.rename(target)  # onto the empty folder of that name
    return folder


@contextmanager
def _refusals_said(path: Path) -> Iterator[None]:
    """Turn what a file of unexpected content raises in its reader into a `CheckpointError`."""
    try:
        yield
    except (EcgAssetsError, OSError, MemoryError):  # a full disk is not the file's fault
        raise
    except Exception as error:
        raise CheckpointError(
            f"{path} is not as its authors' training writes it ({type(error).__name__}: "
            f"{str(error)[:200]}). Get the original file."
        ) from error


def _import(
    path: Path, folder: Path, spec: SignalSpec | None, vocabulary: LabelVocabulary | None
) -> None:
    content = read_published_file(path)
    family = family_of_file(content, path)
    spec, vocabulary = family.fit_meaning(content, path, spec, vocabulary)
    import_content(content, path, folder, spec=spec, vocabulary=vocabulary)


def _require_classifier(folder: Path, path: Path) -> None:
    missing = [name for name in (SIGNAL_SPEC, LABEL_VOCABULARY) if not (folder / name).is_file()]
    if missing:
        raise CheckpointError(
            f"{path} cannot be evaluated: it does not say what {' and '.join(missing)} would. It "
            "is an encoder without a head (name it as ECG_PRETRAINED and fine-tune), or has other "
            "labels or leads than the published models (import it by import_checkpoint, which "
            "takes both, and drop the folder)."
        )
