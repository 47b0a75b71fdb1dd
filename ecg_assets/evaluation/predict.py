"""Scores of a checkpoint on some recordings. The one module of evaluation that loads torch."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ecg_assets.build import Manifest, SignalCache
from ecg_assets.errors import SpecMismatch
from ecg_assets.evaluation.leads import LEAD_SETS, LeadSet, all_leads, find_obstacle, model_channels
from ecg_assets.labels.vocabulary import require_same_labels
from ecg_assets.models.checkpoint import TrainedModel, load_trained
from ecg_assets.models.predictions import Predictions
from ecg_assets.models.scoring import (
    describe_outputs,
    predict_logits,
    predict_records,
    to_predictions,
)
from ecg_assets.models.signals import require_readable
from ecg_assets.preprocess import SignalSpec


def predict_checkpoint(
    folder: Path,
    manifest: Manifest,
    signals: SignalCache,
    rows: NDArray[np.int64],
    *,
    device: str,
    precision: str,
) -> Predictions:
    """Load a checkpoint and score some rows of a manifest.

    Raises
    ------
    SpecMismatch
        When the manifest's signal spec or labels are not those the model was trained on;
        both are printed.
    """
    trained = load_trained(folder)
    return predict_records(trained, manifest, signals, rows, device=device, precision=precision)


def predict_some_labels(
    folder: Path, manifest: Manifest, signals: SignalCache, *, device: str, precision: str
) -> Predictions:
    """Load a checkpoint and score all recordings of a manifest that has some of its labels.

    Raises
    ------
    SpecMismatch
        When the manifest's signal spec is not the one the model was trained on, or a label of
        the manifest is none of the model's.
    """
    trained = load_trained(folder)
    unknown = sorted(set(manifest.vocabulary.names) - set(trained.vocabulary.names))
    if unknown:
        raise SpecMismatch(
            f"The manifest has the labels {unknown}, the model {trained.vocabulary.names}. "
            "Label the recordings with some of the model's labels."
        )
    rows = np.arange(len(manifest.index))
    logits = predict_logits(trained, manifest, signals, rows, device=device, precision=precision)
    columns = [trained.vocabulary.names.index(name) for name in manifest.vocabulary.names]
    kind = describe_outputs(trained)
    return to_predictions(manifest, signals, rows, logits, columns=columns, **kind)


def predict_lead_sets(
    folder: Path,
    manifest: Manifest,
    open_signals: Callable[[SignalSpec], SignalCache],
    stored_leads: tuple[str, ...],
    *,
    device: str,
    precision: str,
) -> tuple[dict[str, Predictions], dict[str, str]]:
    """Load a checkpoint and score the same recordings with each configuration of leads.

    Parameters
    ----------
    folder
        The checkpoint.
    manifest
        The recordings, with the checkpoint's signal spec and labels.
    open_signals
        Opens the manifest's signals for a spec.
    stored_leads
        Leads in the shards.
    device, precision
        As `predict_checkpoint` takes them.

    Returns
    -------
    tuple
        Predictions by the name of each configuration of `LEAD_SETS` that can be run, and
        for each other one the reason why it cannot.
    """
    trained = load_trained(folder)
    require_readable(trained.input, manifest.spec, where="the manifests", exactly=True)
    require_same_labels(trained.vocabulary, manifest.vocabulary, where="the manifests")
    n_channels = trained.model.config.n_channels
    nobody = "" if len(manifest.index) else "the evaluation set has no recording"
    obstacles = {
        lead_set.name: nobody or find_obstacle(lead_set, trained.spec, n_channels, stored_leads)
        for lead_set in LEAD_SETS
    }
    chosen = [lead_set for lead_set in LEAD_SETS if not obstacles[lead_set.name]]
    score = partial(_score_lead_set, trained, manifest, device=device, precision=precision)
    found = {}
    if chosen and trained.spec.needs_millivolts:
        for lead_set in chosen:
            found[lead_set.name] = score(lead_set, open_signals(lead_set.spec(trained.spec)))
    elif chosen:
        # Stored integers serve any of their leads.
        signals = open_signals(all_leads(chosen).spec(trained.spec))
        found = {lead_set.name: score(lead_set, signals) for lead_set in chosen}
    return found, {name: obstacle for name, obstacle in obstacles.items() if obstacle}


def _score_lead_set(
    trained: TrainedModel,
    manifest: Manifest,
    lead_set: LeadSet,
    signals: SignalCache,
    *,
    device: str,
    precision: str,
) -> Predictions:
    """Score all recordings of a manifest with a configuration of leads."""
    channels = model_channels(trained.spec, trained.model.config.n_channels)
    rows = np.arange(len(manifest.index))
    logits = predict_logits(
        trained,
        manifest,
        signals,
        rows,
        spec=lead_set.spec(trained.spec),
        to_channels=partial(lead_set.lay_out, channels=channels),
        device=device,
        precision=precision,
    )
    return to_predictions(manifest, signals, rows, logits, **describe_outputs(trained))
