"""A checkpoint file of ECGFounder to a checkpoint folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ecg_assets.errors import CheckpointError
from ecg_assets.labels.label_vocabulary import LabelVocabulary
from ecg_assets.models.checkpoint import load_weights
from ecg_assets.models.ecg_founder.family import ECG_FOUNDER
from ecg_assets.models.ecg_founder.file import (
    ASSUMED,
    EcgFounderFile,
    ecg_founder_file,
    keep_outputs,
    read_ecg_founder,
)
from ecg_assets.models.ecg_founder.labels import ecg_founder_labels, find_statements
from ecg_assets.models.ecg_founder.net1d import EcgFounder
from ecg_assets.models.file_meaning import find_meaning
from ecg_assets.models.import_report import require_replaceable
from ecg_assets.models.imported_model import ImportedModel, write_imported
from ecg_assets.preprocess.signal_spec import SignalSpec


def import_ecg_founder(
    path: str | Path,
    folder: str | Path,
    *,
    spec: SignalSpec | None = None,
    vocabulary: LabelVocabulary | None = None,
) -> Path:
    """Import a .pth file of ECGFounder as a checkpoint folder; no code in it is run.

    The folder appears complete or not at all. It starts fine-tuning, which gives it another
    last layer where the labels are others.

    Parameters
    ----------
    path
        ``12_lead_ECGFounder.pth``, ``1_lead_ECGFounder.pth``, or a file fine-tuned from one.
    folder
        Where to write; an earlier import there is replaced, anything else is refused.
    spec
        What the model reads. By default what ECGFounder's training reads: 10 s at 500 Hz,
        filtered, all leads z-scored together; twelve leads, or Lead I for one channel.
    vocabulary
        What its outputs mean. By default ECGFounder's statements when there are 150; other
        numbers go without. A folder without it is not evaluated. Of 150 outputs those are
        kept that stand for the labels of the label set six-conditions, where these are given.

    Returns
    -------
    Path
        The folder.

    Raises
    ------
    UnsafeCheckpoint
        When the file would run code.
    CheckpointError
        When the file is no Net1D, a weight is missing or one too many, `spec` has another
        number of leads, `vocabulary` another number of labels, or the folder holds something
        else.
    """
    path, folder = Path(path), Path(folder)
    require_replaceable(folder)
    file, outputs = _choose_outputs(read_ecg_founder(path), vocabulary)
    model = load_weights(EcgFounder(file.config), file.weights, where=str(path))
    if spec is not None:
        _require_leads(file, spec)
    meaning = find_meaning(
        ECG_FOUNDER, file.config, spec, vocabulary, known=ecg_founder_labels(), where=str(path)
    )
    imported = ImportedModel(
        family=ECG_FOUNDER,
        path=path,
        model=model,
        architecture=_describe(model),
        report=_report(file, outputs),
        meaning=meaning,
    )
    return write_imported(imported, folder)


def load_ecg_founder(content: object, path: Path, pretrained: Path | None = None) -> EcgFounder:
    """Build the model of a .pth file's content, which needs no other file."""
    file = ecg_founder_file(content, path)
    return load_weights(EcgFounder(file.config), file.weights, where=str(path))


def fit_meaning(
    content: object, path: Path, spec: SignalSpec | None, vocabulary: LabelVocabulary | None
) -> tuple[SignalSpec | None, LabelVocabulary | None]:
    """Take a deployment's spec where it gives each channel its own lead, and labels that it states.

    Labels are those of the public model's 150 statements, where each label is one of them.
    """
    config = ecg_founder_file(content, path).config
    fits = spec is not None and config.n_channels == spec.n_channels == len(spec.leads)
    is_public = config.num_labels == len(ecg_founder_labels())
    is_expressible = vocabulary is not None and find_statements(vocabulary) is not None
    return (spec if fits else None), (vocabulary if is_public and is_expressible else None)


def _choose_outputs(
    file: EcgFounderFile, vocabulary: LabelVocabulary | None
) -> tuple[EcgFounderFile, dict[str, str]]:
    """Keep what stands for the labels of a vocabulary; give the statement of each."""
    statements = ecg_founder_labels().names
    if vocabulary is None or file.config.num_labels != len(statements):
        return file, {}
    chosen = find_statements(vocabulary)
    if chosen is None:
        return file, {}
    kept = keep_outputs(file, [statements.index(name) for name in chosen])
    return kept, dict(zip(vocabulary.names, chosen, strict=True))


def _require_leads(file: EcgFounderFile, spec: SignalSpec) -> None:
    n_channels = file.config.n_channels
    if not n_channels == spec.n_channels == len(spec.leads):
        raise CheckpointError(
            f"{file.path} reads {n_channels} leads, each its own, but the signal spec gives "
            f"{len(spec.leads)} ({', '.join(spec.leads)}) on {spec.n_channels} channels. Give a "
            f"spec of {n_channels} leads (ECG_LEADS=all for twelve), or import the file of that "
            "many leads: 12_lead_ECGFounder.pth or 1_lead_ECGFounder.pth."
        )


def _describe(model: EcgFounder) -> str:
    config = model.config
    n_parameters = sum(parameter.numel() for parameter in model.parameters())
    return (
        f"Net1D of {len(config.filter_list)} stages with {sum(config.m_blocks_list)} blocks, "
        f"{config.hidden_size} features, {config.n_channels} input channels, {n_parameters:,} "
        "parameters"
    )


def _report(file: EcgFounderFile, outputs: dict[str, str]) -> dict[str, Any]:
    return {
        "kind": f"{file.config.n_channels} leads",
        "writer": ECG_FOUNDER.title,
        "assumed": list(ASSUMED),
        "mapped": [
            {"from": name, "to": name, "shape": list(value.shape)}
            for name, value in file.weights.items()
        ],
        "outputs": outputs,
        "dropped": [],
    }
