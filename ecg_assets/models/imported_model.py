"""The checkpoint folder that an import makes of a file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from safetensors.torch import save_file
from torch import Tensor

from ecg_assets.models.checkpoint import save_model, write_json
from ecg_assets.models.checkpoint_files import IMPORT_REPORT, MODEL_CARD, PRETRAINING_WEIGHTS
from ecg_assets.models.file_meaning import FileMeaning
from ecg_assets.models.import_report import IMPORT_VERSION, describe_source
from ecg_assets.models.model_card import model_card
from ecg_assets.models.model_family import ModelFamily
from ecg_assets.storage import replace_folder


@dataclass(frozen=True, eq=False)
class ImportedModel:
    """A model that was read from its authors' file, and what is written of it.

    Attributes
    ----------
    family, path
        What kind of model it is, and the file.
    model
        An `EcgClassifier`, or an encoder of one.
    architecture
        Its sizes in words.
    report
        What import_report.json says besides the file and the origin of its meaning:
        ``kind``, ``writer``, ``assumed``, ``mapped``, ``dropped``.
    meaning
        Of its input and outputs.
    pretraining
        Weights that only pre-training uses, by their names in the file; they are kept.
    others
        Further JSON files by name.
    """

    family: ModelFamily
    path: Path
    model: Any
    architecture: str
    report: Mapping[str, Any]
    meaning: FileMeaning
    pretraining: Mapping[str, Tensor] = field(default_factory=dict)
    others: Mapping[str, dict[str, Any]] = field(default_factory=dict)


def write_imported(imported: ImportedModel, folder: Path) -> Path:
    """Write the folder: weights, meaning, report and card; it appears complete or not at all."""
    report, meaning = _report(imported), imported.meaning
    card = model_card(
        imported.family,
        imported.architecture,
        report,
        folder=folder.name,
        spec=meaning.spec,
        vocabulary=meaning.vocabulary,
        n_labels=imported.model.config.num_labels,
    )
    with replace_folder(folder) as target:
        save_model(target, imported.model, meaning.spec, meaning.vocabulary)
        if imported.pretraining:
            kept = {name: tensor.contiguous() for name, tensor in imported.pretraining.items()}
            save_file(kept, target / PRETRAINING_WEIGHTS, metadata={"format": "pt"})
        for name, content in imported.others.items():
            write_json(target / name, content)
        write_json(target / IMPORT_REPORT, report)
        (target / MODEL_CARD).write_text(card, encoding="utf-8")
    return folder


def _report(imported: ImportedModel) -> dict[str, Any]:
    return {
        "source": describe_source(imported.path),
        "import_version": IMPORT_VERSION,
        **imported.report,
        # An import with either does not get this far.
        "missing": [],
        "unexpected": [],
        **imported.meaning.origin,
    }
