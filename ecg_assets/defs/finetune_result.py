"""What the UI shows of a fine-tuned checkpoint."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import dagster as dg
import pandas as pd

from ecg_assets.defs.pictures import png_metadata
from ecg_assets.defs.tables import table_metadata


def checkpoint_metadata(folder: Path) -> dict[str, Any]:
    """Read a checkpoint folder's run.json, history.csv and curves.png."""
    run = json.loads((folder / "run.json").read_text())
    history = pd.read_csv(folder / "history.csv")
    best = history.iloc[int(history["valid_loss"].argmin())]
    return {
        "checkpoint_id": folder.name,
        "folder": dg.MetadataValue.path(folder),
        "best_epoch": int(best["epoch"]),
        "valid_loss": float(best["valid_loss"]),
        "valid_macro_auroc": float(best["valid_macro_auroc"]),
        "curves": png_metadata(folder / "curves.png", "loss and AUROC by epoch"),
        "history": table_metadata(history),
        "run": dg.MetadataValue.json(run),
        "signal_spec": json.loads((folder / "signal_spec.json").read_text()),
        "label_vocabulary": json.loads((folder / "label_vocabulary.json").read_text()),
    }
