"""The models of a design: what they start from, their frozen features, and how one is scored.

An evaluation matrix and a protocol both name models by preset and checkpoint, and train them on
manifests of their own; what the two have in common is here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray

from ecg_assets.build import Manifest, fingerprint_manifest, write_manifest
from ecg_assets.build.fractions import UNUSED
from ecg_assets.defs.computing import Compute, Report, score
from ecg_assets.defs.settings import Settings, read_record_part
from ecg_assets.defs.training_requests import places_of_training
from ecg_assets.errors import SettingsError
from ecg_assets.evaluation.matrix.cell import CellScores, probe_features
from ecg_assets.evaluation.matrix.linear_probe import ProbeGrid
from ecg_assets.evaluation.matrix.stored import (
    EmbeddingInputs,
    read_embedding_inputs,
    read_embeddings,
    write_embeddings,
)
from ecg_assets.lineage import fingerprint_file, fingerprint_json
from ecg_assets.models.checkpoint_folder import WEIGHTS, read_validation_predictions
from ecg_assets.models.hub import is_hub_name, local_checkpoint
from ecg_assets.preprocess import ShardDataset
from ecg_assets.store import SourceStore
from ecg_assets.training.finetune.recipe import Recipe
from ecg_assets.training.finetune.request import PRETRAINED_INPUT, FinetuneRequest
from ecg_assets.training.finetune.start import StartingPoint, find_spec


@dataclass(frozen=True)
class DesignModel:
    """A model of a design, before it is trained.

    Attributes
    ----------
    name
        What the design calls it.
    checkpoint
        Checkpoint folder, published file or hf:owner/name; empty: random weights.
    recipe
        What it is trained by.
    settings
        Leads, part of recordings, device and precision.
    seed
        Of random weights.
    imported
        Folder that published files are imported into.
    where
        Where its checkpoint is named, for errors.
    signal
        Fields of its signal spec that are not its own.
    """

    name: str
    checkpoint: str
    recipe: Recipe
    settings: Settings
    seed: int
    imported: Path
    where: str
    signal: Mapping[str, Any] = field(default_factory=dict)

    def find(self) -> StartingPoint:
        """Find its spec and its folder; a published file is imported once."""
        folder, given = None, self._find_checkpoint()
        if given is not None:
            from ecg_assets.models.load import imported_folder

            folder = imported_folder(given, self.imported)
        spec = find_spec(
            self.recipe,
            folder,
            leads=self.settings.leads,
            resampling=self.settings.resampling,
            part=read_record_part(self.settings.record_part),
            is_published=given is not None and given.is_file(),
        )
        try:
            spec = replace(spec, **self.signal)
        except (TypeError, ValueError) as error:
            raise SettingsError(
                f"{self.where}: the signals of {self.name} cannot be made: {error}"
            ) from error
        return StartingPoint(self.recipe, spec, folder, self.seed)

    def describe(self) -> str:
        """Say in words what it starts from."""
        if is_hub_name(self.checkpoint):
            return self.checkpoint
        return (
            Path(self.checkpoint).name if self.checkpoint else f"random weights, seed {self.seed}"
        )

    def identify(self) -> dict[str, Any]:
        """Give what names its weights before any is loaded."""
        given = self._find_checkpoint()
        if given is None:
            return {"family": self.recipe.family, "size": self.recipe.size, "seed": self.seed}
        file = given / WEIGHTS if given.is_dir() else given
        if not file.is_file():
            raise SettingsError(
                f"models.{self.name}.checkpoint: there is no {file}. Name a checkpoint folder or "
                f"a file that its authors published ({self.where})."
            )
        return {"family": self.recipe.family, "weights": fingerprint_large(file)}

    def name_inputs(self, start: StartingPoint, stored: SourceStore) -> EmbeddingInputs:
        """Name what its embeddings of a source are made from, its loaded encoder apart."""
        return EmbeddingInputs(
            start={**self.identify(), "spec": start.spec.to_json()},
            encoder="",
            signals=fingerprint_signals(stored),
            precision=self.settings.precision,
        )

    def open_shards(self, stored: SourceStore, start: StartingPoint) -> ShardDataset:
        """Open a source's shards; raise `SettingsError` unless they store the model's leads."""
        paths = stored.shard_paths()
        if not paths:
            raise SettingsError(
                f"{stored.root} has no shards. Materialize signal_shards with "
                f"ECG_SOURCE={stored.name}."
            )
        shards = ShardDataset(paths)
        lacking = [lead for lead in start.spec.leads if lead not in shards.leads]
        if lacking:
            raise SettingsError(
                f"{self.name} reads the leads {list(start.spec.leads)}, but {stored.shards} stores "
                f"{list(shards.leads)}. Set ECG_STORED_LEADS and materialize signal_shards again "
                f"with ECG_SOURCE={stored.name}, or take the model out of {self.where}."
            )
        return shards

    def _find_checkpoint(self) -> Path | None:
        """Give its checkpoint, fetched where the hub has it; None for random weights."""
        if not self.checkpoint:
            return None
        return local_checkpoint(self.checkpoint, self.settings.store.hub)


def fingerprint_large(path: Path) -> str:
    """Fingerprint a file once in this process, while it stays the same."""
    state = path.stat()
    return _fingerprint_state(path, state.st_mtime_ns, state.st_size)


@cache
def _fingerprint_state(path: Path, changed_ns: int, size: int) -> str:
    return fingerprint_file(path)


def fingerprint_signals(stored: SourceStore) -> str:
    """Fingerprint of all shards of a source, by name and content."""
    paths = stored.shard_paths()
    return fingerprint_json({shard: fingerprint_large(path) for shard, path in paths.items()})


# Features of all stored recordings of a source by a frozen model.


@dataclass(frozen=True)
class Embedded:
    """Embeddings of a source.

    Attributes
    ----------
    path
        Their file.
    inputs
        What they were made from.
    n_records
        Recordings with an embedding.
    n_without
        Recordings without a whole segment or without signal, which have none.
    is_reused
        Whether the file was there already, made from the same.
    """

    path: Path
    inputs: EmbeddingInputs
    n_records: int
    n_without: int
    is_reused: bool


def embed_source(report: Report, model: DesignModel, stored: SourceStore, path: Path) -> Embedded:
    """Run a frozen encoder over all shards of a source, unless it was done before.

    Parameters
    ----------
    report
        Told of the recordings done.
    path
        File of the embeddings.

    Raises
    ------
    SettingsError
        When the source's shards are not stored, or lack a lead of the model.
    CheckpointError, SpecMismatch
        When the model's checkpoint cannot be used.
    """
    from ecg_assets.models.apply import apply_to_shards
    from ecg_assets.training.finetune.starting_model import fingerprint_encoder, load_encoder

    start = model.find()
    shards = model.open_shards(stored, start)
    encoder = load_encoder(start)
    named = model.name_inputs(start, stored)
    inputs = replace(named, encoder=fingerprint_encoder(encoder.model))
    is_reused = read_embedding_inputs(path) == inputs
    if not is_reused:
        settings = model.settings
        batches = apply_to_shards(
            encoder, shards, device=settings.device, precision=settings.precision
        )
        write_embeddings(batches, inputs, path, progress=lambda done: report(f"{done} recordings"))
    n_records = pq.read_metadata(path).num_rows
    n_stored = sum(pq.read_metadata(shard).num_rows for shard in shards.values())
    return Embedded(path, inputs, n_records, n_stored - n_records, is_reused)


# Scores of one cell of a design by its model.

Train = Callable[[FinetuneRequest], Path]
"""Trains a request and gives its finished folder."""


@dataclass(frozen=True)
class Scored:
    """Scores of a cell's model, the hash of its weights, and more of its training."""

    scores: CellScores
    weights_sha256: str
    details: dict[str, Any]


def probe_embeddings(
    report: Report,
    model: DesignModel,
    start: StartingPoint,
    stored: SourceStore,
    manifest: Manifest,
    *,
    files: Mapping[str, Path],
    advice: str,
    tested: tuple[SourceStore, Manifest] | None = None,
    grid: ProbeGrid | None = None,
) -> Scored:
    """Fit a logistic regression on stored embeddings; the encoder is not asked.

    Parameters
    ----------
    files
        File of the embeddings of each source, by its name.
    advice
        What makes them, for errors.
    tested
        Source and manifest of the test split, where it is another's.
    grid
        What the regression is chosen from.
    """

    def read(stored: SourceStore, manifest: Manifest) -> tuple[EmbeddingInputs, NDArray[Any]]:
        expected, file = model.name_inputs(start, stored), files[stored.name]
        inputs = read_embedding_inputs(file)
        if inputs is None or not inputs.is_of(expected):
            state = "are not stored" if inputs is None else "were made from something else"
            raise SettingsError(
                f"Embeddings of {stored.name} by {model.name} {state} ({file}). {advice}"
            )
        used = np.flatnonzero((manifest.index["split"] != UNUSED).to_numpy())
        found = read_embeddings(file, manifest.index["record_id"].iloc[used].tolist())
        features = np.full((len(manifest.index), found.shape[1]), np.nan, np.float32)
        features[used] = found
        return inputs, features

    inputs, features = read(stored, manifest)
    other = None if tested is None else (tested[1], read(*tested)[1])
    scores, choices = probe_features(manifest, features, tested=other, grid=grid)
    shown = choices.astype(object).where(choices.notna(), None).to_dict("records")
    return Scored(scores, inputs.encoder, {"probe": shown, "n_features": features.shape[1]})


def finetune_cell(
    start: StartingPoint,
    stored: SourceStore,
    manifest: Manifest,
    recipe: Recipe,
    *,
    train: Train,
    compute: Compute,
    preset: str,
    name: str,
    settings: Settings,
    root: Path,
    tested: tuple[SourceStore, Manifest] | None = None,
) -> Scored:
    """Train by a recipe, and score the test split by the finished checkpoint.

    Parameters
    ----------
    preset, recipe
        The recipe, which has taken no fraction of the training patients: the manifest has.
    train, compute
        What trains and what scores, here or elsewhere.
    name
        What the manifest is called.
    root
        Folder of the design's manifests and checkpoints.
    tested
        Source and manifest of the test split, where it is another's.
    """
    content = fingerprint_manifest(manifest)
    # Named by its content: another cell's training may be reading it.
    folder = root / "manifests" / stored.name / f"{name}-{content[:16]}"
    if not folder.is_dir():
        write_manifest(manifest, folder)
    inputs = {"manifests": content, "signals": fingerprint_signals(stored)}
    if start.folder is not None:
        inputs[PRETRAINED_INPUT] = fingerprint_file(start.folder / WEIGHTS)
    request = FinetuneRequest(
        preset=preset,
        recipe=recipe.changed(train_fraction=1.0),
        manifest_folder=folder,
        output_folder=root / "checkpoints",
        inputs=inputs,
        pretrained=start.folder,
        **{**places_of_training(settings, stored), "seed": start.seed},
    )
    trained = train(request)
    test_stored, test_manifest = tested or (stored, manifest)
    rows = {"test": test_manifest.rows("test")}
    found = compute(score, settings, trained, test_manifest, stored=test_stored, rows=rows)
    scores = CellScores(read_validation_predictions(trained), found["test"])
    return Scored(scores, fingerprint_file(trained / WEIGHTS), {"checkpoint": trained.name})
