"""What the UI shows of a fine-tuned checkpoint."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import dagster as dg
import pandas as pd

from ecg_assets.defs.pictures import png_metadata
from ecg_assets.defs.tables import table_metadata
from ecg_assets.lineage import fingerprint_file
from ecg_assets.models.checkpoint_files import CONFUSION_MATRIX, WEIGHTS

_NUMBERS = ("valid_loss", "valid_macro_auroc", "valid_accuracy", "test_loss", "test_macro_auroc")


def trained_result(
    folder: Path, metadata: Mapping[str, Any] | None = None
) -> dg.MaterializeResult[None]:
    """Describe a finished checkpoint folder; its weights are the data version."""
    return dg.MaterializeResult(
        data_version=dg.DataVersion(fingerprint_file(folder / WEIGHTS)),
        metadata={**checkpoint_metadata(folder), **(metadata or {})},
    )


def checkpoint_metadata(folder: Path) -> dict[str, Any]:
    """Read a checkpoint folder's run.json, history.csv and pictures.

    The test split's numbers are those of the epoch with the lowest validation loss.
    """
    run = json.loads((folder / "run.json").read_text())
    history = pd.read_csv(folder / "history.csv")
    return {
        "checkpoint_id": folder.name,
        "folder": dg.MetadataValue.path(folder),
        "best_epoch": int(run["best_epoch"]),
        **{name: float(run[name]) for name in _NUMBERS if run.get(name) is not None},
        "seed": run["seed"],
        "method": run["request"]["recipe"]["method"],
        "git_commit": run["code"]["git_commit"] or "unknown",
        "package_versions": run["code"]["versions"],
        "hardware": {**run["hardware"], **run["machine"]},
        "inputs": run["inputs"],
        "splits": table_metadata(_splits_table(run)),
        "curves": png_metadata(folder / "curves.png", "loss and AUROC by epoch"),
        **_confusion_metadata(folder / CONFUSION_MATRIX),
        "history": table_metadata(history),
        "run": dg.MetadataValue.json(run),
        "signal_spec": json.loads((folder / "signal_spec.json").read_text()),
        "label_vocabulary": json.loads((folder / "label_vocabulary.json").read_text()),
    }


def _confusion_metadata(path: Path) -> dict[str, Any]:
    """Show the best epoch's confusion matrix, which exclusive labels alone have."""
    if not path.is_file():
        return {}
    return {"confusion_matrix": png_metadata(path, "validation of the best epoch")}


def _splits_table(run: Mapping[str, Any]) -> pd.DataFrame:
    """Tell of each split what was used, and what exclusive labels left out."""
    return pd.DataFrame([{"split": name, **counts} for name, counts in run["splits"].items()])
