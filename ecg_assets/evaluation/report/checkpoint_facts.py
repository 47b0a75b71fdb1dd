"""What is known of a checkpoint, for a model card: read from its folder, without torch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ecg_assets.models.checkpoint_files import IMPORT_REPORT, CheckpointCard, read_card, read_json

_FROM_RUN = (
    "trained_on",
    "n_parameters",
    "n_trained_parameters",
    "best_epoch",
    "epochs_trained",
    "valid_loss",
    "valid_macro_auroc",
    "splits",
    "seed",
    "code",
    "inputs",
)
_FROM_REQUEST = ("preset", "recipe", "precision")

FACTS = (
    "kind",
    "weights_fingerprint",
    "pretrained_fingerprint",
    "source_file",
    "assumed",
    *_FROM_RUN,
    *_FROM_REQUEST,
)
"""Names of all that a model card can say."""


def describe_checkpoint(folder: Path) -> dict[str, Any]:
    """Collect a checkpoint's data, recipe and origin as JSON values; what is unknown is null.

    Parameters
    ----------
    folder
        The checkpoint.

    Returns
    -------
    dict
        ``kind`` (``trained here``, ``imported`` or ``unknown``), ``weights_fingerprint``,
        ``source_file`` of an import, and of a training: data, splits, recipe, seed, code.
    """
    card = read_card(folder)
    facts: dict[str, Any] = {name: card.run.get(name) for name in _FROM_RUN}
    request = card.run.get("request", {})
    facts |= {name: request.get(name) for name in _FROM_REQUEST}
    facts["pretrained_fingerprint"] = (request.get("inputs") or {}).get("pretrained")
    facts["weights_fingerprint"] = card.fingerprint
    facts["source_file"], facts["assumed"] = _read_import(folder)
    facts["kind"] = _kind(card, is_imported=facts["source_file"] is not None)
    return facts


def _read_import(folder: Path) -> tuple[dict[str, Any] | None, list[str]]:
    """File that a checkpoint was imported from, and what was assumed of it."""
    if not (folder / IMPORT_REPORT).is_file():
        return None, []
    report = read_json(folder / IMPORT_REPORT)
    return report.get("source"), list(report.get("assumed", []))


def _kind(card: CheckpointCard, *, is_imported: bool) -> str:
    if is_imported:
        return "imported"
    return "trained here" if card.run else "unknown"
